"""A folder -> the files in it that may be images, and why the others cannot be; at most their first bytes are read.

Reports call a file by its path below the folder. Where a DICOM file is among them, paths often tell who was examined
(`DOE_JANE/4711.dcm`), in more spellings than a check could know, so that there reports call every file and frame by a
keyed digest of its path: `Names`.
"""

import hashlib
import hmac
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from nerveseg.data.dicom import DICOM_SUFFIXES, is_dicom
from nerveseg.data.images import IMAGE_SUFFIXES
from nerveseg.errors import DatasetError

SUBJECTS_FILE = "subjects.csv"
DVC_CACHE = re.compile(r"files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
KNOWN_SUFFIXES = IMAGE_SUFFIXES | DICOM_SUFFIXES


@dataclass(frozen=True)
class Names:
    """How reports call what is at a path below the data set's folder: by that path or, with a secret, by a digest."""

    salt: bytes | None = field(default=None, repr=False)

    def __call__(self, path: PurePath | str) -> str:
        text = str(path)
        if self.salt is None:
            return text.encode(errors="backslashreplace").decode()
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
    """Paths relative to the folder; `dicom`: whether a DICOM file is anywhere in it."""

    images: list[PurePath]
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
    paths = sorted(_files(directory, refused))
    kinds = {path: _kind(directory / path) for path in paths}
    names = names_for("DICOM" in kinds.values())
    root = directory.resolve()
    kept: dict[str, list[PurePath]] = defaultdict(list)
    for path in paths:
        if refusal := _refusal(directory, path, kinds[path], root):
            refused += [refusal] if path != PurePath(SUBJECTS_FILE) else []
        else:
            kept[str(path).casefold()].append(path)
    for alike in kept.values():
        for one in alike if len(alike) > 1 else ():
            others = ", ".join(names(other) for other in alike if other != one)
            refused.append(Refused(one, f"its name differs from {others} only in case", "rename or remove one of them"))
    images = sorted(alike[0] for alike in kept.values() if len(alike) == 1)
    return Listing(images, refused, "DICOM" in kinds.values()), names


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


def _kind(path: Path) -> str:
    """`DICOM`, `image` or, for all else, ''; by its name, and where that says nothing by its first bytes."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return "image"
    return "DICOM" if (path.suffix and path.suffix.lower() in DICOM_SUFFIXES) or is_dicom(path) else ""


def _refusal(directory: Path, path: PurePath, kind: str, root: Path) -> Refused | None:
    """Why a file cannot be a frame or a mask, from its name and place alone."""
    if path.name.startswith("."):
        return Refused(path, "a hidden file", "nothing, unless it should be a frame", foreign=True)
    if not kind:
        expected = "TIFF, PNG, JPEG, BMP or DICOM"
        reason = f"no image by its name ({path.suffix or 'no suffix'}), expected {expected}"
        return Refused(path, reason, "nothing, unless it should be a frame", foreign=True)
    return _unfit(directory / path, path, root)


def _unfit(place: Path, path: PurePath, root: Path) -> Refused | None:
    try:
        str(path).encode()
        if place.is_symlink():
            target = place.resolve(strict=True)
            if not target.is_relative_to(root) and not DVC_CACHE.search(target.as_posix()):
                return Refused(path, "a link that leaves the folder", "copy the image itself")
        else:
            place.lstat()
    except UnicodeEncodeError:
        return Refused(path, "its name is no text in UTF-8", "rename it")
    except FileNotFoundError:
        return Refused(path, "a link to nothing", "copy the image itself")
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads back to itself
        what = getattr(error, "strerror", None) or "a link that leads back to itself"
        return Refused(path, f"it cannot be looked at ({what})", "check its links and permissions")
    return None
