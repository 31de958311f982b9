"""DICOM headers: size, time and spacing of frames, and a subject that does not reveal the patient.

`dicom_pixels` reads the frames. The patient's identity leaves this module only as a keyed digest (HMAC-SHA256, RFC 2104):
without the salt, nobody can find a patient by trying all numbers of a hospital.
"""

import contextlib
import errno
import hashlib
import hmac
import io
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from nerveseg.errors import BadFileError, DatasetError
from nerveseg.imaging.arrays import Spacing
from nerveseg.imaging.image_files import MAX_PIXELS, bytes_of, refused_if_damaged
from nerveseg.imaging.unreadable_kinds import FIRST_BYTES
from nerveseg.text.spelling import plain

if TYPE_CHECKING:
    import pydicom

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ""})  # archives often export files without a suffix
MAX_LOOP_PIXELS = 2**29  # of all frames of a loop: three bytes of memory each, six in colour
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the transfer syntax of a file compressed as a whole
SALT_VARIABLE = "NERVESEG_SALT"
SALT_FILE = ".nerveseg-salt"
IDENTITY = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate")
_TAGS = [
    *IDENTITY, "SOPInstanceUID", "StudyInstanceUID", "OtherPatientIDs", "OtherPatientIDsSequence", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "BurnedInAnnotation", "PixelSpacing", "SequenceOfUltrasoundRegions", "FrameTime", "CineRate",
    "RecommendedDisplayFrameRate",
]  # fmt: skip
HALVED_COLOUR = ("YBR_FULL_422", "YBR_PARTIAL_422")
TISSUE, CENTIMETRES = 1, 3  # spatial format and physical unit of an ultrasound region (PS3.3, section C.8.5.5)


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do (PS3.10, section 7.1)."""
    try:
        return bytes_of(path, 132)[128:] == b"DICM"
    except BadFileError:
        return False


@dataclass(frozen=True)
class Header:
    """What a file says about its frames and patient. `repr` leaves out the patient, so that no message shows who it is."""

    frames: int
    height: int
    width: int
    bits: int  # of a grey level
    signed: bool  # whether levels may be below 0
    burned_in: bool  # whether text is burned into the pixels
    spacing: Spacing | None  # height and width of a pixel in millimetres; None if not said, or in several ways
    frame_time: float | None  # milliseconds between frames; None if not said
    instance: str  # the file's own UID
    study: str  # the UID of its study, which is of one patient; '' if not said
    identity: tuple[str, ...]  # the values of `IDENTITY`
    others: tuple[tuple[str, str], ...]  # the patient's other numbers, each with its issuer

    @property
    def says_white(self) -> bool:
        """Whether the number of bits says which level is white. Of 16 bits, files often use fewer."""
        return self.bits < 16 and not self.signed

    def __repr__(self) -> str:
        return f"{self.frames} frames of {self.width}x{self.height} pixels"


def read_header(path: Path, content: bytes | None = None) -> Header:
    """Read and check the header of a file, or its `content`. No image, or less than announced, raises `BadFileError`."""
    import pydicom

    content = bytes_of(path) if content is None else content
    if kind := next((kind for mark, kind in FIRST_BYTES.items() if content.startswith(mark)), None):
        raise BadFileError(path, f"a {kind}, no DICOM file", f"rename it so that it ends in .{kind.lower()}")
    if DEFLATED in content:  # pydicom would inflate it to any size first
        raise BadFileError(path, "a DICOM file deflated as a whole", "export it uncompressed")
    with refused_if_damaged(path, "no readable DICOM image", "export it again from the machine or PACS"):
        file = io.BytesIO(content)
        found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
        behind = len(content) - file.tell()  # pydicom stops before the pixels
        frames, rows, columns = int(found.get("NumberOfFrames") or 1), int(found.Rows), int(found.Columns)
        samples, allocated = int(found.get("SamplesPerPixel") or 1), int(found.get("BitsAllocated") or 8)
        bits = int(found.get("BitsStored") or allocated)
        if found.get("PhotometricInterpretation") in HALVED_COLOUR:
            samples = 2  # two pixels share a colour
        compressed = found.file_meta.TransferSyntaxUID.is_compressed
        identity = tuple(str(found.get(tag) or "").strip() for tag in IDENTITY)
        others = tuple(_other_numbers(found))
        instance, study = (str(found.get(tag) or "") for tag in ("SOPInstanceUID", "StudyInstanceUID"))
        signed = bool(found.get("PixelRepresentation"))
        burned_in = str(found.get("BurnedInAnnotation") or "NO") != "NO"
        spacing, frame_time = _spacing(found), _frame_time(found)
    if min(frames, rows, columns) < 1:
        raise BadFileError(path, f"a loop of {frames} frames of {columns}x{rows} pixels", "export it again")
    if rows * columns > MAX_PIXELS or frames * rows * columns > MAX_LOOP_PIXELS:
        what = f"claims {frames} frames of {columns}x{rows} pixels"
        raise BadFileError(path, what, "export a shorter or smaller loop")
    announced = frames * rows * columns * samples * allocated // 8
    if not compressed and behind < announced:
        raise BadFileError(path, f"{behind:,} bytes of pixels, but its header announces {announced:,}", "copy it again")
    if not 1 <= bits <= 16:
        raise BadFileError(path, f"{bits} bits a pixel, expected 8 to 16", "export it with 8 bits")
    return Header(
        frames, rows, columns, bits, signed, burned_in, spacing, frame_time, instance, study, identity, others
    )


class Patient(NamedTuple):
    """Digests of the patient, equal in all files of one patient."""

    subject: str
    spelling: str  # of the patient, however spelt
    number: str  # of the number without its issuer; '' if the file says none
    person: str  # of name and date of birth; '' if the file does not say both
    others: tuple[str, ...]  # of the patient under other numbers
    study: str  # '' if the file says none


def patient_of(header: Header, salt: bytes) -> Patient | None:
    """Return the patient, by number and issuer or else by name and date of birth; None if the file says neither."""
    number, issuer, name, birth = (_plain(value) for value in header.identity)
    name = _plain(name.partition("=")[0].replace("^", " "))  # other scripts follow `=`; parts, even empty, end in `^`
    who, person = (number, issuer) if number else (name, birth), chr(31).join((name, birth))
    if not any(who):
        return None
    return Patient(
        _digest(chr(31).join(who), salt),
        _digest(chr(31).join(map(plain, who)), salt),
        keyed_subject(number, salt) if number else "",
        _digest(person, salt) if name and birth else "",
        tuple(_digest(_plain(other) + chr(31) + _plain(of), salt) for other, of in header.others if other.strip()),
        _digest(header.study, salt) if header.study else "",
    )


def keyed_subject(name: str, salt: bytes) -> str:
    """Return the digest of a subject that the name of a file gives, since that may be the patient's number."""
    return _digest(_plain(name) + chr(31), salt)


def _plain(value: str) -> str:
    return " ".join(value.casefold().split())


def _other_numbers(found: "pydicom.Dataset") -> Iterator[tuple[str, str]]:
    """Yield the patient's other numbers and their issuers, from the sequence and from its older form."""
    for item in found.get("OtherPatientIDsSequence") or []:
        yield str(item.get("PatientID") or ""), str(item.get("IssuerOfPatientID") or "")
    older = found.get("OtherPatientIDs") or []
    yield from ((str(number), "") for number in ([older] if isinstance(older, str) else older))


def _spacing(found: "pydicom.Dataset") -> Spacing | None:
    """Ultrasound gives the spacing of each region, in centimetres. Other exports give one for all pixels."""
    found_spacings = {
        (abs(10.0 * region.PhysicalDeltaY), abs(10.0 * region.PhysicalDeltaX))
        for region in found.get("SequenceOfUltrasoundRegions") or []
        if region.get("RegionSpatialFormat") == TISSUE
        and (region.get("PhysicalUnitsXDirection"), region.get("PhysicalUnitsYDirection")) == (CENTIMETRES, CENTIMETRES)
    }
    if not found_spacings and (spacing := found.get("PixelSpacing")):
        found_spacings = {(float(spacing[0]), float(spacing[1]))}
    (height, width), *others = found_spacings or {(0.0, 0.0)}
    return None if others or not min(height, width) > 0.0 else (height, width)


def _frame_time(found: "pydicom.Dataset") -> float | None:
    rate = found.get("RecommendedDisplayFrameRate") or found.get("CineRate")
    time = float(found.get("FrameTime") or (1000.0 / float(rate) if rate else 0.0))
    return time if time > 0.0 else None


def _digest(text: str, salt: bytes) -> str:
    return "p" + hmac.new(salt, text.encode(), hashlib.sha256).hexdigest()[:12]


def salt_of(directory: Path) -> bytes:
    """Return the secret behind subjects, from `NERVESEG_SALT` or a file in `directory`, created if missing; never empty."""
    if (given := os.environ.get(SALT_VARIABLE)) is not None:
        where = f"the environment variable {SALT_VARIABLE}"
        return _secret(os.fsencode(given), where, "set it to a secret text, or unset it")
    path = directory / SALT_FILE
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=directory, prefix=f"{SALT_FILE}.") as draft:
                draft.write(secrets.token_hex(16).encode())
                draft.flush()
                with contextlib.suppress(FileExistsError):  # another process was faster
                    os.link(draft.name, path)
        if not path.is_file():
            raise OSError(errno.EINVAL, "it is no regular file")  # noqa: TRY301 - a pipe would never end
        kept = path.read_bytes()
    except OSError as error:
        what = f"{path} cannot be read or created ({error.strerror})"
        raise DatasetError(f"{what}; set {SALT_VARIABLE} to a secret text") from None
    remedy = "restore it, or remove it to create a new one, which gives every subject another digest"
    return _secret(kept, str(path), remedy)


def _secret(salt: bytes, where: str, remedy: str) -> bytes:
    """With an empty key, anyone could compute a patient's digest."""
    if salt.strip():
        return salt
    raise DatasetError(f"{where} is empty, expected the secret behind the digests of subjects; {remedy}")
