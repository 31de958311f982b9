"""The description of a prepared data set, `dataset.json`, and the files beside it."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import DatasetError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, write_typed
from nerveseg.imaging.grey_range import GreyRange

INFO_NAME = "dataset.json"


@checked_dataclass(frozen=True, config=STRICT)
class DatasetInfo:
    source: str  # `data.dir`
    input: InputSpec
    frames: dict[str, Annotated[int, Field(ge=0)]]  # in each split
    digest: str  # SHA-256 over the digests of all frames
    grey_range: GreyRange = field(default_factory=GreyRange)  # of files that do not say black and white
    warnings: tuple[str, ...] = ()  # sentences that a reader of the scores should know
    simulated: Annotated[int, Field(ge=0)] = 0  # frames that the stage `phantom` made

    @property
    def simulated_only(self) -> bool:
        """Return whether all frames, and there are some, are simulated."""
        return 0 < self.simulated == sum(self.frames.values())

    def write(self, directory: Path) -> None:
        write_typed(directory / INFO_NAME, self)

    @classmethod
    def read(cls, directory: Path) -> "DatasetInfo":
        return prepared(directory).read(INFO_NAME, cls)


def prepared(directory: Path) -> CheckedFolder:
    """Return a folder that `preprocess` or `augment` wrote."""
    return CheckedFolder(directory, DatasetError, "run `dvc repro` to make it again")


def shards(directory: Path, prefix: str) -> list[Path]:
    """Return the files `prefix-*.tfrecord`, in order; `DatasetError` if there is none, or one is missing or damaged."""
    found = prepared(directory).matching(f"{prefix}-*.tfrecord")
    if not found:
        raise DatasetError(f"{directory} holds no {prefix}-*.tfrecord; run `dvc repro` to make it")
    return found
