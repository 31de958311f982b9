"""Measure whether the refiner helps: the arms of the ablation over several seeds.

    python bench/gan_gain.py data/phantom --seeds 1 2 3                        # after `dvc repro phantom`
    python bench/gan_gain.py data/raw/bp256 --test 31 32 33 34 35 36 37
    python bench/gan_gain.py data/raw/bp256 --test ... --set gan.critic=features gan.adversarial_weight=0.1
    python bench/gan_gain.py data/raw/bp256 --test ... --degradation strengths.yaml
    python bench/gan_gain.py data/raw/bp256 --test ... --out-of-fold 3 --set gan.corruption=0.0

For each seed, it splits the subjects (except the test subjects, if they are named), trains a U-Net and its refiners as the pipeline
does, and scores all arms on the clean test frames and on each degradation at severity 3. Prints, over the seeds: mean and standard
deviation of each arm's scores and of its gain over the U-Net with its cut-offs, in how many seeds the interval of the gain, over
subjects, lies above 0, and which arm was chosen on val.

With `--out-of-fold K`, the refiners learn from the predictions of K other U-Nets, each for the subjects that it was trained without,
instead of from the U-Net's predictions for its own train subjects.

U-Nets are kept in `.nerveseg/gan-gain/` by params and seed, not by code, so that other refiners can reuse them. Delete that folder
after changes to the U-Net. The tables are kept there too, and are recomputed if params or code change.
"""

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pandas as pd
import yaml

from nerveseg.augmentation.rounds import write_rounds
from nerveseg.dataset.batches import whole_batches
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.errors import told_plainly
from nerveseg.evaluation.model_names import BASE
from nerveseg.evaluation.robustness import REPORTED, ablation_table
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv, write_json
from nerveseg.files.fingerprint import EVERYTHING, digest_of
from nerveseg.params.file import Params, load_params
from nerveseg.params.networks import DegradationParams
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.refinement import train_refiners as refiners_module
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.degraded_batches import RefinerBatch, RefinerInputs
from nerveseg.refinement.diagnostics import remarks_on
from nerveseg.refinement.model_selection import choose
from nerveseg.refinement.train_refiners import train_refiners
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import make_deterministic, use_threads
from nerveseg.training.task import TrainingTask
from nerveseg.unet.segmenter import Segmenter
from trainings import asked_changes, changed, train

import tensorflow as tf  # isort: skip - nerveseg must come first: it selects the Keras version

FOLDER = Path(".nerveseg/gan-gain")
SHOWN = ("dice_nerve", "hd95_common")


@dataclass(frozen=True)
class Seed:
    """The U-Net of a seed and its prepared data, in a folder of their own."""

    folder: Path
    source: Path
    params: Params
    seed: int

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def unet(self) -> Segmenter:
        model = self.folder / "unet"
        if not model.is_dir():
            self._prepare(self.records, self.params)
            self._train(self.records, model)
        return Segmenter.load(model)

    def without(self, subjects: Sequence[str]) -> Segmenter:
        """Return another U-Net, trained without some of the train subjects, with the same val."""
        name = f"without-{hashlib.sha256(' '.join(subjects).encode()).hexdigest()[:8]}"
        model = self.folder / name
        if not model.is_dir():
            held = [*self.subjects("test"), *subjects]
            named = {"split.val_subjects": self.subjects("val"), "split.test_subjects": held}
            with TemporaryDirectory(dir=self.folder) as temporary:
                self._prepare(Path(temporary) / "records", changed(self.params, named))
                self._train(Path(temporary) / "records", model)
        return Segmenter.load(model)

    def subjects(self, split: str) -> list[str]:
        records = read_records(shards(self.records, split), DatasetInfo.read(self.records))
        return sorted({record.subject for record in records})

    def _prepare(self, target: Path, params: Params) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        data = params.data.model_copy(update={"dir": str(self.source)})
        with fresh_folder(target) as folder:
            prepare_dataset(folder, data, params.split, params.preprocess, self.seed, target.parent, workers=2)

    def _train(self, records: Path, model: Path) -> None:
        segmenter, _ = train(records, self.params, self.seed)
        with fresh_folder(model) as folder:
            segmenter.save(folder)


@dataclass(frozen=True)
class Member:
    """A U-Net, and the train frames of the subjects that it has not seen."""

    unet: "tf.keras.Model"
    rounds: Sequence[Path]
    info: DatasetInfo


class OutOfFold(RefinerInputs):
    """Train batches with predictions for unseen subjects, one batch of each member in turn. Val is that of the U-Net."""

    def __init__(
        self,
        members: Sequence[Member],
        batch_size: int,
        unet: "tf.keras.Model",
        corruption: float,
        strengths: DegradationParams,
        seed: int,
    ) -> None:
        super().__init__(unet, corruption, strengths, seed)
        self._members = [
            (each, RefinerInputs(each.unet, corruption, strengths, seed + n)) for n, each in enumerate(members, 1)
        ]
        self._batch_size, self._order = batch_size, seed

    def train(self, rounds: Iterable[object], epoch: int) -> Iterator[RefinerBatch]:  # noqa: ARG002 - members have their own
        numbers = range(epoch, epoch + 1)
        streams = [
            inputs.train(whole_batches(each.rounds, each.info, self._batch_size, self._order, numbers), epoch)
            for each, inputs in self._members
        ]
        for in_turn in zip_longest(*streams):
            yield from (given for given in in_turn if given is not None)


def compare(folder: Path, source: Path, params: Params, seed: int, folds: int = 0) -> pd.DataFrame:
    """Return the ablation table of a seed, computed or read, with columns `seed`, `shipped` and `minutes` (of the refiners)."""
    fixed = params.model_dump(
        mode="json", exclude={"gan", "degradation", "evaluate", "visualize", "tracking", "gate", "phantom"}
    )
    of_unet = hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]
    given = Seed(folder / of_unet / str(seed), source, params, seed)
    settings = params.model_dump(mode="json") | {"folds": folds}
    table = given.folder / f"{digest_of(settings, [Path(__file__)], EVERYTHING)}.csv"
    if not table.is_file():
        write_csv(table, _refined(given, folds))
        write_json(table.with_suffix(".json"), params.gan.model_dump() | {"folds": folds})
    return read_csv(table)


def _refined(given: Seed, folds: int) -> pd.DataFrame:
    params, seed, gan, poor = given.params, given.seed, given.params.gan, given.params.degradation
    unet, records = given.unet(), given.records
    info, val = DatasetInfo.read(records), shards(records, "val")
    seen = TestSet.of(list(read_records(val, info)))
    with TemporaryDirectory(dir=records) as temporary:
        members = _members(given, folds, Path(temporary))
        rounds = _rounds(given, Path(temporary) / "all", given.subjects("train"))
        settings = {"gan": gan.model_dump(), "degradation": poor.model_dump(), "seed": seed, "folds": folds}
        checkpoint = Checkpoint(f"gan-gain-{digest_of(settings, [*rounds, *val, given.folder / 'unet'], EVERYTHING)}")
        make_deterministic(seed)
        began = time.monotonic()
        inputs = partial(OutOfFold, members, gan.batch_size)
        with mock.patch.object(refiners_module, "RefinerInputs", inputs) if folds else nullcontext():
            task = TrainingTask(rounds, val, info, seed, checkpoint, lambda *_: None)
            refiners, history = train_refiners(unet, gan, poor, task)
        checkpoint.remove()
        arms = Arms(unet, refiners, gan.base_filters, {}).tuned(seen.frames, seen.truths, params.postprocess)
        refinement = choose(arms, seen, params.postprocess, poor, seed, remarks_on(history, gan.critic))
        minutes = (time.monotonic() - began) / 60
    print(history.to_string(float_format="{:.3f}".format))
    print(f"seed {seed}, {minutes:.2f} minutes: {refinement}", *refinement.remarks, sep="\n", flush=True)
    test = TestSet.of(list(read_records(shards(records, "test"), info)))
    at_three = params.evaluate.model_copy(update={"severities": (REPORTED,)})
    table = ablation_table(test, partial(arms.estimates, sizes=test.sizes), arms.cutoffs, at_three, poor, params.seed)
    return table.assign(seed=seed, shipped=refinement.arm, minutes=minutes)


def _members(given: Seed, folds: int, folder: Path) -> list[Member]:
    if not folds:
        return []
    subjects = np.random.default_rng(given.seed).permutation(given.subjects("train"))
    members = []
    for number, held in enumerate(np.array_split(subjects, folds)):
        rounds = _rounds(given, folder / f"fold-{number}", held.tolist())
        info = DatasetInfo.read(given.records)
        count = sum(1 for _ in read_records(rounds[:1], info))
        members.append(
            Member(
                given.without(sorted(held.tolist())).unet, rounds, replace(info, frames=info.frames | {"train": count})
            )
        )
    return members


def _rounds(given: Seed, folder: Path, subjects: Sequence[str]) -> list[Path]:
    """Return the rounds for training the refiners, with some of the train subjects."""
    folder.mkdir(parents=True)
    info, augment = DatasetInfo.read(given.records), given.params.augment
    records = [each for each in read_records(shards(given.records, "train"), info) if each.subject in set(subjects)]
    return write_rounds(folder, records, augment, given.seed, min(given.params.gan.epochs, augment.variants) + 1)


def summary(tables: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each degradation and arm: means and standard deviations over seeds."""
    better = {"dice_nerve": tables["dice_nerve_low"] > 0, "hd95_common": tables["hd95_common_high"] < 0}
    sure = tables.assign(**{f"{score}_sure": values for score, values in better.items()})
    cells = ["seed", "degradation", "severity"]
    of_unet = tables[tables["model"] == BASE].set_index(cells)["hd95_common"]
    sure["hd95_share"] = (
        100.0 * sure["hd95_common_gain"] / of_unet.loc[pd.MultiIndex.from_frame(sure[cells])].to_numpy()
    )
    by_arm = sure.groupby(["degradation", "severity", "model"], sort=False)
    columns = {}
    for score in SHOWN:
        columns[score], columns[f"{score} sd"] = by_arm[score].mean(), by_arm[score].std()
        columns[f"{score} gain"] = by_arm[f"{score}_gain"].mean()
        columns[f"{score} gain sd"] = by_arm[f"{score}_gain"].std()
        columns[f"{score} sure"] = by_arm[f"{score}_sure"].sum()
    columns["hd95 gain %"] = by_arm["hd95_share"].mean()
    return pd.DataFrame(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of frames and masks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--test", nargs="*", default=[], help="test subjects (default: drawn by the seed)")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE", help="params to change")
    parser.add_argument("--degradation", type=Path, help="strengths from `bench/degradations.py --fit`")
    parser.add_argument(
        "--out-of-fold",
        type=int,
        default=0,
        metavar="K",
        help="number of U-Nets whose predictions the refiners learn from",
    )
    asked = parser.parse_args()
    named = {"split.test_subjects": asked.test} if asked.test else {}
    params = changed(load_params(), {"data.dir": str(asked.source), **named, **asked_changes(asked.changes)})
    if asked.degradation:
        fitted = yaml.safe_load(asked.degradation.read_text(encoding="utf-8"))
        params = changed(params, {f"degradation.{kind}": strengths for kind, strengths in fitted.items()})
    use_threads(params.unet.ghost_batches)
    tables = pd.concat([compare(FOLDER, asked.source, params, seed, asked.out_of_fold) for seed in asked.seeds])
    print(summary(tables).to_string(float_format="{:.3f}".format))
    print("shipped:", tables.groupby("seed")["shipped"].first().to_dict())


if __name__ == "__main__":
    with told_plainly():
        main()
