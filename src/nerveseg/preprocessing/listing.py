"""A folder -> its files that hold frames or masks, and why the others do not. Only DICOM files are opened, for their header.

`check`, `preprocess`, `predict` and `watch` all choose their files here, so that they agree on what a frame is.

Reports call a file by its path below the folder. Paths of DICOM files often name the patient (`DOE_JANE/4711.dcm`), in
more ways than a check could recognise: with DICOM in a folder, `Names` calls all files by a keyed digest of their paths.
"""

import hashlib
import hmac
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nerveseg.errors import DatasetError
from nerveseg.files.user_folder import RECORD, Records
from nerveseg.imaging.dicom import DICOM_SUFFIXES, is_dicom
from nerveseg.imaging.image_files import IMAGE_SUFFIXES
from nerveseg.imaging.nifti import NIFTI_SUFFIXES, is_nifti
from nerveseg.imaging.video import VIDEO_SUFFIXES

SUBJECTS_FILE = "subjects.csv"
LIKE_SUBJECTS_FILE = re.compile(r"subjects?(\.\w+)+", re.IGNORECASE)
UNREAD_SUBJECTS = "a table of subjects that is not read"
# Frames in these are copies, previews or deleted.
OS_FOLDERS = frozenset({"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"})
# A link that leaves the folder could expose any file of this machine. Caches that name files by their content are safe:
# DVC (of today, and before version 3) and git-annex link a data set into them.
CACHES = re.compile(r"/(files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}$|/\.git/annex/objects/")
KNOWN_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES | VIDEO_SUFFIXES
IMAGE, DICOM, NIFTI, VIDEO, IMAGELESS = "image", "DICOM", "NIfTI", "video", "imageless"
ALSO_IMAGES = frozenset({"Enhanced US Volume Storage", "Segmentation Storage", "Parametric Map Storage"})
NO_TEXT = re.compile("[\ud800-\udfff]")  # how Python shows bytes in a name that are no UTF-8
EXPECTED = "TIFF, PNG, JPEG, BMP, DICOM, NIfTI or a video"


@dataclass(frozen=True)
class Names:
    """How reports call a file or frame: by its path below the data set's folder or, with a secret, by a digest."""

    salt: bytes | None = field(default=None, repr=False)

    def __call__(self, path: PurePath | str) -> str:
        text = str(path)
        if self.salt is None:
            return os.fsencode(text).decode(errors="backslashreplace")
        return "f" + hmac.new(self.salt, os.fsencode(text), hashlib.sha256).hexdigest()[:12] + suffix_of(PurePath(text))


@dataclass(frozen=True)
class Refused:
    """A file that is not used, why, and what its owner can do."""

    file: PurePath | str  # its path below the folder or, in reports, its name
    reason: str
    remedy: str
    foreign: bool = False  # whether it never claimed to be a frame or a mask


@dataclass(frozen=True)
class Listing:
    images: list[PurePath]  # frames and masks, below the folder
    videos: list[PurePath]
    refused: list[Refused]
    dicom: bool  # whether any file is DICOM


def listing_of(directory: Path) -> Listing:
    """Sort the files of a data set's folder; raise `DatasetError` if it is missing or may not be entered."""
    shown = repr(str(directory)) if str(directory) != str(directory).strip() else directory
    try:
        found = directory.is_dir()
    except OSError as error:
        raise DatasetError(
            f"{shown} cannot be entered ({error.strerror}); check the path and the permissions of the folders above it"
        ) from None
    if not found:
        raise DatasetError(
            f"{shown} is not a folder; put frames there as S_N.tif with S_N_mask.tif (subject S, frame N), "
            "or set data.dir in params.yaml to where they are"
        )
    refused: list[Refused] = []
    paths = sorted(_files(directory, refused))
    kinds = {path: kind_of(directory / path) for path in paths if path.name != RECORD}
    subjects = kinds.pop(PurePath(SUBJECTS_FILE), None)
    root, records = directory.resolve(), Records()
    fit: dict[str, list[PurePath]] = {IMAGE: [], DICOM: [], NIFTI: [], VIDEO: []}
    for path, kind in kinds.items():
        place = directory / path
        if refusal := refusal_of(place, path, kind, records) or unfit_link(place, path, root):
            if subjects is None and refusal == no_image(path) and LIKE_SUBJECTS_FILE.fullmatch(path.name):
                remedy = f"save it as CSV in the data set's folder, as {SUBJECTS_FILE}"
                refusal = Refused(path, UNREAD_SUBJECTS, remedy, foreign=True)
            refused.append(refusal)
        else:
            fit[kind].append(path)
    dicom = not {DICOM, IMAGELESS}.isdisjoint(kinds.values())
    return Listing(sorted(fit[IMAGE] + fit[DICOM] + fit[NIFTI]), fit[VIDEO], refused, dicom)


def suffix_of(path: PurePath) -> str:
    """Return the suffix if it is that of a format we read, else ''; the last number of `1.2.840.1.5` is none."""
    if is_nifti(path):
        return path.name[-len(next(suffix for suffix in NIFTI_SUFFIXES if path.name.lower().endswith(suffix))) :]
    return path.suffix if path.suffix.lower() in KNOWN_SUFFIXES else ""


def stem_of(path: PurePath) -> str:
    return path.name.removesuffix(suffix_of(path))


def _files(directory: Path, refused: list[Refused]) -> Iterator[PurePath]:
    """Yield the paths of files below `directory`; folders that are not entered go to `refused`."""

    def unreadable(error: OSError) -> None:
        place = PurePath(os.path.relpath(error.filename, directory))
        refused.append(Refused(place, f"the folder cannot be read ({error.strerror})", "check its permissions"))

    for folder, below, files in os.walk(directory, onerror=unreadable):
        for name in sorted(below):
            path = PurePath(os.path.relpath(folder, directory), name)
            if reason := _why_not_entered(Path(folder, name)):
                below.remove(name)
                refused.append(Refused(path, reason, "if it holds frames, copy them into another folder", foreign=True))
        yield from (PurePath(os.path.relpath(folder, directory), name) for name in files)


def _why_not_entered(folder: Path) -> str:
    if folder.name.startswith("."):
        return "a hidden folder"
    if folder.name.casefold() in OS_FOLDERS:
        return "a folder of the operating system"
    return "a link to a folder, which is not followed" if os.path.islink(folder) else ""  # noqa: PTH114 - Path's raises


def kind_of(path: Path) -> str:
    """Return `IMAGE`, `VIDEO`, `NIFTI`, `DICOM`, `IMAGELESS` (DICOM, no image) or '', by the suffix or else by the first bytes."""
    suffix = path.suffix.lower()
    if is_nifti(path):
        return NIFTI
    if suffix in IMAGE_SUFFIXES:
        return IMAGE
    if suffix in VIDEO_SUFFIXES:
        return VIDEO
    if is_dicom(path):
        return DICOM if _holds_image(path) else IMAGELESS
    return DICOM if suffix and suffix in DICOM_SUFFIXES else ""


def _holds_image(path: Path) -> bool:
    """Tell by its SOP class (PS3.4, annex B) whether a DICOM file holds an image; if the class is no standard one, by
    whether it has rows of pixels. An unreadable file counts as an image: its reader explains what is wrong with it.
    """
    import pydicom

    try:
        with warnings.catch_warnings(action="ignore"):
            kind = str(pydicom.filereader.read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
            name = pydicom.uid.UID(kind).name
            if name != kind and "Storage" in name:
                return "Image" in name or name in ALSO_IMAGES
            return "Rows" in pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows"])
    except Exception:  # noqa: BLE001 - a damaged header breaks pydicom in many ways
        return True


def refusal_of(place: Path, path: PurePath, kind: str, records: Records) -> Refused | None:
    """Return why the file at `place`, called `path`, cannot be a frame or mask, whatever it holds; `kind` is from `kind_of`."""
    if NO_TEXT.search(str(path)):
        remedy = "rename it: DVC stops at such a name, whatever the file holds"
        return Refused(path, "its name is no text in UTF-8", remedy)
    if path.name.startswith("."):
        return Refused(path, "a hidden file", "if it is a frame, rename it without the dot", foreign=True)
    if records.name(place):
        remedy = f"nothing, unless it should count as an annotation: then remove {RECORD} beside it"
        return Refused(path, "written by nerveseg predict", remedy, foreign=True)
    if path.suffix == ".dvc":
        pulled = place.with_suffix("").exists()
        reason = "DVC's record of what is beside it" if pulled else "DVC's record of what is not here"
        return Refused(path, reason, "nothing" if pulled else "run `dvc pull`", foreign=pulled)
    if kind == IMAGELESS:
        return Refused(path, "a DICOM file without an image", "if it should be a frame, export it again", foreign=True)
    return None if kind else no_image(path)


def no_image(path: PurePath) -> Refused:
    reason = f"no image by its name ({path.suffix or 'no suffix'}), expected {EXPECTED}"
    return Refused(path, reason, "if it should be a frame, export it as one of these", foreign=True)


def unfit_link(place: Path, path: PurePath, root: Path) -> Refused | None:
    """Return why a link must not be opened: it leads to nothing, or out of the data set into no known cache."""
    try:
        if place.is_symlink():
            target = place.resolve(strict=True)
            if not target.is_relative_to(root) and not CACHES.search(target.as_posix()):
                return Refused(path, "a link that leaves the folder", "put a copy of the file there")
        else:
            place.lstat()
    except FileNotFoundError:
        return Refused(path, "a link to nothing", "put a copy of the file there")
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads back to itself
        what = getattr(error, "strerror", None) or "a link that leads back to itself"
        return Refused(path, f"it cannot be looked at ({what})", "check its links and permissions")
    return None
