"""Image files as bytes -> opened images, safely: nothing that a file claims is believed before it was checked.

TIFF, PNG, JPEG and BMP are told by their content, not by their name, and decoded by Pillow, which notices a file that
ends too early. What is not a regular file is not opened (a pipe would never end), a size is looked at before memory is
taken for it, and no other format, let alone a pickle or a path inside a file, is ever followed.
"""

import io
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nerveseg.errors import BadFileError

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"})
FORMATS = ("TIFF", "PNG", "JPEG", "BMP")
MAX_BYTES = 2**30
FEWER_BITS = "16 bits a pixel, taken as"
MAX_PAGES_PIXELS = 2**29  # of all pages of a file
MAX_PIXELS = 2**26  # of one image: 8192 x 8192, many times what any probe gives
ORIENTATION, UPRIGHT = 274, 1  # the TIFF tag, and its value for an image that is not turned
Image.MAX_IMAGE_PIXELS = None  # ours is stricter, and an error of our own kind


def bytes_of(path: Path) -> bytes:
    """The content of a regular file that is neither empty nor larger than `MAX_BYTES`.

    Raises:
        BadFileError: it is missing, may not be read, or is no such file.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadFileError(path, "it is no regular file", "put a copy of the image there")
        if status.st_size > MAX_BYTES:
            raise BadFileError(
                path, f"{status.st_size:,} bytes, expected at most {MAX_BYTES:,}", "export single frames or short loops"
            )
        content = path.read_bytes()
    except OSError as error:
        raise BadFileError(
            path, f"it cannot be read ({error.strerror})", "check the path, its links and its permissions"
        ) from None
    if not content:
        raise BadFileError(path, "the file is empty", "copy it again from its source")
    return content


@dataclass(frozen=True)
class Page:
    """An image as Pillow opened it; `stored` are its grey levels, uint8 (H, W), where the file holds them as they are."""

    image: Image.Image
    stored: NDArray[np.uint8] | None

    @property
    def values(self) -> NDArray[Any]:
        """The pixels in the image's own mode, read-only."""
        return np.asarray(self.image) if self.stored is None else self.stored


def pages(path: Path) -> Iterator[Page]:
    """The images of a file, decoded, one after the other; all formats but TIFF hold one.

    Raises:
        BadFileError: it is no image, is cut short, damaged, of no size, or would not fit in memory.
    """
    content = bytes_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is wrong in a file is told in one way only
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            _check_size(path, image)
            yield _decoded(image, content)
            # `n_frames` would read the directory of every TIFF twice more; it is asked only where one follows the first.
            more = image.format == "TIFF" and image.tag_v2.next  # type: ignore[attr-defined]  # of the TIFF class
            count = image.n_frames if more else 1  # type: ignore[attr-defined]  # likewise
            if count * image.width * image.height > MAX_PAGES_PIXELS:
                raise BadFileError(path, f"claims {count} pages of {image.width}x{image.height} pixels", "split it up")
            for page in range(1, count):
                image.seek(page)
                _check_size(path, image)
                yield _decoded(image, content)
        except UnidentifiedImageError:
            raise BadFileError(
                path, f"{len(content)} bytes that are no image, the damaged start of one, or pixels of a kind that is not read (64-bit "
                "or colour floats); expected TIFF, PNG, JPEG or BMP", "export it with 8 bits, or copy it again",
            ) from None  # fmt: skip
        except (OSError, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise BadFileError(path, f"damaged or cut short ({error})", "export or copy it again") from None
    if image.format == "PNG" and content.rfind(b"IEND") < 0:
        raise BadFileError(path, "a PNG that ends too early", "export or copy it again")


def bits_in_use(brightest: int) -> tuple[int, str]:
    """Of the 16 bits of a grey level those in use, 8, 12 or 16, since no file says it; and a remark where they are fewer."""
    bits = next(bits for bits in (8, 12, 16) if brightest < 2**bits)
    return bits, "" if bits == 16 else f"{FEWER_BITS} {bits}, since no pixel is brighter"


def _decoded(image: Image.Image, content: bytes) -> Page:
    """The page that is open; uncompressed grey levels are taken from the file itself, which halves the time."""
    stored = _stored(image, content) if image.format == "TIFF" and image.mode == "L" else None
    if stored is None:
        image.load()
    return Page(image, stored)


def _stored(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """The grey levels of a TIFF whose strips lie in the file as they are: whole, in order, and without a gap."""
    width, height = image.size
    strips = image.tile  # type: ignore[attr-defined]  # of the TIFF class, as is the next
    if not strips or image.tag_v2.get(ORIENTATION, UPRIGHT) != UPRIGHT:  # type: ignore[attr-defined]
        return None
    top, place = 0, strips[0].offset
    for codec, extents, offset, args in strips:
        if codec != "raw" or args != ("L", 0, 1) or offset != place or extents[:3] != (0, top, width):
            return None
        top, place = extents[3], place + width * (extents[3] - top)
    if top != height or place > len(content):
        return None
    return np.frombuffer(content, np.uint8, width * height, strips[0].offset).reshape(height, width)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise BadFileError(path, f"an image of {width}x{height} pixels", "export it again")
    if width * height > MAX_PIXELS:
        raise BadFileError(
            path, f"claims {width}x{height} pixels, expected at most {MAX_PIXELS:,}", "export it at the probe's own size"
        )  # fmt: skip
