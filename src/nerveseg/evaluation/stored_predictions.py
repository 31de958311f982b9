"""The predictions of the test frames, as the stage `predict` stores them.

The folder holds `predictions.json`, a `PredictionsInfo`, and for each model `NAME.npz`: `probability`, float32 (N, height, width)
0..1, of the letterboxed frames in the order of the test records, and `presence`, float32 (N,) 0..1. `mirrored.npz` holds the same
for the frames' mirror images, by the model that ships.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass as checked_dataclass

from nerveseg.errors import DatasetError
from nerveseg.files.array_archive import write_arrays
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.imaging.arrays import Frame, Size
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import Predictor, over

INFO_NAME, MIRRORED = "predictions.json", "mirrored"


@checked_dataclass(frozen=True, config=STRICT)
class ShippedModel:
    """Which trained model ships, which arm val chose if it is `gan`, and in which arithmetic it computes."""

    source: Literal["gan", "ensemble"]
    arm: str | None
    precision: Literal["int8", "float32"]


@checked_dataclass(frozen=True, config=STRICT)
class PredictionsInfo:
    """The size of the networks' input (height, width), SHA-256 of all inputs, cut-offs in the order of scoring, and what ships."""

    size: tuple[int, int]
    digest: str
    cutoffs: dict[str, Cutoffs]
    shipped: ShippedModel


def store(folder: Path, name: str, model: Predictor, inputs: NDArray[np.uint8]) -> None:
    """Write the predictions of a model for letterboxed frames, uint8 (N, height, width)."""
    said = list(model.maps(inputs))
    probability, presence = np.stack([each.probability for each in said]), [each.presence for each in said]
    write_arrays(folder / f"{name}.npz", {"probability": probability, "presence": np.array(presence, np.float32)})


def store_mirrored(folder: Path, model: Predictor, frames: Sequence[Frame]) -> None:
    """Write the predictions of the model that ships for the mirror images of frames, uint8 (H, W) each."""
    mirrored = [np.ascontiguousarray(frame[:, ::-1]) for frame in frames]
    store(folder, MIRRORED, model, model.letterboxed(mirrored))


def finish(folder: Path, inputs: NDArray[np.uint8], cutoffs: dict[str, Cutoffs], shipped: ShippedModel) -> None:
    """Write `predictions.json` for letterboxed frames, uint8 (N, height, width), and list the files."""
    _, height, width = inputs.shape
    write_typed(folder / INFO_NAME, PredictionsInfo((height, width), _digest(inputs), cutoffs, shipped))
    list_files(folder)


@dataclass(frozen=True)
class StoredPredictions:
    """The folder that `predict` wrote for letterboxed frames, uint8 (N, H, W); DatasetError if missing, damaged or of others."""

    path: Path
    inputs: NDArray[np.uint8]

    @cached_property
    def info(self) -> PredictionsInfo:
        info = self._folder.read(INFO_NAME, PredictionsInfo)
        if info.digest != _digest(self.inputs):
            raise DatasetError(
                f"{self.path} holds predictions of other test frames than the prepared ones, and scores of them would be wrong; "
                "run the whole pipeline with `dvc repro`"
            )
        return info

    def estimates(self, name: str, sizes: Iterable[Size]) -> Iterator[Estimate]:
        """Yield the estimate of each frame at its size (height, width)."""
        with np.load(self._folder.file(f"{name}.npz")) as stored:
            said = zip(stored["probability"], stored["presence"], strict=True)
        for (probability, presence), size in zip(said, sizes, strict=True):
            yield over(size, Estimate(probability, float(presence)), self.info.size)

    def mirrored(self, sizes: Iterable[Size]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities that the model that ships saw in the mirror images, turned back."""
        return (estimate.probability[:, ::-1] for estimate in self.estimates(MIRRORED, sizes))

    @property
    def _folder(self) -> CheckedFolder:
        return CheckedFolder(self.path, DatasetError, "make it again with `dvc repro predict`")


def _digest(inputs: NDArray[np.uint8]) -> str:
    return hashlib.sha256(inputs.tobytes()).hexdigest()
