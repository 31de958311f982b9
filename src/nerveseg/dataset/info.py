"""What `preprocess` says of the data set that it has prepared: `dataset.json`, and which files lie beside it."""

from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import DatasetError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, write_typed
from nerveseg.imaging.grey_range import GreyRange

INFO_NAME = "dataset.json"


@checked_dataclass(frozen=True, config=STRICT)
class DatasetInfo:
    """Where the frames came from (`data.dir`), what the network expects of them, frames per split, the SHA-256 over the
    digests of all frames, what was black and white in files that do not say it, a sentence for each thing that a reader of
    the scores should know, and how many of the frames the stage `phantom` made.
    """

    source: str
    input: InputSpec
    frames: dict[str, Annotated[int, Field(ge=0)]]
    digest: str
    grey_range: GreyRange = field(default_factory=GreyRange)
    warnings: tuple[str, ...] = ()
    simulated: Annotated[int, Field(ge=0)] = 0

    def facts(self) -> dict[str, Any]:
        """All but the warnings, as the report shows them."""
        facts = asdict(self)
        del facts["warnings"]
        return {"source": facts.pop("source"), **facts.pop("input"), **facts}

    def write(self, directory: Path) -> None:
        write_typed(directory / INFO_NAME, self)

    @classmethod
    def read(cls, directory: Path) -> "DatasetInfo":
        return prepared(directory).read(INFO_NAME, cls)


def prepared(directory: Path) -> CheckedFolder:
    """A folder that `preprocess` or `augment` has written."""
    return CheckedFolder(directory, DatasetError, "run `dvc repro` to make it again")


def shards(directory: Path, prefix: str) -> list[Path]:
    """The files `prefix-*.tfrecord` of a folder, in order.

    Raises:
        DatasetError: there is none, or one is missing or damaged.
    """
    found = prepared(directory).matching(f"{prefix}-*.tfrecord")
    if not found:
        raise DatasetError(f"{directory} holds no {prefix}-*.tfrecord; run `dvc repro` to make it")
    return found
