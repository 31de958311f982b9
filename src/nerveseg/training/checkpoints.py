"""The state of a training after its last whole epoch, from which the same command resumes.

A checkpoint is one file outside DVC's outputs, which DVC deletes before a stage runs. Its name holds a digest of params,
inputs and code, so no training resumes from another's. The file appears only when it is whole and is checked when read; a
finished stage leaves none behind. It lies in the user's repository even if a stage runs in a copy that DVC will delete.
"""

import io
import logging
import os
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.files.array_archive import write_arrays
from nerveseg.files.atomic import read_csv, whole_file
from nerveseg.repository import repository_root

State = list[NDArray[Any]]  # the values of a list of variables, in its order
Weights = list[NDArray[np.float32]]
FOLDER = Path(".nerveseg/checkpoints")
KEPT_DAYS = 30  # a stopped training of other params or data resumes if the user goes back to them within this time
_HISTORY = "history"
_LOG = logging.getLogger(__name__)


class Checkpoint:
    """The history and the variables of a training after each epoch. A worker that is not the chief never `writes`."""

    def __init__(self, name: str, *, writes: bool = True) -> None:
        self.path = repository_root() / FOLDER / f"{name}.npz"  # named after stage and digest: train_unet-3f2a...
        self._writes = writes
        self._failed = False

    @property
    def run_record(self) -> Path:
        """The file in which tracking notes the run of this training."""
        return self.path.with_suffix(".run.json")

    def save(self, history: pd.DataFrame, states: Mapping[str, State]) -> None:
        """Store the state after the last epoch of `history`, whole or not at all; if that fails, one warning says so."""
        if not self._writes:
            return
        arrays = {f"{name}/{i}": value for name, values in states.items() for i, value in enumerate(values)}
        arrays[_HISTORY] = np.frombuffer(history.to_csv(index=False).encode(), np.uint8)
        content = io.BytesIO()  # an archive on a full disk cannot be closed and would complain when the process ends
        write_arrays(content, arrays)
        try:
            with whole_file(self.path) as partial, partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if not self._failed:
                _LOG.warning(
                    "%s cannot be written (%s); training goes on, but if it is stopped, it resumes after the last epoch that "
                    "was stored, or starts again; make room there",
                    self.path,
                    error.strerror or error,
                )
            self._failed = True

    def restore(self) -> tuple[pd.DataFrame, dict[str, State]] | None:
        """Return the history and the states by name, or None if there is no checkpoint or it is damaged (with a warning)."""
        try:
            with np.load(self.path) as stored:
                history = read_csv(io.BytesIO(stored[_HISTORY].tobytes()))
                states: dict[str, State] = {}
                for key in stored.files:  # in the order in which they were written
                    if key != _HISTORY:
                        states.setdefault(key.rpartition("/")[0], []).append(stored[key])
        except (FileNotFoundError, NotADirectoryError):
            return None
        # One flipped bit makes zipfile take an array for encrypted (RuntimeError) or for packed in an unknown way.
        except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
            _LOG.warning("%s is damaged (%s); training starts again", self.path, error)
            return None
        return history, states

    def remove(self) -> None:
        """Delete the checkpoint, half-written files of killed processes, and the stage's checkpoints older than `KEPT_DAYS`."""
        if not self._writes:
            return
        stage = self.path.stem.rpartition("-")[0]
        oldest = time.time() - KEPT_DAYS * 24 * 3600
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
            for partial in self.path.parent.glob(f".{stage}-*.part"):
                pid = partial.stem.rpartition(".")[2]
                if not (pid.isdecimal() and psutil.pid_exists(int(pid))):
                    partial.unlink(missing_ok=True)
            for other in [*self.path.parent.glob(f"{stage}-*.npz"), *self.path.parent.glob(f"{stage}-*.run.json")]:
                if other.stat().st_mtime < oldest:
                    other.unlink(missing_ok=True)


def values_of(variables: Sequence[tf.Variable]) -> State:
    return [np.asarray(variable.numpy()) for variable in variables]


def assign(variables: Sequence[tf.Variable], state: State) -> None:
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)
