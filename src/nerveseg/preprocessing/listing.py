"""A folder -> the files in it that hold frames or masks, and why the others do not; of DICOM the header's start is read.

`check`, `preprocess`, `predict` and `watch` choose their files here, so that no two of them disagree about what a frame is.

Reports call a file by its path below the folder. Where a DICOM file is among them, paths often tell who was examined
(`DOE_JANE/4711.dcm`), in more spellings than a check could know, so that there reports call every file and frame by a
keyed digest of its path: `Names`.
"""

import hashlib
import hmac
import os
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nerveseg.errors import DatasetError
from nerveseg.files.user_folder import RECORD, Records
from nerveseg.imaging.dicom import DICOM_SUFFIXES, is_dicom
from nerveseg.imaging.image_files import IMAGE_SUFFIXES
from nerveseg.imaging.video import VIDEO_SUFFIXES

SUBJECTS_FILE = "subjects.csv"
# A link that leaves the folder may lead a data set of somebody else's to any file of this machine. Links into a cache that
# names files by their content are how DVC (of today, and before version 3) and git-annex keep a data set.
CACHES = re.compile(r"/(files/md5/)?[0-9a-f]{2}/[0-9a-f]{30}$|/\.git/annex/objects/")
KNOWN_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES | VIDEO_SUFFIXES
IMAGE, DICOM, VIDEO, IMAGELESS = "image", "DICOM", "video", "imageless"
ALSO_IMAGES = frozenset({"Enhanced US Volume Storage", "Segmentation Storage", "Parametric Map Storage"})
EXPECTED = "TIFF, PNG, JPEG, BMP, DICOM or a video"


@dataclass(frozen=True)
class Names:
    """How reports call what is at a path below the data set's folder: by that path or, with a secret, by a digest."""

    salt: bytes | None = field(default=None, repr=False)

    def __call__(self, path: PurePath | str) -> str:
        text = str(path)
        if self.salt is None:
            return os.fsencode(text).decode(errors="backslashreplace")
        suffix = suffix_of(PurePath(text))
        return "f" + hmac.new(self.salt, os.fsencode(text), hashlib.sha256).hexdigest()[:12] + suffix


@dataclass(frozen=True)
class Refused:
    """A file that cannot be a frame or a mask; `foreign`: it never claimed to be one."""

    path: PurePath
    reason: str
    remedy: str
    foreign: bool = False


@dataclass(frozen=True)
class Listing:
    """Paths relative to the folder: of frames and masks, of videos, and what is neither; `dicom`: whether a DICOM file is
    anywhere in it.
    """

    images: list[PurePath]
    videos: list[PurePath]
    refused: list[Refused]
    dicom: bool


def list_files(directory: Path, names_for: Callable[[bool], Names]) -> tuple[Listing, Names]:
    """Look at the files of `directory`.

    Args:
        directory: the data set.
        names_for: says how reports call files, given whether DICOM files are among them.

    Raises:
        DatasetError: the folder is missing or may not be entered.
    """
    try:
        found = directory.is_dir()
    except OSError as error:
        raise DatasetError(
            f"{directory} cannot be entered ({error.strerror}); check the permissions above it"
        ) from None
    if not found:
        raise DatasetError(
            f"{directory} is not a folder; put frames there as S_N.tif with S_N_mask.tif (subject S, frame N), "
            "or set data.dir in params.yaml to where they are"
        )
    refused: list[Refused] = []
    paths = sorted(
        path for path in _files(directory, refused) if path != PurePath(SUBJECTS_FILE) and path.name != RECORD
    )
    kinds = {path: kind_of(directory / path) for path in paths}
    dicom = not {DICOM, IMAGELESS}.isdisjoint(kinds.values())
    root, records = directory.resolve(), Records()
    fit: dict[str, list[PurePath]] = {IMAGE: [], DICOM: [], VIDEO: []}
    for path in paths:
        if refusal := refusal_of(directory / path, path, kinds[path], records) or unfit_link(
            directory / path, path, root
        ):
            refused.append(refusal)
        else:
            fit[kinds[path]].append(path)
    return Listing(sorted(fit[IMAGE] + fit[DICOM]), fit[VIDEO], refused, dicom), names_for(dicom)


def suffix_of(path: PurePath) -> str:
    """The suffix of a kind of file that is read, else ''; the last number of `1.2.840.1.5` is none."""
    return path.suffix if path.suffix.lower() in KNOWN_SUFFIXES else ""


def stem_of(path: PurePath) -> str:
    return path.name.removesuffix(suffix_of(path))


def _files(directory: Path, refused: list[Refused]) -> Iterator[PurePath]:
    """Paths of files below `directory`; folders that are not entered are refused."""

    def unreadable(error: OSError) -> None:
        place = PurePath(os.path.relpath(error.filename, directory))
        refused.append(Refused(place, f"the folder cannot be read ({error.strerror})", "check its permissions"))

    for folder, below, files in os.walk(directory, onerror=unreadable):
        for name in sorted(below):
            path = PurePath(os.path.relpath(folder, directory), name)
            if name.startswith(".") or os.path.islink(Path(folder, name)):  # noqa: PTH114 - Path's raises where os's says no
                below.remove(name)
                what = "a hidden folder" if name.startswith(".") else "a link to a folder, which is not followed"
                refused.append(Refused(path, what, "copy what belongs to the data set", foreign=True))
        yield from (PurePath(os.path.relpath(folder, directory), name) for name in files)


def kind_of(path: Path) -> str:
    """`IMAGE`, `VIDEO`, `DICOM`, `IMAGELESS` for DICOM without an image, or, for all else, ''; by its name, and where that
    says nothing by its first bytes.
    """
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return IMAGE
    if suffix in VIDEO_SUFFIXES:
        return VIDEO
    if is_dicom(path):
        return DICOM if _holds_image(path) else IMAGELESS
    return DICOM if suffix and suffix in DICOM_SUFFIXES else ""


def _holds_image(path: Path) -> bool:
    """Whether a DICOM file is one of images, by its SOP class (PS3.4, annex B), or, where that is nobody's standard, by
    whether it has rows of pixels. What cannot be read counts as one: its reader says what is wrong with it.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = str(pydicom.filereader.read_file_meta_info(path).get("MediaStorageSOPClassUID", ""))
            name = pydicom.uid.UID(kind).name
            if name != kind and "Storage" in name:
                return "Image" in name or name in ALSO_IMAGES
            return "Rows" in pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["Rows"])
    except Exception:  # noqa: BLE001 - a damaged header breaks pydicom in many ways
        return True


def refusal_of(place: Path, path: PurePath, kind: str, records: Records) -> Refused | None:
    """Why a file cannot be a frame or a mask, whatever is in it.

    Args:
        place: where it is.
        path: how to call it.
        kind: of the file (`kind_of`).
        records: of what `predict` wrote.
    """
    if not is_text(path):
        return Refused(
            path, "its name is no text in UTF-8", "rename it: DVC stops at such a name, whatever the file holds"
        )
    if path.name.startswith("."):
        return Refused(path, "a hidden file", "if it should be a frame, export it as one of these", foreign=True)
    if records.name(place):
        remedy = f"nothing, unless it should count as an annotation: then remove {RECORD} beside it"
        return Refused(path, "written by nerveseg predict", remedy, foreign=True)
    if kind == IMAGELESS:
        return Refused(path, "a DICOM file without an image", "if it should be a frame, export it again", foreign=True)
    return None if kind else no_image(path)


def no_image(path: PurePath) -> Refused:
    reason = f"no image by its name ({path.suffix or 'no suffix'}), expected {EXPECTED}"
    return Refused(path, reason, "if it should be a frame, export it as one of these", foreign=True)


def is_text(path: PurePath) -> bool:
    """Whether a name can be written as UTF-8; others are bytes that Linux allows and that DVC cannot track."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def unfit_link(place: Path, path: PurePath, root: Path) -> Refused | None:
    """Why a file is not to be opened where it is a link: one out of the data set, but for those into a cache, or to nothing."""
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
