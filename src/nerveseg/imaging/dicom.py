"""DICOM files: what they say of themselves, and a subject that does not tell the patient; `dicom_pixels` has their frames.

The header is read by pydicom and checked. The patient's identity leaves this module only as a keyed digest (HMAC-SHA256, RFC 2104): without the salt nobody can go back from a subject to a patient
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
from typing import TYPE_CHECKING, NamedTuple

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.imaging.arrays import Spacing
from nerveseg.imaging.image_files import MAX_PIXELS, bytes_of

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
    "PhotometricInterpretation",
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
HALVED_COLOUR = ("YBR_FULL_422", "YBR_PARTIAL_422")
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
    """Frames of the loop, their size in pixels, the bits of a grey level and whether they may be below 0, whether text is burned into the pixels, height and
    width of a pixel in millimetres (None where the file does not say, or says two things), milliseconds from one frame to the
    next (likewise), and who was examined; the identity is kept out of `repr`, so that no message shows it.
    """

    frames: int
    height: int
    width: int
    bits: int
    signed: bool
    burned_in: bool
    spacing: Spacing | None
    frame_time: float | None
    identity: tuple[str, ...]

    @property
    def says_white(self) -> bool:
        """Whether the bits of a level say which is white; of 16 often fewer are in use."""
        return self.bits < 16 and not self.signed

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
            if found.get("PhotometricInterpretation") in HALVED_COLOUR:
                samples = 2  # of each two pixels, one colour is stored
            compressed = found.file_meta.TransferSyntaxUID.is_compressed
            identity = tuple(str(found.get(tag) or "").strip() for tag in IDENTITY)
            signed = bool(found.get("PixelRepresentation"))
            burned_in = str(found.get("BurnedInAnnotation") or "NO") != "NO"
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
    if not 1 <= bits <= 16:
        raise BadFileError(path, f"{bits} bits a pixel, expected 8 to 16", "export it with 8 bits")
    return Header(frames, rows, columns, bits, signed, burned_in, spacing, frame_time, identity)


class Patient(NamedTuple):
    """Digests of who was examined, the same in all files of one patient: `subject` stands for the patient, `number` for the
    number without who gave it, `person` for name with date of birth; both '' where the file does not say them.
    """

    subject: str
    number: str
    person: str


def patient_of(header: Header, salt: bytes) -> Patient | None:
    """Who was examined; None where the file does not say it.

    Who it is say the number and who gave it; only without a number name and date of birth, whose spelling varies.
    """
    number, issuer, name, birth = (_plain(value) for value in header.identity)
    name = _plain(
        name.partition("=")[0].replace("^", " ")
    )  # in other scripts behind `=`; parts, even empty, end in `^`
    who, person = (number, issuer) if number else (name, birth), chr(31).join((name, birth))
    if not any(who):
        return None
    return Patient(
        f"p{_digest(chr(31).join(who), salt)}",
        keyed_subject(number, salt) if number else "",
        f"p{_digest(person, salt)}" if name and birth else "",
    )


def keyed_subject(name: str, salt: bytes) -> str:
    """The like for a subject that was read from the name of a file, which may be the patient's number."""
    return f"p{_digest(_plain(name) + chr(31), salt)}"


def _plain(value: str) -> str:
    return " ".join(value.casefold().split())


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


def salt_of(directory: Path) -> bytes:
    """The secret behind subjects: `NERVESEG_SALT` where set, else a file in `directory` that is made at first need.

    Raises:
        DatasetError: the file cannot be read or made, or the secret is empty.
    """
    if (given := os.environ.get(SALT_VARIABLE)) is not None:
        return _secret(
            os.fsencode(given), f"the environment variable {SALT_VARIABLE}", "set it to a secret text, or unset it"
        )
    path = directory / SALT_FILE
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=directory, prefix=f"{SALT_FILE}.") as draft:
                draft.write(secrets.token_hex(16).encode())
                draft.flush()
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.link(draft.name, path)
        kept = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{path} cannot be read or made ({error.strerror}); set {SALT_VARIABLE} to a secret text"
        ) from None
    remedy = "restore it, or remove it to have a new one made, which gives every subject another digest"
    return _secret(kept, str(path), remedy)


def _secret(salt: bytes, where: str, remedy: str) -> bytes:
    """With an empty key anyone could compute whose digest it is."""
    if salt.strip():
        return salt
    raise DatasetError(f"{where} is empty, expected the secret behind the digests of subjects; {remedy}")
