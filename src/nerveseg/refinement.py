"""What came of the refiners: which arm ships, and how all of them scored on val.

It is kept beside the shipped model as `refinement.json`, with what the training of the refiners was remarked for.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from nerveseg.errors import ModelError
from nerveseg.outputs import write_json

FILE_NAME = "refinement.json"
UNET = "unet"  # the arm without a refiner
LEAST_POOR = 0.5  # probability of a poor frame, from which a refiner corrects the U-Net at all


@dataclass(frozen=True)
class Refinement:
    """`arm` is what ships, `unet` where no refiner gained; `clean` and `degraded` are the scores of every arm on val, and
    `remarks` are sentences.
    """

    arm: str
    clean: Mapping[str, float]
    degraded: Mapping[str, float]
    remarks: Sequence[str]

    @property
    def used(self) -> bool:
        """Whether a refiner ships."""
        return self.arm != UNET

    def __str__(self) -> str:
        scores = ", ".join(f"{arm} {self.clean[arm]:.3f} / {self.degraded[arm]:.3f}" for arm in self.clean)
        shipped = f"{self.arm} ships" if self.used else "no refiner gained, so that the U-Net ships"
        return f"val, clean / degraded: {scores}; {shipped}"

    def write(self, directory: Path) -> None:
        write_json(directory / FILE_NAME, asdict(self))

    @classmethod
    def read(cls, directory: Path) -> Self:
        path = directory / FILE_NAME
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ModelError(f"{path} cannot be read ({error}); make it again with `dvc repro train_gan`") from None
