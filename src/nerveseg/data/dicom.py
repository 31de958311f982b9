"""DICOM files: single frames and cine loops, and a subject that does not tell the patient.

The header is read by pydicom and checked. It decodes the pixels as well, as they are, as JPEG, JPEG 2000 or run-lengths; what it
cannot decode here, lossless JPEG, JPEG-LS and palettes, tensorflow-io does, which brings TensorFlow with it. The patient's identity leaves this
module only as a keyed digest (HMAC-SHA256, RFC 2104): without the salt nobody can go back from a subject to a patient
by trying every number of a hospital.
"""

import contextlib
import hashlib
import hmac
import io
import os
import secrets
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from nerveseg.data.images import MAX_PIXELS, bits_in_use, bytes_of
from nerveseg.data.letterbox import Spacing
from nerveseg.errors import BadFileError, DatasetError

if TYPE_CHECKING:
    import pydicom

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ""})  # many archives export files without a suffix
MAX_LOOP_PIXELS = 2**29  # of all frames of a loop together; three bytes of memory each, six in colour
SALT_VARIABLE = "NERVESEG_SALT"
SALT_FILE = ".nerveseg-salt"
IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
_TAGS = [
    *IDENTITY,
    "NumberOfFrames",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "BurnedInAnnotation",
    "PixelSpacing",
    "SequenceOfUltrasoundRegions",
    "FrameTime",
    "CineRate",
    "RecommendedDisplayFrameRate",
]
DARK_IS_HIGH = "MONOCHROME1"  # photometric interpretation (PS3.3, section C.7.6.3)
TISSUE, CENTIMETRES = 1, 3  # region spatial format of 2D images, and their physical unit (PS3.3, section C.8.5.5)


def is_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, section 7.1)."""
    try:
        with path.open("rb") if path.is_file() else contextlib.nullcontext() as file:
            return file is not None and file.read(132)[128:] == b"DICM"
    except OSError:
        return False


@dataclass(frozen=True)
class Header:
    """Frames of the loop, their size in pixels, the bits of a grey level, whether text is burned into the pixels, height and
    width of a pixel in millimetres (None where the file does not say, or says two things), milliseconds from one frame to the
    next (likewise), and who was examined; the identity is kept out of `repr`, so that no message shows it.
    """

    frames: int
    height: int
    width: int
    bits: int
    burned_in: bool
    spacing: Spacing | None
    frame_time: float | None
    identity: tuple[str, ...]

    def __repr__(self) -> str:
        return f"{self.frames} frames of {self.width}x{self.height} pixels"


def read_header(path: Path, content: bytes | None = None) -> Header:
    """What the file says of itself.

    Raises:
        BadFileError: it is no DICOM file, holds no image, or less than the image that it announces.
    """
    import pydicom

    content = bytes_of(path) if content is None else content
    if _is_deflated(path):  # pydicom would inflate it, to any size, before we could look
        raise BadFileError(path, "a DICOM file deflated as a whole", "export it uncompressed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = io.BytesIO(content)
            found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            behind = len(content) - file.tell()  # pydicom stops where the pixels begin
            frames, rows, columns = int(found.get("NumberOfFrames") or 1), int(found.Rows), int(found.Columns)
            samples, allocated = int(found.get("SamplesPerPixel") or 1), int(found.get("BitsAllocated") or 8)
            bits = int(found.get("BitsStored") or allocated)
            compressed = found.file_meta.TransferSyntaxUID.is_compressed
            identity = tuple(str(found.get(tag) or "").strip() for tag in IDENTITY)
            burned_in = str(found.get("BurnedInAnnotation") or "NO") != "NO"
            signed = bool(found.get("PixelRepresentation"))
            spacing, frame_time = _spacing(found), _frame_time(found)
    except Exception as error:  # noqa: BLE001 - a damaged header breaks pydicom in many ways, and all mean the same
        raise BadFileError(
            path, f"no readable DICOM image ({type(error).__name__})", "export it again from the machine or PACS"
        ) from None  # fmt: skip
    if min(frames, rows, columns) < 1:
        raise BadFileError(path, f"a loop of {frames} frames of {columns}x{rows} pixels", "export it again")
    if rows * columns > MAX_PIXELS or frames * rows * columns > MAX_LOOP_PIXELS:
        raise BadFileError(
            path, f"claims {frames} frames of {columns}x{rows} pixels", "export a shorter or smaller loop"
        )
    announced = frames * rows * columns * samples * allocated // 8
    if not compressed and behind < announced:
        raise BadFileError(path, f"{behind:,} bytes of pixels, but its header announces {announced:,}", "copy it again")
    if signed:
        raise BadFileError(path, "grey levels below 0", "export it with 8 bits")
    if not 1 <= bits <= 16:
        raise BadFileError(path, f"{bits} bits a pixel, expected 8 to 16", "export it with 8 bits")
    return Header(frames, rows, columns, bits, burned_in, spacing, frame_time, identity)


def read_loop(path: Path) -> tuple[NDArray[np.uint8], str]:
    """The frames, uint8 (N, H, W); colour becomes grey, and more than 8 bits are scaled to 8; and a remark on that.

    Raises:
        BadFileError: as for `read_header`, or the pixels cannot be decoded.
    """
    pixels, bits = _decoded(path)
    bits, remark = bits_in_use(int(pixels.max())) if bits == 16 else (bits, "")
    levels = np.round(np.arange(2**16).clip(max=2**bits - 1) * (255.0 / (2**bits - 1))).astype(np.uint8)
    frames = np.empty(pixels.shape[:3], np.uint8)
    for frame, stored in zip(frames, pixels, strict=True):
        frame[:] = cv2.cvtColor(levels[stored], cv2.COLOR_RGB2GRAY) if stored.shape[-1] == 3 else levels[stored[..., 0]]
    return frames, remark


def read_labels(path: Path) -> NDArray[np.uint16]:
    """The pixels of a grey DICOM file as they are stored, (N, H, W).

    Raises:
        BadFileError: as for `read_loop`, or it is in colour.
    """
    pixels, _ = _decoded(path)
    if pixels.shape[-1] != 1:
        raise BadFileError(path, "a mask in colour as DICOM", "export masks as PNG or TIFF")
    return pixels[..., 0]


def subject_of(header: Header, salt: bytes) -> str | None:
    """A digest that stands for the patient, the same in all files of one patient; None where no file says who it is.

    Who it is say the number and who gave it; only without a number name and date of birth, whose spelling varies.
    """
    number, issuer, name, birth = (" ".join(value.casefold().split()) for value in header.identity)
    who = (number, issuer) if number else (name, birth)
    return f"p{_digest(chr(31).join(who), salt)}" if any(who) else None


def keyed_subject(name: str, salt: bytes) -> str:
    """The like for a subject that was read from the name of a file, which may be the patient's number."""
    return f"p{_digest(name, salt)}"


def _spacing(found: "pydicom.Dataset") -> Spacing | None:
    """Ultrasound says it for each region of the picture, in centimetres; other exports as the spacing of all pixels."""
    regions = [
        region
        for region in found.get("SequenceOfUltrasoundRegions") or []
        if region.get("RegionSpatialFormat") == TISSUE
        and (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")) == (CENTIMETRES, CENTIMETRES)
    ]
    told = {(abs(10.0 * region.PhysicalDeltaY), abs(10.0 * region.PhysicalDeltaX)) for region in regions}
    if not told and (spacing := found.get("PixelSpacing")):
        told = {(float(spacing[0]), float(spacing[1]))}
    (height, width), *others = told or {(0.0, 0.0)}
    return None if others or not min(height, width) > 0.0 else (height, width)


def _frame_time(found: "pydicom.Dataset") -> float | None:
    rate = found.get("RecommendedDisplayFrameRate") or found.get("CineRate")
    time = float(found.get("FrameTime") or (1000.0 / float(rate) if rate else 0.0))
    return time if time > 0.0 else None


def _digest(text: str, salt: bytes) -> str:
    return hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:12]


def _is_deflated(path: Path) -> bool:
    import pydicom

    try:
        return bool(pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID.is_deflated)
    except Exception:  # noqa: BLE001 - a damaged header breaks pydicom in many ways; the reading of the header tells
        return False


def _decoded(path: Path) -> tuple[NDArray[np.uint16], int]:
    """Pixels as stored, (N, H, W, 1 or 3), bright where the picture is, and the bits of a grey level."""
    content = bytes_of(path)
    header = read_header(path, content)
    pixels = _by_pydicom(path, content, header)
    if pixels is None:
        pixels = _by_tensorflow_io(path, content)
    if (
        pixels.ndim != 4
        or pixels.shape[:3] != (header.frames, header.height, header.width)
        or pixels.shape[3] not in (1, 3)
    ):
        found = f"its pixels decode to {'x'.join(map(str, pixels.shape))}, but its header announces {header!r}"
        raise BadFileError(path, found, "export it again, uncompressed")
    return pixels, header.bits


def _by_pydicom(path: Path, content: bytes, header: Header) -> NDArray[np.uint16] | None:
    """None where it cannot, or would give what is no grey level nor colour."""
    import pydicom
    from pydicom.pixels import get_decoder

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = pydicom.dcmread(io.BytesIO(content))
            syntax, kind = found.file_meta.TransferSyntaxUID, str(found.PhotometricInterpretation)
            able = not syntax.is_compressed or get_decoder(syntax).is_available
            if not able or not kind.startswith(("MONOCHROME", "RGB", "YBR")):
                return None
            pixels = found.pixel_array
        except NotImplementedError:  # a compression that it has not heard of
            return None
        except Exception as error:  # noqa: BLE001 - damaged pixels break pydicom and its decoders in many ways
            raise BadFileError(
                path, f"its pixels cannot be decoded ({type(error).__name__})", "export it uncompressed"
            ) from None
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.size % (header.frames * header.height * header.width):
        return None
    pixels = pixels.reshape(header.frames, header.height, header.width, -1).astype(np.uint16)
    return np.uint16(2**header.bits - 1) - pixels if kind == DARK_IS_HIGH else pixels


def _by_tensorflow_io(path: Path, content: bytes) -> NDArray[np.uint16]:
    try:
        import tensorflow as tf
        import tensorflow_io as tfio
    except ImportError:  # a server of a registered model has what that needs, and no more
        raise BadFileError(
            path, "pixels in a form that tensorflow-io alone decodes, which is not installed", "export it uncompressed"
        ) from None
    try:
        return tfio.image.decode_dicom_image(content, color_dim=False, scale="preserve", dtype=tf.uint16).numpy()
    except tf.errors.OpError as error:
        raise BadFileError(path, f"its pixels cannot be decoded ({error.message})", "export it uncompressed") from None


def salt_of(directory: Path) -> bytes:
    """The secret behind subjects: `NERVESEG_SALT` where set, else a file in `directory` that is made at first need.

    Raises:
        DatasetError: the file cannot be read or made.
    """
    if given := os.environ.get(SALT_VARIABLE):
        return given.encode()
    path = directory / SALT_FILE
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=directory, prefix=f"{SALT_FILE}.") as draft:
                draft.write(secrets.token_hex(16).encode())
                draft.flush()
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.link(draft.name, path)
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read or made ({error.strerror}); set {SALT_VARIABLE} to a secret text"
        ) from None
