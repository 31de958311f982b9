"""Image files as bytes -> opened images, safely: nothing that a file claims is believed before it was checked.

TIFF, PNG, JPEG and BMP are told by their content, not by their name, and decoded by Pillow, which notices a file that
ends too early; colours of 16 bits, of which it would drop 8, by OpenCV. An image is turned as its file says (EXIF, or TIFF's
tag), as every viewer does. What is not a regular file is not opened (a pipe would never end), a size is looked at before memory is
taken for it, and no other format, let alone a pickle or a path inside a file, is ever followed.
"""

import contextlib
import io
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from nerveseg.errors import BadFileError
from nerveseg.imaging.unreadable_kinds import what_else

IMAGE_SUFFIXES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"})
FORMATS = ("TIFF", "PNG", "JPEG", "BMP")
MAX_BYTES = 2**30
MAX_PAGES_PIXELS = 2**29  # of all pages of a file
MAX_PIXELS = 2**26  # of one image: 8192 x 8192, many times what any probe gives
MAX_SIDE = 2**16 - 1  # as in JPEG, GIF and DICOM; libpng and OpenCV end at about a million
ORIENTATION, UPRIGHT = 274, 1  # the tag of TIFF and EXIF, and its value for an image that is not turned
BITS, PHOTOMETRIC, DESCRIPTION, PLANAR, COLOURS, SAMPLE_FORMAT, DEPTH = (
    258,
    262,
    270,
    284,
    320,
    339,
    32997,
)  # tags of TIFF
# What ImageJ and tifffile say of images behind the first that have no page of their own.
PILED = re.compile(r'^ImageJ=[\s\S]*^images=(?!1$)|"truncated": true', re.MULTILINE)
WHITE_IS_ZERO, SEPARATE, SIGNED = 0, 2, 2  # values of the last three
GREY_MODES = ("1", "L", "P")  # of Pillow: 8 bits or fewer a pixel
# Pillow reads this kind from little-endian files alone.
TiffImagePlugin.OPEN_INFO[(TiffImagePlugin.MM, WHITE_IS_ZERO, (1,), 1, (16,), ())] = ("I;16B", "I;16B")
# The libtiff of Pillow's wheels cannot decode it, and would say so on stderr alone.
TiffImagePlugin.COMPRESSION_INFO.pop(50001, None)
# Of a compressed TIFF, libtiff has put the bytes in this machine's order already; of these Pillow would swap them again.
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}
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
    """An image as Pillow opened it. `stored` are its grey levels, uint8 (H, W), where the file holds them as they are; `wide` its
    colours of 16 bits, uint16 (H, W, 3), of which the image has 8; `orientation` is how it lay in the file, of EXIF's 1 to 8;
    `packing` is Pillow's name for how the file stores a pixel, such as `L;2` for grey levels of 2 bits.
    """

    image: Image.Image
    stored: NDArray[np.uint8] | None = None
    wide: NDArray[np.uint16] | None = None
    orientation: int = UPRIGHT
    packing: str = ""

    @property
    def values(self) -> NDArray[Any]:
        """The pixels in the image's own mode, read-only."""
        if self.stored is not None:
            return self.stored
        pixels = np.asarray(self.image)
        unsigned = self.image.format == "TIFF" and self.image.mode == "I" and self.bits == 32
        return pixels.view(np.uint32) if unsigned and _tag(self.image, SAMPLE_FORMAT, 1) == 1 else pixels

    @property
    def lossy(self) -> bool:
        """Whether it was compressed with loss, so that its levels are not those that were drawn."""
        return self.image.format == "JPEG" or self.image.info.get("compression") in ("jpeg", "tiff_jpeg")

    @property
    def unnamed_channel(self) -> bool:
        """Whether a TIFF has a further channel, which does not say what it is and is left out here."""
        return self.image.format == "TIFF" and "X" in self.packing

    @property
    def bits(self) -> int:
        """Of a grey level, as a TIFF says it."""
        return int(_tag(self.image, BITS, 16))

    @property
    def white_is_zero(self) -> bool:
        """Whether the levels of a TIFF are to be inverted; Pillow does it for 8 bits."""
        return _tag(self.image, PHOTOMETRIC, None) == WHITE_IS_ZERO and self.image.mode not in GREY_MODES


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
            if _hides_others(image):
                raise BadFileError(path, "an animation or a stack, expected one frame", "export the frames singly")
            yield _decoded(path, image, content)
            # `n_frames` would read the directory of every TIFF twice more; it is asked only where one follows the first.
            more = image.format == "TIFF" and image.tag_v2.next  # type: ignore[attr-defined]  # of the TIFF class
            count = image.n_frames if more else 1  # type: ignore[attr-defined]  # likewise
            if count * image.width * image.height > MAX_PAGES_PIXELS:
                raise BadFileError(path, f"claims {count} pages of {image.width}x{image.height} pixels", "split it up")
            for page in range(1, count):
                image.seek(page)
                _check_size(path, image)
                yield _decoded(path, image, content)
        except UnidentifiedImageError:
            found, remedy = what_else(content)
            raise BadFileError(path, found, remedy) from None
        except (OSError, EOFError, SyntaxError, ValueError, TypeError, KeyError, IndexError, OverflowError,
                struct.error) as error:  # fmt: skip
            raise BadFileError(path, f"damaged or cut short ({error})", "export or copy it again") from None
    if image.format == "PNG" and content.rfind(b"IEND") < 0:
        raise BadFileError(path, "a PNG that ends too early", "export or copy it again")


def _hides_others(image: Image.Image) -> bool:
    """Whether a file shows several images one after the other, or piles them up in its first page."""
    if image.format != "TIFF":
        return getattr(image, "n_frames", 1) > 1
    told = str(image.tag_v2.get(DESCRIPTION, ""))  # type: ignore[attr-defined]  # of the TIFF class, as is the next
    return _tag(image, DEPTH, 1) > 1 or (not image.tag_v2.next and bool(PILED.search(told)))  # type: ignore[attr-defined]


def is_plain(path: Path) -> bool:
    """Whether a file's header says that its pixels have 8 bits; also of one that cannot be read, which `pages` tells."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                return not image.mode.startswith(("I", "F")) and not _is_wide(image)
    except Exception:  # noqa: BLE001 - damaged headers break Pillow in many ways
        return True


def _decoded(path: Path, image: Image.Image, content: bytes) -> Page:
    """The page that is open; uncompressed grey levels are taken from the file itself, which halves the time."""
    stored = _stored(image, content) if image.format == "TIFF" and image.mode == "L" else None
    if _tag(image, SAMPLE_FORMAT, None) == SIGNED and _tag(image, BITS, 8) == 8:
        raise BadFileError(path, "a TIFF of signed 8-bit pixels", "export it with unsigned 8 bits")
    if stored is not None:
        return Page(image, stored)
    packing, wide = _packing(image), _is_wide(image)  # before it is decoded, which asking for the orientation may do
    orientation = _orientation(image)  # before it is turned
    if packing in NATIVE and image.tile[0].codec_name == "libtiff":  # type: ignore[attr-defined]  # of an image from a file
        image.tile = [tile._replace(args=(NATIVE[packing], *tile.args[1:])) for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    if image.mode == "P" and image.format == "TIFF":
        levels = image.tag_v2.get(COLOURS, ())  # type: ignore[attr-defined]  # likewise
        if levels and max(levels) < 256:  # of 8 bits, where 16 are to be, of which Pillow takes the upper ones
            image.putpalette(np.reshape(levels, (3, -1)).T.astype(np.uint8).tobytes())
    orientation = max(orientation, _orientation(image))  # a PNG may say it after its pixels
    turned = orientation in range(UPRIGHT + 1, 9)
    colours = _wide(path, image, content, orientation) if wide else None
    if turned and image.format != "TIFF":  # there Pillow has done it
        ImageOps.exif_transpose(image, in_place=True)
    return Page(image, None, colours, orientation if turned else UPRIGHT, packing)


def _packing(image: Image.Image) -> str:
    args = image.tile[0][3] if image.tile else ""  # type: ignore[attr-defined]  # of an image from a file
    return args if isinstance(args, str) else str((args or [""])[0])


def _is_wide(image: Image.Image) -> bool:
    """Whether it has colours of more than 8 bits, of which Pillow would drop the rest."""
    if image.mode.startswith(("I", "F")) or image.format not in ("TIFF", "PNG"):
        return False
    if image.format == "TIFF":
        return bool(_tag(image, BITS, 8) > 8)
    return any("16" in str(tile[3]) for tile in image.tile)  # type: ignore[attr-defined]  # of an image from a file


def _wide(path: Path, image: Image.Image, content: bytes, orientation: int) -> NDArray[np.uint16]:
    """Colours of 16 bits, turned, red first."""
    separate, first = _tag(image, PLANAR, 1) == SEPARATE, image.tell() == 0
    found = None
    if image.mode in ("RGB", "RGBA", "RGBX", "LA") and not separate and first and _tag(image, BITS, 16) == 16:
        with contextlib.suppress(cv2.error):
            found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] < 3:
        raise BadFileError(
            path, f"colours of more than 8 bits ({image.mode}) in a form that is not read", "export it in grey, or with 8 bits"
        )  # fmt: skip
    colours = found[..., 2::-1]
    return colours if image.format == "TIFF" else _turned(colours, orientation)


def _turned(pixels: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """As EXIF's orientation says: 2 to 4 mirror, 5 to 8 exchange rows and columns as well."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    across = -1 if orientation in (2, 3, 6, 7) else 1
    down = -1 if orientation in (3, 4, 7, 8) else 1
    return pixels[::down, ::across]


def _orientation(image: Image.Image) -> int:
    """As the file says it; 1 also where what it says cannot be read."""
    try:
        found = image.getexif().get(ORIENTATION, UPRIGHT)
        return found if isinstance(found, int) else UPRIGHT
    except Exception:  # noqa: BLE001 - damaged EXIF breaks Pillow in many ways, and no viewer turns such an image
        return UPRIGHT


def _tag(image: Image.Image, tag: int, missing: Any) -> Any:
    """The first value of a tag of a TIFF."""
    found = image.tag_v2.get(tag, missing) if image.format == "TIFF" else missing  # type: ignore[attr-defined]  # of the TIFF class
    first = found[0] if isinstance(found, tuple) and found else found
    return first if isinstance(first, int) else missing


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
    if max(width, height) > MAX_SIDE:
        raise BadFileError(
            path, f"claims {width}x{height} pixels, expected at most {MAX_SIDE:,} a side", "export it at the probe's own size"
        )  # fmt: skip
    if width * height > MAX_PIXELS:
        raise BadFileError(
            path, f"claims {width}x{height} pixels, expected at most {MAX_PIXELS:,}", "export it at the probe's own size"
        )  # fmt: skip
