"""The study behind `bench/augmentation.py --study`: what each transform of the augmentation is worth on real frames.

It trains the pipeline's U-Net on the train subjects of a folder in Kaggle's layout and scores it on the test subjects, at each
mask's own size, with cut-offs searched on val. An arm is a set of transforms, at `STRENGTHS`. Each geometric transform is
compared alone with `nothing`; each other transform is added to geometry and compared with `geometry`. All arms take the same
number of steps: the given epochs, or as many as fit into the given minutes, measured when the study starts. A finished arm is a
line of `results.csv` in the study's folder and is skipped. An interrupted arm resumes after its last complete epoch.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nerveseg.dataset.batches import batches
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.errors import DatasetError
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv, write_json
from nerveseg.measures.cases import summary
from nerveseg.params.data import AugmentParams
from nerveseg.params.file import Params
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.training.distribution import keras_policy, training_strategy
from nerveseg.unet.network import build_unet
from nerveseg.unet.training import SupervisedTraining
from trainings import score, train

GEOMETRY = {"flip": 0.5, "rotation": 12.0, "scale": 0.15, "shift": 0.08}
INTENSITY = {
    "gain": 0.2, "gamma": 0.3, "speckle": 3.0, "time_gain": 6.0, "lateral_gain": 4.0, "reverberation": 0.3,
    "shadow": 0.3, "blur": 0.3, "defocus": 0.3,
}  # fmt: skip
STRENGTHS = GEOMETRY | INTENSITY
SCORES = ("dice_nerve", "dice", "iou_nerve", "presence_sensitivity")


@dataclass(frozen=True)
class Arm:
    """The transforms that are on, and the arm to compare with."""

    name: str
    knobs: Mapping[str, float] = field(default_factory=dict)
    baseline: str | None = None


def all_arms(params: AugmentParams) -> dict[str, Arm]:
    arms = [Arm("nothing"), Arm("geometry", GEOMETRY, "nothing")]
    arms += [Arm(knob, GEOMETRY | {knob: strength}, "geometry") for knob, strength in INTENSITY.items()]
    arms += [Arm("everything", STRENGTHS, "geometry")]
    arms += [Arm("params", {knob: getattr(params, knob) for knob in STRENGTHS}, "geometry")]
    arms += [Arm(knob, {knob: strength}, "nothing") for knob, strength in GEOMETRY.items()]
    return {arm.name: arm for arm in arms}


def only(knobs: Mapping[str, float], params: AugmentParams) -> AugmentParams:
    """Return the `augment` section with these transforms on and all others off."""
    return params.model_copy(update=dict.fromkeys(STRENGTHS, 0.0) | dict(knobs))


@dataclass(frozen=True)
class Study:
    """A folder of results: the data, packed once, and the number of epochs of each arm."""

    folder: Path
    params: Params
    epochs: int

    @classmethod
    def open(cls, folder: Path, params: Params, source: Path, minutes: float, epochs: int = 0) -> "Study":
        """Resume the study in `folder`, or start one: pack the frames and, if `epochs` is 0, find how many epochs fit into
        `minutes`.

        Raises:
            DatasetError: the folder has a study of other frames, params or minutes.
        """
        told: dict[str, Any] = {"source": str(source), "test_subjects": list(params.split.test_subjects)}
        told |= {"epochs": epochs} if epochs else {"minutes": minutes}
        told |= {"size": [params.preprocess.width, params.preprocess.height], "variants": params.augment.variants}
        told |= {"lr": params.lr, "unet": params.unet.model_dump(exclude={"epochs"})}
        path = folder / "study.json"
        if path.is_file():
            began = json.loads(path.read_text(encoding="utf-8"))
            if other := {key: began.get(key) for key in told if began.get(key) != told[key]}:
                asked = {key: told[key] for key in other}
                raise DatasetError(
                    f"{folder} holds a study with {other}, not {asked}; name another --folder, or remove it"
                )
        else:
            with fresh_folder(folder / "prepared") as prepared:
                data = params.data.model_copy(update={"dir": str(source)})
                prepare_dataset(prepared, data, params.split, params.preprocess, params.seed, folder)
            began = {"epochs": epochs or _epochs_in(minutes, folder / "prepared", params), **told}
            write_json(path, began)
        return cls(folder, params, began["epochs"])

    @property
    def results(self) -> pd.DataFrame:
        path = self.folder / "results.csv"
        columns = ["arm", "seed", "knobs", "epochs", "val_dice", *SCORES, "minutes"]
        return read_csv(path) if path.is_file() else pd.DataFrame(columns=columns)

    def has(self, arm: Arm, seed: int) -> bool:
        done = self.results
        return bool(((done["arm"] == arm.name) & (done["seed"] == seed) & (done["knobs"] == _text(arm))).any())

    def run(self, arm: Arm, seed: int) -> None:
        """Train and score one arm, and append its line to the results."""
        started = time.monotonic()
        unet = self.params.unet.model_copy(update={"epochs": self.epochs})
        params = self.params.model_copy(update={"unet": unet, "augment": only(arm.knobs, self.params.augment)})
        segmenter, val_dice = train(self.folder / "prepared", params, seed)
        cases = score(segmenter, self.folder / "prepared")
        scores = summary(cases)
        row = {"arm": arm.name, "seed": seed, "knobs": _text(arm), "epochs": self.epochs}
        row |= {"val_dice": val_dice, **{key: scores[key] for key in SCORES}}
        row |= {"minutes": round((time.monotonic() - started) / 60, 2)}
        write_csv(self.folder / "cases" / f"{arm.name}-{seed}.csv", cases)
        results = self.folder / "results.csv"
        pd.DataFrame([row]).to_csv(results, mode="a", header=not results.exists(), index=False)

    def report(self, arms: Mapping[str, Arm]) -> str:
        """Return a row per arm: test Dice, its difference from the baseline with the same seeds, and for how many of the
        test subjects it is better.
        """
        rows = []
        for arm in arms.values():
            done = [seed for seed in sorted(self.results["seed"].unique()) if self.has(arm, seed)]
            paired = [seed for seed in done if arm.baseline and self.has(arms[arm.baseline], seed)]
            if not done:
                continue
            row = {"arm": arm.name, "seeds": len(done), "dice_nerve": self._by_subject(arm, done)[1].mean()}
            if paired and arm.baseline:
                ours, mean = self._by_subject(arm, paired)
                theirs, their_mean = self._by_subject(arms[arm.baseline], paired)
                gains = mean - their_mean
                row |= {"against": arm.baseline, "gain": gains.mean(), "least": gains.min(), "most": gains.max()}
                row |= {"subjects better": f"{(ours > theirs).sum()} of {len(ours)}"}
            rows.append(row)
        return pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format, na_rep="")

    def _by_subject(self, arm: Arm, seeds: Sequence[int]) -> tuple["pd.Series[float]", "pd.Series[float]"]:
        """Return the mean Dice of frames with a nerve, by subject over all seeds and by seed over all frames."""
        paths = {seed: self.folder / "cases" / f"{arm.name}-{seed}.csv" for seed in seeds}
        cases = pd.concat([read_csv(path).assign(seed=seed) for seed, path in paths.items()])
        cases = cases[cases["has_nerve"]]
        return cases.groupby("subject")["dice"].mean(), cases.groupby("seed")["dice"].mean()


def run_study(study: Study, arms: Mapping[str, Arm], chosen: Sequence[str], seeds: Sequence[int]) -> None:
    """Run the missing trainings, seed by seed, so that first results come early."""
    waiting = [(arms[name], seed) for seed in seeds for name in chosen if not study.has(arms[name], seed)]
    print(f"{len(chosen) * len(seeds) - len(waiting)} of {len(chosen) * len(seeds)} trainings are done")
    for number, (arm, seed) in enumerate(waiting, 1):
        print(f"{number} of {len(waiting)}: {arm.name}, seed {seed}", flush=True)
        study.run(arm, seed)
        print(study.report(arms), flush=True)


def _text(arm: Arm) -> str:
    return " ".join(f"{knob}={value:g}" for knob, value in sorted(arm.knobs.items()) if value) or "none"


def _epochs_in(minutes: float, prepared: Path, params: Params) -> int:
    """Return how many epochs, with validation, this machine trains in `minutes`; at least one."""
    info, unet, steps = DatasetInfo.read(prepared), params.unet, 12
    build = partial(build_unet, unet, info.input, policy=keras_policy(unet.precision))
    training = SupervisedTraining(build, unet, params.lr, steps, training_strategy(unet))
    frames, masks = next(
        iter(batches(shards(prepared, "train"), info, unet.batch_size).repeat().rebatch(unet.batch_size))
    )
    for _ in range(2):
        training.step(frames, masks)  # traces the graph
    start = time.monotonic()
    for _ in range(steps):
        training.step(frames, masks)
    rate = steps * unet.batch_size / (time.monotonic() - start)
    epoch = (info.frames["train"] + info.frames["val"] / 3) / rate  # the forward pass alone costs a third
    epochs = max(1, round(60 * minutes / epoch))
    print(f"{rate:.1f} frames/s: {epochs} epochs of {info.frames['train']} frames in {epochs * epoch / 60:.1f} minutes")
    return epochs
