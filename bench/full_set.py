"""Estimate how long a cross-validation of the full challenge set takes on several machines, from measured parts.

    python bench/full_set.py --one 90.1 --two 86.5        # what `python bench/scaling.py` measured; after `dvc repro`

Stages take as long as in the newest whole run that MLflow has, times the ratio of the frames that they go through. A step of
a training on n machines takes an n-th of one machine's, and in addition the exchange of gradients: all-reduce in a ring sends
2 (n - 1) / n of them. `bench/scaling.py` says how long that takes for two workers. Folds on machines of their own share nothing.
"""

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from nerveseg.errors import NervesegError, told_plainly
from nerveseg.files.atomic import read_csv
from nerveseg.params.file import load_params
from nerveseg.tracking.store import store_uri

FOLDS, MACHINES = 5, (1, 2, 8)
FRAMES, SUBJECTS = 5635, 47  # of the challenge set
GIGABIT = 125e6  # bytes per second
PROPORTIONAL_TO = {
    "preprocess": "all", "augment": "train", "train_unet": "train", "train_gan": "train", "export": None, "predict": "test",
    "robustness": "test", "evaluate": "test", "visualize": None,
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """What was measured on one machine, in seconds."""

    stages: Mapping[str, float]
    frames: Mapping[str, int]  # of `all`, `train` and `test`
    step: float  # of the U-Net's training
    exchange: float  # of gradients between two workers, in each step
    gradients: float  # bytes

    def fold(self, frames: Mapping[str, float], machines: int = 1, bandwidth: float = math.inf) -> float:
        """Return the seconds of a fold with so many frames, its training spread over machines."""
        rounds = 2 * (machines - 1) / machines
        step = self.step / machines + rounds * (self.exchange + self.gradients / bandwidth)
        return sum(
            self.stages[stage]
            * (frames[kind] / self.frames[kind] if kind else 1)
            * (step / self.step if stage == "train_unet" else 1)
            for stage, kind in PROPORTIONAL_TO.items()
        )


def of_a_fold(frames: int, subjects: int, val_fraction: float) -> dict[str, float]:
    """Return how many frames a fold has in all, for train and for test."""
    test = frames / FOLDS
    val = frames * round(val_fraction * subjects) / subjects
    return {"all": frames, "train": frames - test - val, "test": test}


def table(parts: Parts, frames: Mapping[str, float]) -> pd.DataFrame:
    """Return hours by number of machines, in a row for each way to use them."""
    rows = {
        "each fold on one machine": [math.ceil(FOLDS / n) * parts.fold(frames) for n in MACHINES],
        "each training on all machines": [FOLDS * parts.fold(frames, n) for n in MACHINES],
        "the same over gigabit Ethernet": [FOLDS * parts.fold(frames, n, GIGABIT) for n in MACHINES],
    }
    return pd.DataFrame(rows, index=pd.Index(MACHINES, name="machines")).T / 3600


def newest_run() -> tuple[dict[str, float], float]:
    """Return the seconds of each stage in the newest whole run in MLflow, and how many weights the U-Net has."""
    import mlflow

    mlflow.set_tracking_uri(store_uri(Path()))
    runs = mlflow.search_runs(experiment_names=["nerveseg"], filter_string="attributes.status = 'FINISHED'")
    for _, of_one in runs.groupby("tags.mlflow.parentRunId", sort=False) if len(runs) else ():
        stages = of_one.set_index("tags.mlflow.runName")
        if set(PROPORTIONAL_TO) <= set(stages.index):
            seconds = (stages["end_time"] - stages["start_time"]).dt.total_seconds()
            return dict(zip(seconds.index.astype(str), seconds, strict=True)), float(
                stages["metrics.parameters"]["train_unet"]
            )
    raise NervesegError("MLflow has no run of the whole pipeline; `dvc repro --force` makes one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", type=float, required=True, help="frames per second of one worker")
    parser.add_argument("--two", type=float, required=True, help="the same of two workers")
    given = parser.parse_args()
    params, (stages, weights) = load_params(), newest_run()
    counts = read_csv(Path("data/processed/manifest.csv"))["split"].value_counts()
    frames = {"all": int(counts.sum()), "train": int(counts["train"]), "test": int(counts["test"])}
    batch, epochs = params.unet.batch_size, params.unet.epochs
    step = stages["train_unet"] * batch / (epochs * frames["train"])
    parts = Parts(stages, frames, step, batch * (1 / given.two - 1 / given.one / 2), 4 * weights)
    full = of_a_fold(FRAMES, SUBJECTS, params.split.val_fraction)
    print(
        f"a step: {step:.3f} s; exchange between two workers: {parts.exchange:.3f} s for {parts.gradients / 1e6:.1f} MB"
    )
    print("a fold: " + ", ".join(f"{count:,.0f} frames ({kind})" for kind, count in full.items()))
    print(table(parts, full).round(1).to_string())


if __name__ == "__main__":
    with told_plainly():
        main()
