"""What a file that cannot be read holds, by its first bytes or a TIFF's tags, in a sentence for who took it for an image."""

import io
import re
from typing import Any

from PIL import TiffImagePlugin

FIRST_BYTES = dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0"), "TIFF")
FIRST_BYTES |= {b"\x89PNG": "PNG", b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
AGAIN, CONVERT = "export or copy it again", "convert it to one of them"
EXPECTED = "expected TIFF, PNG, JPEG or BMP"
START = 300  # bytes
# First bytes of a kind of file, its name, and what to do with it.
KINDS = [
    (rb"version https://git-lfs", "a pointer of Git LFS", "fetch it with `git lfs pull`"),
    (rb".{128}DICM", "DICOM", "rename it so that it ends in .dcm"),
    (rb"RIFF.{4}WEBP", "a WebP", CONVERT),
    (rb"GIF8", "a GIF", CONVERT),
    (rb"\0\0\0\x0cjP|\xff\x4f\xff\x51", "a JPEG 2000", CONVERT),
    (rb".{4}ftyp(avif|avis)", "an AVIF", CONVERT),
    (rb".{4}ftyp(hei|hev|mif|msf)", "a HEIC", CONVERT),
    (rb".{4}ftyp|RIFF.{4}AVI |\x1a\x45\xdf\xa3|.{4}moov", "a video", "name it as what it is, such as .mp4 or .avi"),
    (rb"8BPS", "a Photoshop file", CONVERT),
    (rb"P[1-7]\s", "a PNM", CONVERT),
    (rb"%PDF", "a PDF", "export the frames themselves"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "unpack it"),
    (rb"\x93NUMPY|\x89HDF", "an array of numbers", "export it as an image"),
    (rb"\s*<(!doctype|html|\?xml|svg)", "a page or drawing of text (HTML, XML, SVG)", "download or export the image itself"),
]  # fmt: skip
FORMATS = {1: "unsigned integers", 2: "signed integers", 3: "floating point", 5: "complex integers", 6: "complex numbers"}  # fmt: skip

COMPRESSIONS = dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000") | dict.fromkeys((50002, 52546), "JPEG XL")
COMPRESSIONS |= {34661: "JBIG", 34887: "LERC", 34933: "PNG", 34934: "JPEG XR", 50001: "WebP"}


def what_else(content: bytes) -> tuple[str, str]:
    """Return what a file holds instead of an image that is read, and what to do."""
    if content.startswith(b"MM\0+"):
        what = "a BigTIFF with the highest byte first, expected one with the lowest first"
        return what, "export it as an ordinary TIFF"
    start = content[:START]
    if kind := next((kind for mark, kind in FIRST_BYTES.items() if start.startswith(mark)), None):
        examples = " (12-bit, JPEG-LS)" * (kind == "JPEG")
        found = f"a {kind} that is damaged at its start or of a kind that is not read{examples}"
        return (kind == "TIFF" and _pixels_of_tiff(content)) or (found, AGAIN)
    for pattern, what, remedy in KINDS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return f"{what}, {EXPECTED}", remedy
    return f"{len(content):,} bytes that are no image, {EXPECTED}", AGAIN


def _pixels_of_tiff(content: bytes) -> tuple[str, str] | None:
    """Describe a TIFF whose pixels Pillow does not know; None if its tags cannot be read."""
    try:
        tags: Any = TiffImagePlugin.ImageFileDirectory_v2(content[: 16 if content[2] == 43 else 8])
        file = io.BytesIO(content)
        file.seek(tags.next)
        tags.load(file)
        if (compression := tags.get(259, 1)) not in TiffImagePlugin.COMPRESSION_INFO:
            name = COMPRESSIONS.get(compression, f"number {compression}")
            return f"a TIFF in a compression that is not read ({name})", "export it uncompressed, or with LZW"
        bits, samples = tags[258][0], tags.get(277, 1)
        facts = [f"{bits}-bit {FORMATS.get(tags.get(339, (1,))[0], 'pixels of an unknown kind')}"]
        facts += [f"{samples} values a pixel"] * (samples > 1) + ["white at 0"] * (tags.get(262) == 0)
        facts += [f"photometric interpretation {tags[262]}"] * (tags.get(262, 0) > 3)
        facts += [f"{tags[256]}x{tags[257]} pixels"] * (not tags[256] * tags[257])
        facts += ["the highest byte first"] * content.startswith(b"MM")
    except Exception:  # noqa: BLE001 - damaged tags break Pillow in many ways
        return None
    found = f"a TIFF of a form that is not read ({', '.join(facts)})"
    return f"{found}, expected grey levels of 8 or 16 bits, the lowest byte first", "export it so"
