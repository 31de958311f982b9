"""One image of a file, decoded by Pillow, with what Pillow would drop: 16-bit colours and how pixels are stored.

OpenCV decodes 16-bit colours. An image is turned as its file says (EXIF or the TIFF tag), as viewers do.
"""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

from nerveseg.errors import BadFileError

# TIFF tags. PLACES: where strips and tiles begin, and how many bytes each has. For a 0, Pillow would show the file's own header.
BITS, PHOTOMETRIC, ORIENTATION, SAMPLES, PLANAR, COLOUR_MAP, SAMPLE_FORMAT = 258, 262, 274, 277, 284, 320, 339
PLACES = (273, 279, 324, 325)
UPRIGHT, WHITE_IS_ZERO, YCBCR, SEPARATE, SIGNED = 1, 0, 6, 2, 2  # of ORIENTATION, PHOTOMETRIC, PLANAR, SAMPLE_FORMAT
GREY_MODES = ("1", "L", "P")  # of Pillow: at most 8 bits a pixel
# A JPEG marker "start of scan", its length and its number of components; by chance, random bytes hold one in 256 GB.
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
MOST_SCANS = 100  # as libtiff; progressive files have about 10. Each takes time for every pixel, an empty one 10 bytes
# Pillow reads this kind from little-endian files only.
TiffImagePlugin.OPEN_INFO[(TiffImagePlugin.MM, WHITE_IS_ZERO, (1,), 1, (16,), ())] = ("I;16B", "I;16B")
# The libtiff in Pillow's wheels cannot decode WebP and would report it on stderr only.
TiffImagePlugin.COMPRESSION_INFO.pop(50001, None)
# libtiff decodes compressed pixels into this machine's byte order. Pillow would swap the bytes of these again.
NATIVE = {"I;16BS": "I;16NS", "I;32BS": "I;32NS", "F;32BF": "F;32NF"}


@dataclass(frozen=True)
class Page:
    """An image that Pillow opened."""

    image: Image.Image
    stored: NDArray[np.uint8] | None = None  # grey levels (H, W), if the file holds them uncompressed
    wide: NDArray[np.uint16] | None = None  # 16-bit colours (H, W, 3), of which the image has 8 bits
    orientation: int = UPRIGHT  # EXIF's, 1 to 8
    packing: str = ""  # Pillow's name for how the file stores a pixel, such as `L;2` for 2-bit grey levels

    @property
    def values(self) -> NDArray[Any]:
        """The pixels in the image's own mode, read-only."""
        if self.stored is not None:
            return self.stored
        pixels = np.asarray(self.image)
        unsigned = self.image.format == "TIFF" and self.image.mode == "I" and self.bits == 32
        return pixels.view(np.uint32) if unsigned and tag(self.image, SAMPLE_FORMAT, 1) == 1 else pixels

    @property
    def lossy(self) -> bool:
        """Whether lossy compression may have changed the values. Of YCbCr, several pixels often share a colour."""
        if self.image.format == "JPEG" or tag(self.image, PHOTOMETRIC, None) == YCBCR:
            return True
        return self.image.info.get("compression") in ("jpeg", "tiff_jpeg")

    @property
    def unnamed_channel(self) -> bool:
        """Whether a TIFF has a channel that does not say what it is. Pillow drops it. (It calls YCbCr RGBX, too.)"""
        return self.image.format == "TIFF" and "X" in self.packing and tag(self.image, SAMPLES, 1) != 3

    @property
    def bits(self) -> int:
        """Bits of a grey level, as a TIFF says."""
        return int(tag(self.image, BITS, 16))

    @property
    def white_is_zero(self) -> bool:
        """Whether the levels of a TIFF must be inverted. Pillow inverts 8-bit levels itself."""
        return tag(self.image, PHOTOMETRIC, None) == WHITE_IS_ZERO and self.image.mode not in GREY_MODES


def check_scans(path: Path | str, content: bytes, frames: int = 1) -> None:
    """Raise `BadFileError` if JPEGs would be decoded in so many passes over their pixels that it could take hours."""
    if (scans := len(_SCAN.findall(content))) > (most := frames * MOST_SCANS):
        raise BadFileError(path, f"JPEG compression in {scans:,} scans, expected at most {most:,}", "export it again")


def decode(path: Path, image: Image.Image, content: bytes) -> Page:
    """Decode the open image of a file; raise `BadFileError` if its pixels are of a kind that is not read."""
    if image.format == "JPEG":
        check_scans(path, content)
    if tag(image, SAMPLE_FORMAT, None) == SIGNED and tag(image, BITS, 8) == 8:
        raise BadFileError(path, "a TIFF of signed 8-bit pixels", "export it with unsigned 8 bits")
    if image.format == "TIFF" and image.mode == "YCbCr":  # Pillow ignores that pixels share colours, and their range
        raise BadFileError(path, "a TIFF of uncompressed YCbCr colours", "export it in RGB or grey")
    if any(0 in np.atleast_1d(tags(image).get(place, ())) for place in PLACES):
        raise BadFileError(path, "a TIFF that leaves out part of its pixels (sparse)", "export it with all of them")
    if tag(image, PLANAR, 1) == SEPARATE and image.mode in ("LA", "La") and image.tile[0].codec_name == "raw":  # type: ignore[attr-defined]
        raise BadFileError(path, "a TIFF of uncompressed grey levels and alpha in planes", "export it without alpha")
    if image.format == "TIFF" and image.mode == "L" and (stored := _uncompressed(image, content)) is not None:
        return Page(image, stored)
    packing, wide = _packing(image), is_wide(image)  # before decoding, which asking for the orientation may do
    orientation = _orientation(image)  # before Pillow turns the image
    if packing in NATIVE and image.tile[0].codec_name == "libtiff":  # type: ignore[attr-defined]  # of an image from a file
        image.tile = [tile._replace(args=(NATIVE[packing], *tile.args[1:])) for tile in image.tile]  # type: ignore[attr-defined]
    image.load()
    levels = tags(image).get(COLOUR_MAP, ())
    if image.mode == "P" and levels and max(levels) < 256:  # 8 bits instead of 16, of which Pillow takes the upper ones
        image.putpalette(np.reshape(levels, (3, -1)).T.astype(np.uint8).tobytes())
    orientation = max(orientation, _orientation(image))  # a PNG may say it after its pixels
    turned = orientation in range(UPRIGHT + 1, 9)
    colours = _wide(path, image, content, orientation) if wide else None
    if turned and image.format != "TIFF":  # Pillow has turned TIFFs
        ImageOps.exif_transpose(image, in_place=True)
    return Page(image, None, colours, orientation if turned else UPRIGHT, packing)


def is_wide(image: Image.Image) -> bool:
    """Whether it has colours of more than 8 bits, which Pillow would cut to 8."""
    if image.mode.startswith(("I", "F")) or image.format not in ("TIFF", "PNG"):
        return False
    if image.format == "TIFF":
        return bool(tag(image, BITS, 8) > 8)
    return any("16" in str(tile[3]) for tile in image.tile)  # type: ignore[attr-defined]  # of an image from a file


def tags(image: Image.Image) -> Any:
    """The tags of a TIFF; none of another format."""
    return image.tag_v2 if image.format == "TIFF" else {}  # type: ignore[attr-defined]  # of the TIFF class


def tag(image: Image.Image, number: int, missing: Any) -> Any:
    """The first value of a tag of a TIFF, if it is a whole number."""
    found = tags(image).get(number, missing)
    first = found[0] if isinstance(found, tuple) and found else found
    return first if isinstance(first, int) else missing


def _packing(image: Image.Image) -> str:
    args = image.tile[0][3] if image.tile else ""  # type: ignore[attr-defined]  # of an image from a file
    return args if isinstance(args, str) else str((args or [""])[0])


def _wide(path: Path, image: Image.Image, content: bytes, orientation: int) -> NDArray[np.uint16]:
    """The 16-bit colours, turned, red first."""
    separate, first = tag(image, PLANAR, 1) == SEPARATE, image.tell() == 0
    found = None
    if image.mode in ("RGB", "RGBA", "RGBX", "LA") and not separate and first and tag(image, BITS, 16) == 16:
        with contextlib.suppress(cv2.error):
            found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype != np.uint16 or found.ndim != 3 or found.shape[2] < 3:
        what = f"colours of more than 8 bits ({image.mode}) in a form that is not read"
        raise BadFileError(path, what, "export it in grey, or with 8 bits")
    colours = found[..., 2::-1]
    return colours if image.format == "TIFF" else _turned(colours, orientation)


def _turned(pixels: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """Turn pixels by EXIF's orientation: 2 to 4 mirror, 5 to 8 also exchange rows and columns."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    across = -1 if orientation in (2, 3, 6, 7) else 1
    down = -1 if orientation in (3, 4, 7, 8) else 1
    return pixels[::down, ::across]


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, UPRIGHT)
        return found if isinstance(found, int) else UPRIGHT
    except Exception:  # noqa: BLE001 - damaged EXIF breaks Pillow in many ways, and no viewer turns such an image
        return UPRIGHT


def _uncompressed(image: Image.Image, content: bytes) -> NDArray[np.uint8] | None:
    """The grey levels of a TIFF whose strips lie uncompressed and in order in the file: twice as fast as decoding."""
    width, height = image.size
    strips = image.tile  # type: ignore[attr-defined]  # of an image from a file
    if not strips or tags(image).get(ORIENTATION, UPRIGHT) != UPRIGHT:
        return None
    top, place = 0, strips[0].offset
    for codec, extents, offset, args in strips:
        if codec != "raw" or args != ("L", 0, 1) or offset != place or extents[:3] != (0, top, width):
            return None
        top, place = extents[3], place + width * (extents[3] - top)
    if top != height or place > len(content):
        return None
    return np.frombuffer(content, np.uint8, width * height, strips[0].offset).reshape(height, width)
