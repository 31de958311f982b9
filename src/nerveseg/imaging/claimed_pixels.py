"""How many pixels a file would decode to, read from its header: a few bytes can claim gigabytes, or hours of decoding."""

import io
import struct
import warnings

from PIL import Image

from nerveseg.errors import BadFileError
from nerveseg.imaging.dicom import DEFLATED
from nerveseg.imaging.image_files import FORMATS
from nerveseg.imaging.page import check_scans, tags

_JPEG, _JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"  # their first bytes; width and height follow the latter


def claimed_pixels(content: bytes) -> int:
    """Return how many pixels a file claims, 0 if it is no image. Several frames, or an unknown size, raise `BadFileError`."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return _of_dicom(content) if content[128:132] == b"DICM" else _of_image(content, FORMATS)
    except BadFileError:
        raise
    except Exception:  # noqa: BLE001 - damaged headers break Pillow and pydicom in many ways, and reading reports it
        return 0


def _of_image(content: bytes, formats: tuple[str, ...]) -> int:
    image = Image.open(io.BytesIO(content), formats=formats)
    if image.format == "JPEG":
        check_scans("image", content)
    if image.format == "TIFF" and tags(image).next:
        raise BadFileError("image", "more than one page, expected one frame", "export the frames singly")
    return image.width * image.height


def _of_dicom(content: bytes) -> int:
    import pydicom
    from pydicom.encaps import generate_frames
    from pydicom.uid import RLELossless

    if DEFLATED in content:  # pydicom would inflate it to read the header
        raise BadFileError("image", "a DICOM file deflated as a whole", "export it uncompressed")
    found = pydicom.dcmread(io.BytesIO(content))
    if (count := int(found.get("NumberOfFrames") or 1)) != 1:
        raise BadFileError("image", f"{count} frames, expected one", "export the frames singly")
    announced = int(found.Rows) * int(found.Columns)
    syntax = found.file_meta.TransferSyntaxUID
    if not syntax.is_compressed:
        return announced
    parts = generate_frames(found.PixelData, number_of_frames=1)
    if syntax == RLELossless:
        depth = max(1, int(found.SamplesPerPixel) * int(found.BitsAllocated) // 8)  # bytes of a pixel
        for part in parts:
            _check_runs(part, 2 * depth * announced)
        return announced
    return max(announced, *map(_of_part, parts))


def _check_runs(content: bytes, most: int) -> None:
    """Refuse an RLE frame that decodes to more than `most` bytes. Two bytes can make a run of 128."""
    total, at = 0, 64  # behind the header; segments follow each other
    while at < len(content):
        run = content[at]
        total += 257 - run if run > 128 else run + 1 if run < 128 else 0
        at += 2 if run > 128 else run + 2 if run < 128 else 1
        if total > most:
            raise BadFileError("image", "more pixels than its header announces", "export it again, uncompressed")


def _of_part(content: bytes) -> int:
    """A compressed frame in a DICOM file has a size of its own, which decoders believe."""
    check_scans("image", content)
    if (start := content.find(_JPEG_2000)) >= 0:
        width, height = struct.unpack_from(">II", content, start + len(_JPEG_2000) + 4)
        return int(width * height)
    return _of_image(content, ("JPEG",)) if content.startswith(_JPEG) else 0
