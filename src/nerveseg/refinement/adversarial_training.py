"""Training of the refiners on degraded frames and the U-Net's predictions of them, with a critic and without.

The control minimises the segmentation loss alone; the adversarial arm is the same refiner trained against a critic. Both are
one until the critic joins, after `warmup_epochs`, and see the same batches after that, so that any difference at the end
comes from the critic. Each arm keeps the weights of its best epoch by the rule of `gains`, the adversarial arm of an epoch
with a critic. If no epoch gains, the refiner stays the identity. An arm with a loss that is not a number stops training and
keeps what it had.

The arms' steps run side by side, each as a function of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from nerveseg.dataset.batches import whole_batches
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures.overlap import count
from nerveseg.params.networks import GanParams, UNetParams
from nerveseg.refinement.arm_training import RefinerArm, estimate_of
from nerveseg.refinement.critic import Critic
from nerveseg.refinement.degraded_batches import RefinerBatch, RefinerInputs
from nerveseg.refinement.gains import best_of
from nerveseg.refinement.refiner import learnt
from nerveseg.training.checkpoints import Checkpoint, State, assign, values_of
from nerveseg.training.task import TrainingTask, steps_per_epoch

CONTROL, ADVERSARIAL = "control", "adversarial"
OF_EACH = ("segmentation_loss", "val_dice", "val_dice_degraded")
OF_CRITIC = ("adversarial_loss", "critic_loss", "critic_accuracy")
HISTORY_COLUMNS = ["epoch", *(f"{arm}_{key}" for arm in (CONTROL, ADVERSARIAL) for key in OF_EACH), *OF_CRITIC]
Estimates = Mapping[str, tuple[tf.Tensor, tf.Tensor]]  # probability and presence by arm


class AdversarialTraining:
    """The arms by name, and their training.

    `build` makes a refiner, and `build_critic` the critic: None trains the control alone. `loss` is the `unet` section, for
    the weights of the segmentation loss; epochs are scored with `cutoffs`, the U-Net's.
    """

    def __init__(
        self,
        build: Callable[[], tf.keras.Model],
        build_critic: Callable[[], Critic] | None,
        inputs: RefinerInputs,
        params: GanParams,
        loss: UNetParams,
        cutoffs: Cutoffs,
    ) -> None:
        control = RefinerArm(build, None, params, loss)  # first, so that no critic changes its random weights
        self.arms = {CONTROL: control}
        if build_critic is not None:
            self.arms[ADVERSARIAL] = RefinerArm(build, build_critic(), params, loss)
        self.inputs, self.params, self._cutoffs = inputs, params, cutoffs
        self._steps = {name: tf.function(arm.update, reduce_retracing=True) for name, arm in self.arms.items()}
        self._look = tf.function(self._looks, reduce_retracing=True)

    def fit(self, task: TrainingTask) -> pd.DataFrame:
        """Train, leave the best weights in the `averaged` network of each arm, and return the history.

        It has the columns `HISTORY_COLUMNS`, one row per epoch; epoch 0 is the U-Net without a refiner. Missing values
        are NaN: the critic's losses before it joins, and all of an arm's columns once it has diverged.
        """
        size = self.params.batch_size
        validation = {
            "val_dice": self.inputs.val(task.val, task.info, size, degraded=False),
            "val_dice_degraded": self.inputs.val(task.val, task.info, size, degraded=True),
        }
        history, states = self._begin(task.checkpoint, validation)
        for arm in self.arms.values():
            arm.become(self.arms[CONTROL])
        best = {name: states.pop(f"{name}/best", values_of(learnt(arm.averaged))) for name, arm in self.arms.items()}
        for name, variables in self._state().items():
            if name in states:
                assign(variables, states[name])
        epochs = range(len(history), self.params.epochs + 1)
        given = iter(whole_batches(task.rounds, task.info, size, task.seed, epochs) if epochs else ())
        steps = steps_per_epoch(task.info, size)
        for epoch in (progress := tqdm(epochs, desc="refiner", unit="epoch", disable=False)):
            if not (alive := [name for name in self.arms if not diverged_in(history, name)]):
                break
            row = self._train_epoch(islice(given, steps), epoch, alive) | self._validate(validation, self._look)
            history.loc[epoch] = pd.Series(row := {"epoch": epoch, **self._of_alive(row, alive)})
            for name, arm in self.arms.items():
                if kept_epoch(history, name) == epoch:
                    best[name] = values_of(learnt(arm.averaged))
            states = {name: values_of(variables) for name, variables in self._state().items()}
            task.on_epoch(epoch, row)
            task.checkpoint.save(history, states | {f"{name}/best": weights for name, weights in best.items()})
            progress.set_postfix({name: f"{row[f'{name}_val_dice_degraded']:.3f}" for name in self.arms})
        for name, arm in self.arms.items():
            assign(learnt(arm.averaged), best[name])
        return history.astype({"epoch": int})

    def _begin(
        self, checkpoint: Checkpoint, validation: Mapping[str, Sequence[RefinerBatch]]
    ) -> tuple[pd.DataFrame, dict[str, State]]:
        """Return history and states from the checkpoint, or those of a new training."""
        if restored := checkpoint.restore():
            history, states = restored
            print(f"resuming after epoch {history['epoch'].iloc[-1]:.0f}", flush=True)
        else:
            history, states = pd.DataFrame([{"epoch": 0, **self._validate(validation, self._unrefined)}]), {}
        return history.reindex(columns=HISTORY_COLUMNS).astype(float), states

    def _state(self) -> dict[str, Sequence[tf.Variable]]:
        return {f"{name}/{part}": of for name, arm in self.arms.items() for part, of in arm.state().items()}

    def _train_epoch(
        self, rounds: Iterable[tuple[tf.Tensor, tf.Tensor]], epoch: int, alive: Sequence[str]
    ) -> dict[str, float]:
        """Train for one round; return the means of the losses."""
        together = epoch > self.params.warmup_epochs
        taught = [name for name in alive if together or name == CONTROL]
        with ThreadPoolExecutor(len(taught)) as pool:
            measured = [self._update(given, taught, pool) for given in self.inputs.train(rounds, epoch)]
        means = {key: _mean([float(step[key]) for step in measured], key) for key in measured[0]}
        if not together:
            for name, arm in self.arms.items():
                arm.become(self.arms[CONTROL])
                means[f"{name}_segmentation_loss"] = means[f"{CONTROL}_segmentation_loss"]
        return means

    def _of_alive(self, row: dict[str, float], alive: Sequence[str]) -> dict[str, float]:
        """Return the row with NaN in all columns of arms that have diverged, now or before."""
        gone = [
            name
            for name in self.arms
            if name not in alive or not np.isfinite([row[key] for key in _of(name) if key in row]).all()
        ]
        return row | {key: float("nan") for name in gone for key in _of(name)}

    def _update(self, given: RefinerBatch, taught: Sequence[str], pool: ThreadPoolExecutor) -> dict[str, tf.Tensor]:
        """Make one step of each arm, side by side: no arm reads what another writes."""
        losses = pool.map(lambda name: self._steps[name](given), taught)
        return {
            f"{name}_{key}" if key in OF_EACH else key: value
            for name, of_arm in zip(taught, losses, strict=True)
            for key, value in of_arm.items()
        }

    def _looks(self, given: RefinerBatch) -> Estimates:
        return {name: arm.look(given) for name, arm in self.arms.items()}

    def _unrefined(self, given: RefinerBatch) -> Estimates:
        return dict.fromkeys(self.arms, estimate_of(given.logits, given.presence))

    def _validate(
        self, validation: Mapping[str, Sequence[RefinerBatch]], look: Callable[[RefinerBatch], Estimates]
    ) -> dict[str, float]:
        """Return the mean Dice of each arm at the network's size, with the U-Net's cut-offs: what must gain is the masks that
        ship, and presence may remove what a refiner adds to frames without a nerve.
        """
        scores: dict[str, float] = {}
        for key, batches in validation.items():
            dices: dict[str, list[float]] = {name: [] for name in self.arms}
            for given in batches:
                truths = given.masks.numpy()[..., 0] > 0.5
                for name, (probability, presence) in look(given).items():
                    estimates = map(Estimate, probability.numpy()[..., 0], presence.numpy()[:, 0])
                    masks = map(self._cutoffs.mask, estimates)
                    dices[name] += [count(*pair).dice for pair in zip(truths, masks, strict=True)]
            scores |= {f"{name}_{key}": float(np.mean(of)) for name, of in dices.items()}
        return scores


def kept_epoch(history: pd.DataFrame, arm: str) -> int:
    """Return the epoch whose weights an arm keeps; 0 if it stays the identity."""
    scores = history[[f"{arm}_val_dice", f"{arm}_val_dice_degraded"]]
    if arm == ADVERSARIAL:
        scores = scores.where(history["critic_loss"].notna() | (history["epoch"] == 0))
    clean, degraded = (scores[column].tolist() for column in scores)
    return best_of(clean, degraded)


def diverged_in(history: pd.DataFrame, arm: str) -> int | None:
    """Return the first epoch in which a loss or score of an arm was not a number, or None."""
    missing = history.loc[(history["epoch"] > 0) & history[f"{arm}_segmentation_loss"].isna(), "epoch"]
    return int(missing.iloc[0]) if len(missing) else None


def _of(arm: str) -> list[str]:
    """Return the columns of the history that are numbers unless the arm has diverged."""
    own = [f"{arm}_{key}" for key in OF_EACH]
    return [*own, *(key for key in OF_CRITIC if key != "critic_accuracy")] if arm == ADVERSARIAL else own


def _mean(values: Sequence[float], key: str) -> float:
    """Return the mean over the steps; of the accuracy, over those in which it has a value."""
    seen = [value for value in values if key != "critic_accuracy" or not np.isnan(value)]
    return float(np.mean(seen, dtype=np.float64)) if seen else float("nan")
