"""Pictures, JSON documents and scripts that the page embeds, and the digests by which its content security policy allows scripts."""

import base64
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

LARGE = 400_000  # bytes of a PNG, above which it is a picture of frames and smaller as WebP
QUALITY = 90


@dataclass(frozen=True)
class Figure:
    title: str
    caption: str
    kind: str  # image/png or image/webp
    data: str  # in base64
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Script:
    content: str
    digest: str  # SHA-256 in base64


def figure(title: str, caption: str, png: Path) -> Figure:
    """Embed a PNG, as WebP if it is large; ValueError if the file is another."""
    content = png.read_bytes()
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
    except OSError:
        raise ValueError(f"{png} is not a PNG; the report embeds nothing else") from None
    kind = "image/png"
    if len(content) > LARGE:
        smaller = io.BytesIO()
        image.convert("RGB").save(smaller, "WEBP", quality=QUALITY)
        kind, content = "image/webp", smaller.getvalue()
    return Figure(title, caption, kind, base64.b64encode(content).decode("ascii"), *image.size)


def script(path: Path) -> Script:
    content = path.read_text(encoding="utf-8")
    return Script(content, base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii"))


def document(content: Any) -> str:
    """Return JSON that cannot end the element of the page that holds it."""
    text = json.dumps(content, default=asdict, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c")
