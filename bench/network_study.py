"""Measure what each choice of network, loss, batches, initial weights and schedule is worth at equal processor time.

    python bench/network_study.py data/raw/bp256 --minutes 3 --arms plain tversky ...   # several can run at once
    python bench/network_study.py data/raw/bp256 --minutes 3 --report                    # print the table so far

An arm trains with two seeds: on subjects 11 to 30, scored on 1 to 10, and on 1 to 20, scored on 21 to 30. The seeds 11 to 15 are five folds
instead: each is scored on every fifth subject. Subjects 31 to 37, on which peers are compared, are not used. Each training runs in one thread for the given minutes of processor time: it first times some
steps, then schedules as many as fit. It scores the average of the weights at the end, at the masks' own size; there is no val.
Results are kept in `.nerveseg/network-study/`, with the probability maps, so that averages of several trainings can be scored.
Trainings that are already there are skipped.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.letterbox import Letterbox
from nerveseg.dataset.records import Record, read_records
from nerveseg.errors import NervesegError, told_plainly
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv
from nerveseg.measures.overlap import count
from nerveseg.params.fields import FRESH
from nerveseg.params.file import Params, load_params
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.training.distribution import keras_policy
from nerveseg.unet.network import LOGITS
from nerveseg.unet.warm_start import network_to_train
from network_arms import ARMS, BEFORE, Arm, blocks_of
from network_training import train_arm
from trainings import changed, use_threads

import tensorflow as tf  # isort: skip - nerveseg must come first: it selects the Keras version

FOLDER = Path(".nerveseg/network-study")
SUBJECTS = range(1, 31)
TWO = {1: range(1, 11), 2: range(21, 31)}  # seed: the subjects to score
FIVE = {11 + part: range(1 + part, 31, 5) for part in range(5)}  # likewise
FOLDS = TWO | FIVE
TEACHERS_MINUTES = 6.0
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True)
class Study:
    folder: Path
    source: Path
    minutes: float
    phantom: Path
    params: Params

    @property
    def results(self) -> pd.DataFrame:
        rows = [json.loads(path.read_text()) for path in sorted(self._of_minutes.glob("*.json"))]
        return pd.DataFrame(rows)

    @cached_property
    def _of_minutes(self) -> Path:
        return self.folder / f"{self.source.name}-{self.minutes:g}-minutes"

    def run(self, name: str, seed: int) -> None:
        """Train and score an arm, unless it is done or another process is working on it."""
        self._of_minutes.mkdir(parents=True, exist_ok=True)
        stem = f"{name.replace(' ', '-')}-{seed}"
        claim = self._of_minutes / f"{stem}.claim"
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            return
        try:
            self._run(name, seed, stem)
        except BaseException:
            claim.unlink()
            raise

    def _run(self, name: str, seed: int, stem: str) -> None:
        arm, params = ARMS[name], replaced(self.params, ARMS[name], self.phantom)
        prepared = self._prepared(params, seed)
        info = DatasetInfo.read(prepared)
        train = list(read_records(shards(prepared, "train"), info))
        records = [record for part in ("val", "test") for record in read_records(shards(prepared, part), info)]
        records = [record for record in records if int(record.subject) in SUBJECTS]
        row: dict[str, object] = {"arm": name, "seed": seed}

        def on_quarter(number: int, network: tf.keras.Model) -> None:
            row[f"after {number}/4"] = round(scored(_maps(network, records, arm), records)["expected"].mean(), 5)

        began = time.monotonic()
        teachers = [self._trained(teacher, seed) for teacher in arm.teachers]
        trained = train_arm(arm, params, train, info, seed, self.minutes, on_quarter, teachers)
        row |= {"steps": trained.steps, "frames_per_second": round(trained.rate, 1)}
        row |= {"wall": round((time.monotonic() - began) / 60, 2)}
        maps = _maps(trained.network, records, arm)
        np.save(self._of_minutes / f"{stem}.npy", maps.astype(np.float16))
        trained.network.save_weights(self._of_minutes / f"{stem}.weights.h5")
        cases = scored(maps, records)
        row["worst third"] = round(worst_third(cases), 5)
        if not arm.mixed_style:  # which would mix here, too
            row["adapted"] = round(scored(_adapted_maps(trained.network, records, arm), records)["expected"].mean(), 5)
        row |= {str(key): round(value, 5) for key, value in cases.drop(columns=["name", "subject"]).mean().items()}
        write_csv(self._of_minutes / f"{stem}.csv", cases)
        (self._of_minutes / f"{stem}.json").write_text(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def _trained(self, name: str, seed: int) -> tf.keras.Model:
        """Return the network of an arm that has been run, as a teacher."""
        arm, params = ARMS[name], replaced(self.params, ARMS[name], self.phantom)
        path = (
            self.folder
            / f"{self.source.name}-{TEACHERS_MINUTES:g}-minutes"
            / f"{name.replace(' ', '-')}-{seed}.weights.h5"
        )
        if not path.is_file():
            raise NervesegError(f"{path} is missing; first run the arm {name!r} with --minutes {TEACHERS_MINUTES:g}")
        spec = DatasetInfo.read(self._prepared(params, seed)).input
        with blocks_of(arm):
            network = network_to_train(params.unet, spec, keras_policy(params.unet.precision))
        network.load_weights(path)
        return network

    def report(self, baseline: str = "plain") -> str:
        """Return the table of the two seeds, and that of arms whose five folds are all there."""
        results = self.results
        tables = (
            []
            if results.empty
            else [self._of_seeds(results[results["seed"].isin(TWO)], baseline), self._of_five(results)]
        )
        if not any(tables):
            raise NervesegError(f"{self._of_minutes} holds no result of the arm {baseline!r} yet; run it first")
        return "\n\n".join(table for table in tables if table)

    def _of_five(self, results: pd.DataFrame) -> str:
        """Return the mean of `expected` over frames, over subjects, and over the worst third of all subjects."""
        folds = results[results["seed"].isin(FIVE)].groupby("arm")["seed"].nunique()
        rows = []
        for arm in folds[folds == len(FIVE)].index:
            files = [self._of_minutes / f"{arm.replace(' ', '-')}-{seed}.csv" for seed in FIVE]
            cases = pd.concat(map(read_csv, files))
            subjects = cases.groupby("subject")["expected"].mean()
            rows.append({"arm": arm, "expected": cases["expected"].mean(), "of subjects": subjects.mean()})
            rows[-1] |= {"worst third": worst_third(cases), "worst": subjects.min()}
        return pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format) if rows else ""

    def _of_seeds(self, results: pd.DataFrame, baseline: str) -> str:
        if baseline not in set(results["arm"]):
            return ""
        table = results.pivot_table(index="arm", columns="seed")
        shown = pd.DataFrame({"frames/s": table["frames_per_second"].T.mean()})
        for column in ("0.5 plain", "0.3", "expected"):
            gains = table[column] - table[column].loc[baseline]
            shown[column] = table[column].T.mean()
            shown[f"{column} gain"] = gains.map("{:+.3f}".format).agg(", ".join, axis=1)
        return shown.sort_values("expected").to_string(float_format="{:.3f}".format)

    def _prepared(self, params: Params, seed: int) -> Path:
        size = params.preprocess
        prepared = self.folder / f"{self.source.name}-{seed}-{size.height}x{size.width}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".preparing"):
            if not prepared.is_dir():
                held = [str(subject) for subject in FOLDS[seed]]
                unused = [str(subject) for subject in range(31, 38)]  # packed as test, but not scored
                chosen = {"folds": 0, "val_subjects": (held[0],), "test_subjects": (*held[1:], *unused)}
                split = params.split.model_copy(update=chosen)
                data = params.data.model_copy(update={"dir": str(self.source)})
                with fresh_folder(prepared) as folder:
                    prepare_dataset(folder, data, split, size, params.seed, self.folder, workers=1)
        return prepared


def scored(maps: NDArray[np.float32], records: Sequence[Record]) -> pd.DataFrame:
    """Dice of each frame: without the mirrored one at 0.5, with it at some thresholds, and of the
    mask with the highest expected Dice.
    """
    rows = []
    for both, record in zip(maps, records, strict=True):
        truth = record.annotated
        row: dict[str, str | float] = {"name": record.name, "subject": record.subject}
        fit = Letterbox.fit(truth.shape, both.shape[1:])
        plain, probability = fit.restore(both[0]), fit.restore(both.mean(0))
        row["0.5 plain"] = count(truth, plain >= 0.5).dice
        row |= {str(threshold): count(truth, probability >= threshold).dice for threshold in THRESHOLDS}
        row["expected"] = count(truth, probability >= best_threshold(probability)).dice
        rows.append(row)
    return pd.DataFrame(rows)


def worst_third(cases: pd.DataFrame) -> float:
    """Return the mean over the worst third of the subjects of their mean Dice."""
    subjects = cases.groupby("subject")["expected"].mean().sort_values()
    return float(subjects.iloc[: -(-len(subjects) // 3)].mean())


def best_threshold(probability: NDArray[np.float32]) -> float:
    """Return the Dice of the mask with the highest expected Dice (Dai and Li 2023)."""
    ordered = np.sort(probability, axis=None)[::-1].astype(np.float64)
    sizes = np.arange(1, len(ordered) + 1)
    return float(ordered[np.argmax(2 * np.cumsum(ordered) / (sizes + ordered.sum()))])


def _maps(network: "tf.keras.Model", records: Sequence[Record], arm: Arm) -> NDArray[np.float32]:
    """Return the probabilities of each frame and, flipped back, of its mirror image: float32 (N, 2, H, W)."""
    frames = np.stack([record.frame for record in records])[..., np.newaxis].astype(np.float32)
    frames = arm.levels(frames) if arm.levels else frames
    run = tf.function(lambda batch: tf.sigmoid(network(batch, training=False)[LOGITS]), reduce_retracing=True)
    maps = []
    for start in range(0, len(frames), 16):
        batch = frames[start : start + 16]
        maps.append(np.stack([run(batch).numpy(), run(batch[:, :, ::-1]).numpy()[:, :, ::-1]], 1)[..., 0])
    return np.concatenate(maps)


def _adapted_maps(network: "tf.keras.Model", records: Sequence[Record], arm: Arm) -> NDArray[np.float32]:
    """Return maps like `_maps`; each subject's with the batch statistics of all its frames (Nado et al. 2020)."""
    maps: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(records)
    for subject in {record.subject for record in records}:
        own = [number for number, record in enumerate(records) if record.subject == subject]
        frames = np.stack([records[number].frame for number in own])[..., np.newaxis].astype(np.float32)
        frames = arm.levels(frames) if arm.levels else frames
        both = [tf.sigmoid(network(given, training=True)[LOGITS]).numpy() for given in (frames, frames[:, :, ::-1])]
        for number, first, second in zip(own, both[0], both[1][:, :, ::-1], strict=True):
            maps[number] = np.stack([first[..., 0], second[..., 0]])
    return np.stack(maps)


def replaced(params: Params, arm: Arm, phantom: Path) -> Params:
    """Return the params of an arm: one ghost batch, one thread."""
    start = str(phantom) if arm.start == "phantom" else FRESH
    under = {} if arm.default else BEFORE
    return changed(params, {"unet.ghost_batches": 1, "unet.init_from": start, **under, **arm.params})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder in Kaggle's layout with the subjects 1 to 30")
    parser.add_argument("--minutes", type=float, default=3.0, help="processor time of each training (default: 3)")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", choices=list(FOLDS), default=list(TWO))
    parser.add_argument(
        "--phantom",
        type=Path,
        default=Path("models/unet"),
        help="U-Net trained on the phantom, for the arm that starts from it",
    )
    parser.add_argument("--report", action="store_true", help="print the table so far without training")
    asked = parser.parse_args()
    study = Study(FOLDER, asked.real, asked.minutes, asked.phantom, load_params())
    if not asked.report:
        use_threads(1)
        for name in asked.arms:
            for seed in asked.seeds:
                study.run(name, seed)
    print(study.report())


if __name__ == "__main__":
    with told_plainly():
        main()
