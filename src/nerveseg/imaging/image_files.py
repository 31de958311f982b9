"""Image files as bytes -> opened images. Nothing that a file claims is believed before it is checked.

TIFF, PNG, JPEG and BMP are recognised by their content, not their name. Pillow decodes them and notices a file that ends too
early; in a PNG, its checksums also show any other damage. Only regular files are opened, since a pipe would never end. Sizes
are checked before memory is allocated. No other format is read, and no path or pickle inside a file is followed.
"""

import io
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from nerveseg.errors import BadFileError
from nerveseg.imaging.page import Page, decode, is_wide, tag, tags
from nerveseg.imaging.unreadable_kinds import what_else

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"})
FORMATS = ("TIFF", "PNG", "JPEG", "BMP")
MAX_BYTES = 2**30
MAX_PAGES_PIXELS = 2**29  # of all pages of a file
MAX_PIXELS = 2**26  # of one image: 8192 x 8192, far more than a probe gives
MAX_SIDE = 2**16 - 1  # as in JPEG, GIF and DICOM; libpng and OpenCV stop at about a million
DESCRIPTION, DEPTH = 270, 32997  # TIFF tags
# How ImageJ and tifffile describe images that have no page of their own.
STACKED = re.compile(r'^ImageJ=[\s\S]*^images=(?!1$)|"truncated": true', re.MULTILINE)
Image.MAX_IMAGE_PIXELS = None  # our limit is stricter and raises our own error


def bytes_of(path: Path, most: int | None = None) -> bytes:
    """Read a regular file of up to `MAX_BYTES`, or its first `most` bytes; raise `BadFileError` if it is empty or unreadable."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise BadFileError(path, "it is no regular file", "put a copy of the image there")
        if status.st_size > MAX_BYTES and most is None:
            what = f"{status.st_size:,} bytes, expected at most {MAX_BYTES:,}"
            raise BadFileError(path, what, "export single frames or short loops")
        with path.open("rb") as file:
            content = file.read(-1 if most is None else most)
    except OSError as error:
        what = f"it cannot be read ({error.strerror})"
        raise BadFileError(path, what, "check the path, its links and its permissions") from None
    if not content:
        raise BadFileError(path, "the file is empty", "copy it again from its source")
    return content


@contextmanager
def refused_if_damaged(path: Path, what: str, remedy: str) -> Iterator[None]:
    """Raise `BadFileError` if the block fails: damaged files break libraries in many ways. Drop their warnings."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except BadFileError:
        raise
    except Exception as error:  # noqa: BLE001 - any of the decoders' own
        raise BadFileError(path, f"{what} ({type(error).__name__})", remedy) from None


def pages(path: Path) -> Iterator[Page]:
    """Decode the images of a file, one after the other; only a TIFF may hold several. A file that is no image, is damaged,
    hides further images, or would not fit in memory, raises `BadFileError`.
    """
    content = bytes_of(path)
    with warnings.catch_warnings(action="ignore"):  # errors say what is wrong
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            _check_size(path, image)
            if image.format == "PNG":
                Image.open(io.BytesIO(content)).verify()  # decoding checks no checksum of the pixels
            if _hides_others(image):
                what = "several images (an animation, a stack or a phone's HDR), expected one frame"
                raise BadFileError(path, what, "export the frames singly")
            yield decode(path, image, content)
            # `n_frames` reads the directory of a TIFF twice more, so it is used only if another page follows.
            count = image.n_frames if image.format == "TIFF" and tags(image).next else 1  # type: ignore[attr-defined]
            if count * image.width * image.height > MAX_PAGES_PIXELS:
                raise BadFileError(path, f"claims {count} pages of {image.width}x{image.height} pixels", "split it up")
            for page in range(1, count):
                image.seek(page)
                _check_size(path, image)
                yield decode(path, image, content)
        except UnidentifiedImageError:
            raise BadFileError(path, *what_else(content)) from None
        except (OSError, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError,
                struct.error) as error:  # fmt: skip
            what = f"damaged, cut short or of a form that is not read ({error})"
            raise BadFileError(path, what, "export or copy it again") from None


def is_plain(path: Path) -> bool:
    """Whether a file's header says that its pixels have 8 bits. True also if it cannot be read, which `pages` reports."""
    try:
        if not path.is_file():
            return True
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            return not image.mode.startswith(("I", "F")) and not is_wide(image)
    except Exception:  # noqa: BLE001 - damaged headers break Pillow in many ways
        return True


def _hides_others(image: Image.Image) -> bool:
    """Whether a file shows several images one after the other, or stacks them in its first page."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    stacked = not tags(image).next and STACKED.search(str(tags(image).get(DESCRIPTION, "")))
    return bool(stacked) or tag(image, DEPTH, 1) > 1


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if not width or not height:
        raise BadFileError(path, f"an image of {width}x{height} pixels", "export it again")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        what = f"claims {width}x{height} pixels, expected at most {MAX_PIXELS:,} in all and {MAX_SIDE:,} on a side"
        raise BadFileError(path, what, "export it at the probe's own size")
