"""Which arm val chose, the scores of all arms there, and remarks on the training: `refinement.json` beside it."""

from pathlib import Path
from typing import Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, write_typed
from nerveseg.params.fields import Share

FILE_NAME = "refinement.json"
UNET = "unet"  # the arm without a refiner


@dataclass(frozen=True, config=STRICT)
class Refinement:
    arm: str  # the chosen one, `unet` if no refiner gained
    clean: dict[str, Share]  # scores of every arm on val
    degraded: dict[str, Share]
    remarks: tuple[str, ...]  # sentences on the training
    reason: str  # a sentence why

    @model_validator(mode="after")
    def _scores_of_every_arm(self) -> Self:
        if self.arm not in self.clean or self.clean.keys() != self.degraded.keys():
            raise ValueError(f"clean and degraded must have the scores of the same arms, {self.arm} among them")
        return self

    @property
    def used(self) -> bool:
        return self.arm != UNET

    def __str__(self) -> str:
        scores = ", ".join(f"{arm} {self.clean[arm]:.3f} / {self.degraded[arm]:.3f}" for arm in self.clean)
        return f"val, clean / degraded: {scores}. {self.reason}"

    def write(self, directory: Path) -> None:
        write_typed(directory / FILE_NAME, self)

    @classmethod
    def read(cls, directory: Path) -> Self:
        return CheckedFolder(directory, ModelError, "make it again with `dvc repro train_gan`").read(FILE_NAME, cls)
