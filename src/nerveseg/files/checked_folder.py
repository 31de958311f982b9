"""Folders whose files are read only if they are as they were written.

`list_files` writes `files.json` into a complete folder of data or of a model: the size and MD5 of every file. A `CheckedFolder`
compares each file with that list, and JSON with its type, before anything uses it. DVC does not check the files in its cache,
but names them by their MD5, so a message can say which one is damaged. A subfolder with its own list is listed as that list.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nerveseg.errors import NervesegError
from nerveseg.files.atomic import write_json

LIST_NAME = "files.json"
# For every type that is written as JSON: refuses wrong keys, wrong types and NaN.
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
T = TypeVar("T")


class ListedFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: Annotated[int, Field(ge=0)]
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]

    @classmethod
    def of(cls, path: Path) -> "ListedFile":
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return cls(bytes=path.stat().st_size, md5=digest.hexdigest())

    def __str__(self) -> str:
        return f"{self.bytes} bytes with MD5 {self.md5}"


def list_files(folder: Path) -> None:
    """Write the list of a complete folder."""
    own = {path.parent for path in folder.rglob(LIST_NAME) if path.is_file()} - {folder}
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path != folder / LIST_NAME
        and (own.isdisjoint(path.parents) or (path.name == LIST_NAME and path.parent in own))
    ]
    content = {path.relative_to(folder).as_posix(): ListedFile.of(path).model_dump() for path in files}
    write_json(folder / LIST_NAME, content)


def write_typed(path: Path, value: object) -> None:
    """Write a value of a pydantic type as JSON, for `CheckedFolder.read`."""
    write_json(path, TypeAdapter[Any](type(value)).dump_python(value, mode="json"))


@dataclass(frozen=True)
class CheckedFolder:
    """A folder that `list_files` has listed. A file that is missing, changed or of a wrong type raises `error` with `remedy`."""

    path: Path
    error: type[NervesegError]
    remedy: str

    def file(self, name: str) -> Path:
        """Return the path of a file after checking it."""
        path = self.path / name
        self._content(path, 0)
        listed = self._listed.get(name)
        if listed is None:
            raise self.error(f"{path} is not listed in {self.path / LIST_NAME}; {self.remedy}")
        if (found := ListedFile.of(path)) != listed:
            raise self.error(f"{path} is damaged or was changed: {found}, expected {listed}; {self._way_back(listed)}")
        return path

    def files(self, names: Sequence[str] | None = None) -> list[Path]:
        """Return the paths of these files, or of all listed ones."""
        return [self.file(name) for name in (self._listed if names is None else names)]

    def matching(self, pattern: str) -> list[Path]:
        """Return the paths of the listed files whose names match a pattern, in order."""
        return self.files(sorted(name for name in self._listed if Path(name).match(pattern)))

    def read(self, name: str, kind: type[T]) -> T:
        """Read a value that `write_typed` wrote."""
        return self._parsed(self.file(name), kind)

    @cached_property
    def _listed(self) -> dict[str, ListedFile]:
        return self._parsed(self.path / LIST_NAME, dict[str, ListedFile])

    def _parsed(self, path: Path, kind: type[T]) -> T:
        try:
            return TypeAdapter(kind).validate_json(self._content(path), strict=True)
        except ValidationError as invalid:
            raise self.error(f"{path} cannot be used: {_explained(invalid)}; {self.remedy}") from None

    def _content(self, path: Path, size: int = -1) -> bytes:
        try:
            with path.open("rb") as file:
                return file.read(size)
        except FileNotFoundError:
            raise self.error(f"{path} was not found; {self.remedy}") from None
        except OSError as error:
            raise self.error(f"{path} cannot be read ({error.strerror}); {self.remedy}") from None

    def _way_back(self, listed: ListedFile) -> str:
        cached = _in_cache_of_dvc(self.path, listed.md5)
        if cached is None:
            return self.remedy
        if ListedFile.of(cached) == listed:
            return f"delete {self.path} and run `dvc checkout`, which brings it back from DVC's cache"
        return f"DVC's cache is damaged: delete {cached} and {self.path}, then run `dvc pull`, or `dvc repro` to make it again"


def _explained(invalid: ValidationError) -> str:
    problem = invalid.errors(include_url=False, include_context=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    said = problem["type"] in ("missing", "json_invalid", "value_error")  # what was found, or that nothing was
    found = "" if said else f" (found {problem['input']!r:.80})"
    return f"{key + ': ' if key else ''}{problem['msg'].removeprefix('Value error, ')}{found}"


def _in_cache_of_dvc(folder: Path, md5: str) -> Path | None:
    """Return the file in DVC's cache that a listed file came from, if any."""
    root = next((parent for parent in folder.resolve().parents if (parent / ".dvc").is_dir()), None)
    if root is None:
        return None
    try:
        from dvc.repo import Repo

        with Repo(str(root)) as repo:
            cached = Path(repo.cache.local.path) / md5[:2] / md5[2:]
    except Exception:  # noqa: BLE001 - only a hint: DVC may be missing, or its config broken
        return None
    return cached if cached.is_file() else None
