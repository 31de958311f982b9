"""Where a training was when it stopped, so that the same command goes on from its last whole epoch.

A checkpoint lies outside of DVC's outputs, which DVC deletes before a stage runs, and under a digest of params,
inputs and code: one of another training is never taken up. The finished stage leaves none behind.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

Weights = list[NDArray[np.float32]]
ROOT = Path(".nerveseg/checkpoints")
PACKAGE = Path(__file__).resolve().parents[1]


def digest_of(params: Mapping[str, Any], inputs: Sequence[Path]) -> str:
    """Hexadecimal digest of some parameters, of the bytes of some files and of this package's code."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode())
    for path in [*inputs, *sorted(PACKAGE.rglob("*.py"))]:
        digest.update(path.name.encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


class Checkpoint:
    """The state of one training after each epoch: named trackables, sets of weights by name, and the history.

    Args:
        name: the stage and the digest, for example `train_unet-3f2a...`.
        trackables: models and optimisers, already built, that are restored in place.
    """

    def __init__(self, name: str, **trackables: Any) -> None:
        self._directory = ROOT / name
        self._old = ROOT / f"{name}.old"
        self._state = tf.train.Checkpoint(**trackables)

    def save(self, history: pd.DataFrame, kept: Mapping[str, Weights]) -> None:
        """Keep the state after the last epoch of `history`; the one before it stays until this one is whole."""
        partial = self._directory.with_name(f"{self._directory.name}.part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self._state.write(str(partial / "state"))
        for name, weights in kept.items():
            np.savez(partial / f"{name}.npz", *weights)
        history.to_csv(partial / "history.csv", index=False)
        if self._directory.exists():
            self._directory.rename(self._old)
        partial.rename(self._directory)
        shutil.rmtree(self._old, ignore_errors=True)

    def restore(self) -> tuple[pd.DataFrame, dict[str, Weights]] | None:
        """Put the trackables back to where they were; the history and the sets of weights, or None at a fresh start."""
        if self._old.is_dir() and not self._directory.is_dir():  # stopped between the two renames of `save`
            self._old.rename(self._directory)
        if not self._directory.is_dir():
            return None
        self._state.read(str(self._directory / "state")).assert_consumed()
        history = pd.read_csv(self._directory / "history.csv", float_precision="round_trip")
        kept = {}
        for path in sorted(self._directory.glob("*.npz")):
            with np.load(path) as stored:
                kept[path.stem] = [stored[name] for name in stored.files]
        return history, kept

    def remove(self) -> None:
        for directory in (self._directory, self._old):
            shutil.rmtree(directory, ignore_errors=True)
