"""What each choice of network, loss, batches, beginning and schedule is worth at equal processor time.

    python bench/network_study.py data/raw/bp256 --minutes 3 --arms params tversky ...   # several may run at once
    python bench/network_study.py data/raw/bp256 --minutes 3 --report                    # the table so far

An arm trains twice with two seeds: on subjects 11 to 30, scored on 1 to 10, and on 1 to 20, scored on 21 to 30. Subjects
31 to 37, on which peers are compared, take no part. Each training runs in one thread for so many minutes of processor
time: its steps are timed first, and the schedule is laid out for as many as fit. Scores are of the average of the weights
at the end, at the masks' own size: there is no val. Results lie in `.nerveseg/network-study/`, with the probability maps,
so that averages of several trainings can be scored; what is there is not trained again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from nerveseg.data.letterbox import Letterbox
from nerveseg.data.preparation import prepare_dataset
from nerveseg.data.records import DatasetInfo, Record, read_records, shards
from nerveseg.data.rounds import round_of
from nerveseg.errors import NervesegError, told_plainly
from nerveseg.evaluation.metrics import count
from nerveseg.models.losses import presence_loss
from nerveseg.models.unet import LOGITS, PRESENCE
from nerveseg.outputs import fresh_folder, write_csv
from nerveseg.params import Params, load_params
from nerveseg.segmenter import network_to_train
from nerveseg.training.distribution import keras_policy, make_deterministic, training_strategy
from nerveseg.training.supervised import SupervisedTraining
from network_arms import ARMS, Arm, blocks_of
from trainings import use_threads

import tensorflow as tf  # isort: skip - nerveseg comes first: it settles which Keras

FOLDER = Path(".nerveseg/network-study")
SUBJECTS = range(1, 31)
FOLDS = {1: range(1, 11), 2: range(21, 31)}  # seed: the subjects that are scored
THRESHOLDS = (0.2, 0.3, 0.4, 0.5)


class ArmTraining(SupervisedTraining):
    """The pipeline's training with the losses of an arm."""

    def __init__(self, arm: Arm, params: Params, build: "tf.types.experimental.GenericFunction", steps: int) -> None:
        self.arm = arm
        super().__init__(build, params.unet, params.lr, steps, training_strategy(params.unet))
        self.denoise = tf.function(self._denoise)

    def _loss(self, masks: tf.Tensor, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        logits = outputs[LOGITS]
        return self.arm.region(masks, logits) + self.arm.pixel(masks, logits) + presence_loss(
            self.params, masks, outputs[PRESENCE]
        )  # fmt: skip

    def _denoise(self, frames: tf.Tensor, optimiser: tf.keras.optimizers.Optimizer) -> tf.Tensor:
        """One step of restoring frames of which half of the squares of 16 pixels are missing."""
        shape = tf.shape(frames)
        kept = tf.cast(tf.random.uniform((shape[0], shape[1] // 16, shape[2] // 16, 1)) > 0.5, tf.float32)
        kept = tf.repeat(tf.repeat(kept, 16, 1), 16, 2)
        middle = tf.reduce_mean(frames)
        with tf.GradientTape() as tape:
            restored = self.network(frames * kept + middle * (1 - kept), training=True)[LOGITS]
            loss = tf.reduce_mean(((frames - middle) / 64.0 - restored) ** 2)
        variables = self.network.trainable_variables
        optimiser.apply_gradients(
            zip(tape.gradient(loss, variables, unconnected_gradients="zero"), variables, strict=True)
        )
        return loss


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
        return self.folder / f"{self.minutes:g}-minutes"

    def run(self, name: str, seed: int) -> None:
        """Train and score an arm, unless it is done or another process is at it."""
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
        arm = ARMS[name]
        params = _replaced(self.params, arm)
        prepared = self._prepared(params, seed)
        info = DatasetInfo.read(prepared)
        began = time.monotonic()
        training, steps, rate = self._train(arm, params, info, prepared, seed)
        minutes = (time.monotonic() - began) / 60
        records = [*read_records(shards(prepared, "val"), info), *read_records(shards(prepared, "test"), info)]
        maps = _maps(training.averaged, records)
        np.save(self._of_minutes / f"{stem}.npy", maps.astype(np.float16))
        row = {
            "arm": name,
            "seed": seed,
            "steps": steps,
            "frames_per_second": round(rate, 1),
            "wall": round(minutes, 2),
        }
        cases = scored(maps, records)
        row |= {str(key): round(value, 5) for key, value in cases.drop(columns=["name", "subject"]).mean().items()}
        write_csv(self._of_minutes / f"{stem}.csv", cases)
        (self._of_minutes / f"{stem}.json").write_text(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)

    def report(self, baseline: str = "params") -> str:
        if self.results.empty or baseline not in set(self.results["arm"]):
            raise NervesegError(f"{self._of_minutes} holds no result of the arm {baseline!r} yet; run it first")
        table = self.results.pivot_table(index="arm", columns="seed")
        shown = pd.DataFrame({"frames/s": table["frames_per_second"].T.mean()})
        for column in ("0.5 plain", "0.3", "expected"):
            gains = table[column] - table[column].loc[baseline]
            shown[column] = table[column].T.mean()
            shown[f"{column} gain"] = gains.map("{:+.3f}".format).agg(", ".join, axis=1)
        return shown.sort_values("expected").to_string(float_format="{:.3f}".format)

    def _train(
        self, arm: Arm, params: Params, info: DatasetInfo, prepared: Path, seed: int
    ) -> tuple[ArmTraining, int, float]:
        """The training at its end, its steps, and its frames in a second of processor time."""
        records = list(read_records(shards(prepared, "train"), info))
        size = (info.height, info.width, info.mean, info.std)
        policy = keras_policy(params.unet.precision)
        unet = params.unet.model_copy(update={"init_from": str(self.phantom)} if arm.start == "phantom" else {})

        def fresh(steps: int) -> ArmTraining:
            tf.keras.backend.clear_session()
            make_deterministic(seed + 1000 * name_seed(arm))
            with blocks_of(arm):
                return ArmTraining(arm, params, lambda: network_to_train(unet, *size, policy), steps)

        given = _batches(arm, params, records, seed)
        training = fresh(100)
        for _ in range(3):
            training.step(*next(given))
        began = time.process_time()
        for _ in range(15):
            training.step(*next(given))
        budget = 60 * self.minutes * (2 / 3 if arm.start == "denoising" else 1.0)
        steps = int(budget / ((time.process_time() - began) / 15))
        training = fresh(steps)
        if arm.start == "denoising":
            self._denoise(training, given)
        if arm.schedule != "cosine":
            training.optimiser._learning_rate = _schedule(arm.schedule, params.lr, steps, params.unet.warmup_share)  # noqa: SLF001
        training.step(*next(given))
        began = time.process_time()
        for _ in range(steps - 1):
            training.step(*next(given))
        spent = time.process_time() - began
        training.averaged.set_weights([value.numpy() for value in training._values()["average"]])  # noqa: SLF001
        return training, steps, (steps - 1) * params.unet.batch_size / spent

    def _denoise(self, training: ArmTraining, given: Iterator[tuple[NDArray[np.float32], ...]]) -> None:
        last = [variable for variable in training.network.weights if variable.name.startswith("logits")]
        before = [variable.numpy() for variable in last]
        optimiser = tf.keras.optimizers.AdamW(1e-3, weight_decay=1e-4)
        optimiser.build(training.network.trainable_variables)
        training.denoise(next(given)[0], optimiser)
        until = time.process_time() + 20 * self.minutes
        while time.process_time() < until:
            training.denoise(next(given)[0], optimiser)
        for variable, value in zip(last, before, strict=True):
            variable.assign(value)

    def _prepared(self, params: Params, seed: int) -> Path:
        size = params.preprocess
        prepared = self.folder / f"{self.source.name}-{seed}-{size.height}x{size.width}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".preparing"):
            if not prepared.is_dir():
                held = [str(subject) for subject in FOLDS[seed]]
                unused = [str(subject) for subject in range(31, 38)]  # packed as test, and not scored
                chosen = {"folds": 0, "val_subjects": (held[0],), "test_subjects": (*held[1:], *unused)}
                split = params.split.model_copy(update=chosen)
                data = params.data.model_copy(update={"dir": str(self.source)})
                with fresh_folder(prepared) as folder:
                    prepare_dataset(folder, data, split, size, params.seed, self.folder, workers=1)
        return prepared


def name_seed(arm: Arm) -> int:
    """0, but for the second of two arms that are alike."""
    return next(name for name, other in ARMS.items() if other is arm).endswith(" 2")


def scored(maps: NDArray[np.float32], records: Sequence[Record]) -> pd.DataFrame:
    """Dice of each frame of the study's subjects: without the mirrored one at 0.5, with it at some thresholds, and of the
    mask with the highest expected Dice.
    """
    rows = []
    for both, record in zip(maps, records, strict=True):
        if int(record.subject) not in SUBJECTS:
            continue
        truth = record.annotated
        row: dict[str, str | float] = {"name": record.name, "subject": record.subject}
        fit = Letterbox.fit(truth.shape, both.shape[1:])
        plain, probability = fit.restore(both[0]), fit.restore(both.mean(0))
        row["0.5 plain"] = count(truth, plain >= 0.5).dice
        row |= {str(threshold): count(truth, probability >= threshold).dice for threshold in THRESHOLDS}
        row["expected"] = count(truth, probability >= best_threshold(probability)).dice
        rows.append(row)
    return pd.DataFrame(rows)


def best_threshold(probability: NDArray[np.float32]) -> float:
    """Of the mask with the highest expected Dice (Dai and Li 2023)."""
    ordered = np.sort(probability, axis=None)[::-1].astype(np.float64)
    sizes = np.arange(1, len(ordered) + 1)
    return float(ordered[np.argmax(2 * np.cumsum(ordered) / (sizes + ordered.sum()))])


def _maps(network: "tf.keras.Model", records: Sequence[Record]) -> NDArray[np.float32]:
    """Probabilities of each frame and, turned back, of its mirror image: float32 (N, 2, H, W)."""
    frames = np.stack([record.frame for record in records])[..., np.newaxis].astype(np.float32)
    run = tf.function(lambda batch: tf.sigmoid(network(batch, training=False)[LOGITS]), reduce_retracing=True)
    maps = []
    for start in range(0, len(frames), 16):
        batch = frames[start : start + 16]
        maps.append(np.stack([run(batch).numpy(), run(batch[:, :, ::-1]).numpy()[:, :, ::-1]], 1)[..., 0])
    return np.concatenate(maps)


def _batches(
    arm: Arm, params: Params, records: Sequence[Record], seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Endless batches; frames of a round are dealt in its order, or drawn so that all subjects count alike."""
    rng, augment, size = np.random.default_rng(seed), params.augment, params.unet.batch_size
    if arm.on_the_fly:
        augment = augment.model_copy(update={"variants": 100_000})
    cached = (
        {}
        if arm.on_the_fly
        else {number: list(round_of(records, number, augment, seed)) for number in range(augment.variants + 1)}
    )
    number, waiting = 0, []
    while True:
        found = cached[number % len(cached)] if cached else list(round_of(records, number, augment, seed))
        number += 1
        order = rng.permutation(len(found))
        if arm.by_subject:
            subjects = np.array([record.subject for record in found])
            shares = 1.0 / pd.Series(subjects).groupby(subjects).transform("size").to_numpy()
            order = rng.choice(len(found), len(found), p=shares / shares.sum())
        waiting += [found[i] for i in order]
        while len(waiting) >= size:
            batch, waiting = waiting[:size], waiting[size:]
            frames = np.stack([record.frame for record in batch])[..., np.newaxis].astype(np.float32)
            masks = np.stack([record.mask for record in batch])[..., np.newaxis].astype(np.float32) / 255.0
            yield frames, masks


def _schedule(kind: str, peak: float, steps: int, warmup: float) -> tf.keras.optimizers.schedules.LearningRateSchedule:
    first, last = int(warmup * steps), peak if kind == "constant" else 0.0

    class Schedule(tf.keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: tf.Tensor) -> tf.Tensor:
            done = tf.cast(step, tf.float32)
            return tf.minimum(peak * done / first, peak + (last - peak) * (done - first) / (steps - first))

    return Schedule()


def _replaced(params: Params, arm: Arm) -> Params:
    content = params.model_dump()
    content["unet"]["parts"] = 1
    for name, value in arm.params.items():
        *sections, key = name.split(".")
        (content[sections[0]] if sections else content)[key] = value
    return Params.model_validate(content)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder in Kaggle's layout with the subjects 1 to 30")
    parser.add_argument("--minutes", type=float, default=3.0, help="processor time of each training (default: 3)")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", choices=list(FOLDS), default=list(FOLDS))
    parser.add_argument("--phantom", type=Path, default=Path("models/unet"), help="U-Net of the phantom, for its arm")
    parser.add_argument("--report", action="store_true", help="print the table so far, train nothing")
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
