"""Training of the segmentation network on the augmented rounds, the best weights chosen by Dice on val.

What is scored on val, and kept, is a running average of the weights, batch statistics included: it generalises better
than the weights of any one step (Izmailov et al. 2018, "Averaging weights leads to wider optima"), and its score jumps
less, so that the best epoch is less a matter of luck.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from nerveseg.dataset.batches import batches, whole_batches
from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import ModelError
from nerveseg.params.networks import UNetParams
from nerveseg.training.checkpoints import Checkpoint, State, Weights, assign
from nerveseg.training.distribution import from_chief, is_chief, keras_policy, telling_lost_workers
from nerveseg.unet.losses import dice, presence_loss, segmentation_loss
from nerveseg.unet.network import LOGITS, PRESENCE
from nerveseg.unet.optimiser import adamw
from nerveseg.unet.warm_start import network_to_train

HISTORY_COLUMNS = ["epoch", "lr", "loss", "val_loss", "dice", "val_dice"]
EpochCallback = Callable[[int, dict[str, float]], None]


def steps_per_epoch(frames: int, params: UNetParams) -> int:
    return -(-frames // params.batch_size)


class SupervisedTraining:
    """The network that trains, its optimiser, the average of its weights, and one step.

    `averaged` is the network with the average in it; after `fit` it has the best weights. `step` makes one update with
    frames and masks as `batches` gives them, and returns the means over the batch of loss and Dice before it, float32 (2,).

    Args:
        build: makes the network with the weights that training starts from.
        params: the `unet` section.
        peak_lr: learning rate after the warm-up.
        steps: of the whole training.
        strategy: from `training_strategy`.
    """

    def __init__(
        self,
        build: Callable[[], tf.keras.Model],
        params: UNetParams,
        peak_lr: float,
        steps: int,
        strategy: tf.distribute.Strategy,
    ) -> None:
        self.params, self.strategy = params, strategy
        self.averaged = build()
        with strategy.scope():
            self.network = build()
            self.optimiser = adamw(params, peak_lr, steps)
            self.optimiser.build(self.network.trainable_variables)
            self._averages = [_local_copy(variable) for variable in self.network.weights]
        self._parts = params.ghost_batches // strategy.num_replicas_in_sync
        self.step = tf.function(self._step)
        self._values = tf.function(self._read)
        shape = (None, *self.averaged.input_shape[1:])
        self._score = tf.function(self._scores, input_signature=[tf.TensorSpec(shape), tf.TensorSpec(shape)])

    def fit(
        self,
        rounds: Sequence[Path],
        val: Sequence[Path],
        info: DatasetInfo,
        seed: int,
        checkpoint: Checkpoint,
        on_epoch: EpochCallback,
    ) -> pd.DataFrame:
        """Train, and leave `averaged` with its best weights.

        Args:
            rounds: files that epochs cycle through, each with every train frame once.
            val: shards of val.
            info: of the data set.
            seed: of the order of the frames, which depends on nothing else but the epoch.
            checkpoint: taken up where there is one; the caller removes it once the weights are safe.
            on_epoch: called after each new epoch with its number, from 1, and its row of the history.

        Returns:
            The history, columns `HISTORY_COLUMNS`, a row an epoch.

        Raises:
            ModelError: training diverged, or another worker stopped.
        """
        with telling_lost_workers():
            history, best = self._taken_up(checkpoint)
        validation = batches(val, info, self.params.batch_size)
        epochs = range(len(history), self.params.epochs)
        given = iter(self.train_batches(rounds, info, seed, epochs)) if epochs else iter(())
        steps = steps_per_epoch(info.frames["train"], self.params)
        progress = tqdm(
            epochs, initial=len(history), total=self.params.epochs, desc="U-Net", unit="epoch",
            disable=not is_chief(self.strategy),
        )  # fmt: skip
        with telling_lost_workers():
            for epoch in progress:
                row = {"epoch": epoch + 1, **self._train_epoch(given, steps, epoch + 1)}
                states = self._snapshot()
                self.averaged.set_weights(states["average"])
                row |= self._validate(validation)
                if not row["val_dice"] < history["val_dice"].max():
                    best = self.averaged.get_weights()
                history.loc[epoch] = row
                on_epoch(epoch + 1, row)
                checkpoint.save(history, states | {"best": best})
                progress.set_postfix(loss=f"{row['loss']:.3f}", val_dice=f"{row['val_dice']:.3f}")
        self.averaged.set_weights(best)
        return history.astype({"epoch": int})

    def _taken_up(self, checkpoint: Checkpoint) -> tuple[pd.DataFrame, Weights]:
        """Put every variable where the chief's checkpoint left it; the history and the best weights so far."""
        history = pd.DataFrame(columns=HISTORY_COLUMNS, dtype=float)
        best = self.averaged.get_weights()
        restored = checkpoint.restore() if is_chief(self.strategy) else None
        done = int(from_chief(self.strategy, [np.array(len(restored[0]) if restored else 0)])[0])
        if not done:
            return history, best
        history = restored[0] if restored else history.reindex(range(done)).fillna(0.0)
        states = restored[1] if restored else {"best": best}
        current = self._snapshot()
        for name, variables in self._state().items():
            assign(variables, from_chief(self.strategy, states.get(name, current[name])))
        table, *best = from_chief(self.strategy, [history.to_numpy(np.float64), *states["best"]])
        print(f"going on after epoch {done}", flush=True)
        return pd.DataFrame(table, columns=HISTORY_COLUMNS), best

    def train_batches(self, rounds: Sequence[Path], info: DatasetInfo, seed: int, epochs: range) -> tf.data.Dataset:
        """What this process trains on in these epochs, one after the other: its share of each batch."""
        devices = self.strategy.num_replicas_in_sync

        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            here = devices // context.num_input_pipelines
            first = context.input_pipeline_id * here
            shares = (devices, range(first, first + here))
            return whole_batches(rounds, info, self.params.batch_size, seed, epochs, shares)

        return self.strategy.distribute_datasets_from_function(of_worker)

    def _step(self, frames: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        measured = self.strategy.run(self._on_device, args=(frames, masks))
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, measured, axis=None)

    def _on_device(self, frames: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        """Its parts side by side. Averages are kept here, each device its own, which are equal but for the statistics of
        its parts: no word need pass between devices for them.
        """
        variables = self.network.trainable_variables
        parts = zip(tf.split(frames, self._parts), tf.split(masks, self._parts), strict=True)
        results = [self._gradients(*part) for part in parts]
        share = 1.0 / self.params.ghost_batches
        gradients = [share * tf.add_n(same) for same in zip(*(gradients for gradients, _ in results), strict=True)]
        self.optimiser.apply_gradients(zip(gradients, variables, strict=True))
        step = tf.cast(self.optimiser.iterations, tf.float32)
        forgotten = 1.0 - tf.minimum(self.params.ema_decay, step / (step + 9.0))
        for average, variable in zip(self._averages, self.network.weights, strict=True):
            average.assign_sub(forgotten * (average - variable))
        return share * tf.add_n([measured for _, measured in results])

    def _gradients(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        with tf.GradientTape() as tape:
            outputs = self.network(frames, training=True)
            loss = self._loss(masks, outputs)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        return gradients, tf.stack([loss, tf.reduce_mean(dice(masks, outputs[LOGITS]))])

    def _loss(self, masks: tf.Tensor, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        return segmentation_loss(self.params, masks, outputs[LOGITS]) + presence_loss(
            self.params, masks, outputs[PRESENCE]
        )

    def _train_epoch(self, given: Iterator[tuple[tf.Tensor, tf.Tensor]], steps: int, epoch: int) -> dict[str, float]:
        measured = [self.step(*batch) for batch in islice(given, steps)]
        loss, score = (float(value) for value in np.mean(measured, axis=0, dtype=np.float64))
        stop_if_diverged(loss, epoch, "lr")
        return {"lr": float(self.optimiser.learning_rate.numpy()), "loss": loss, "dice": score}

    def _scores(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = self.averaged(frames, training=False)
        return self._loss(masks, outputs), dice(masks, outputs[LOGITS])

    def _validate(self, validation: tf.data.Dataset) -> dict[str, float]:
        """Scores of the average on val, its batches side by side like the parts of one in training."""
        scored: list[tuple[tf.Tensor, tf.Tensor]] = []
        waiting = iter(validation)
        with ThreadPoolExecutor(self.params.ghost_batches) as pool:
            while together := list(islice(waiting, self.params.ghost_batches)):
                scored += pool.map(lambda batch: self._score(*batch), together)
        losses, dices = ([value.numpy() for value in values] for values in zip(*scored, strict=True))
        return {
            "val_loss": float(np.average(np.array(losses, np.float64), weights=[len(of_batch) for of_batch in dices])),
            "val_dice": float(np.concatenate(dices).mean(dtype=np.float64)),
        }

    def _snapshot(self) -> dict[str, State]:
        """The values of `_state`; every worker must take one when one does, since some are means over all of them."""
        return {name: [value.numpy() for value in values] for name, values in self._values().items()}

    def _read(self) -> dict[str, list[tf.Tensor]]:
        return {name: [tf.identity(variable) for variable in variables] for name, variables in self._state().items()}

    def _state(self) -> dict[str, Sequence[tf.Variable]]:
        return {"network": self.network.weights, "optimiser": self.optimiser.variables, "average": self._averages}


def stop_if_diverged(loss: float, epoch: int, key: str) -> None:
    """Raise ModelError where a loss is no longer a number: its weights would score like an empty mask."""
    if not np.isfinite(loss):
        raise ModelError(f"the loss is {loss} in epoch {epoch}: training diverged; lower {key} in params.yaml")


def _local_copy(variable: tf.Variable) -> tf.Variable:
    """A variable of each device's own, which is read as the mean of them."""
    return tf.Variable(
        variable.numpy(),
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )


def train_network(
    params: UNetParams,
    lr: float,
    seed: int,
    rounds: Sequence[Path],
    val: Sequence[Path],
    info: DatasetInfo,
    strategy: tf.distribute.Strategy,
    checkpoint: Checkpoint,
    on_epoch: EpochCallback,
) -> tuple[tf.keras.Model, pd.DataFrame]:
    """The network of `params` with its best weights, and the history; arguments as of `SupervisedTraining.fit`."""
    build = partial(network_to_train, params, info.input, keras_policy(params.precision))
    steps = params.epochs * steps_per_epoch(info.frames["train"], params)
    training = SupervisedTraining(build, params, lr, steps, strategy)
    history = training.fit(rounds, val, info, seed, checkpoint, on_epoch)
    return training.averaged, history
