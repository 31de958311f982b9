"""Training of the U-Net on the augmented rounds. Dice on val chooses the best weights.

Val scores a moving average of the weights, batch statistics included, and the average is what is kept. It generalises better
than the weights of any one step (Izmailov et al. 2018, "Averaging weights leads to wider optima"), and its score varies less
from epoch to epoch, so that the best epoch is less a matter of luck.
"""

import operator
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
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
from nerveseg.training.distribution import devices_in_words, from_chief, is_chief, keras_policy, telling_lost_workers
from nerveseg.training.task import TrainingTask, steps_per_epoch
from nerveseg.unet.losses import dice, presence_loss, segmentation_loss
from nerveseg.unet.network import LOGITS, PRESENCE
from nerveseg.unet.optimiser import adamw, gradients_of, update_average
from nerveseg.unet.warm_start import network_to_train

HISTORY_COLUMNS = ["epoch", "lr", "loss", "val_loss", "dice", "val_dice"]  # a row for each epoch


class SupervisedTraining:
    """The network in training, its optimiser, the average of its weights, and one step.

    `averaged` is a network with the averaged weights; after `fit` it has the best ones. `step` takes frames and masks as
    `batches` yields them, makes one update, and returns the batch's mean loss and Dice before it, float32 (2,). `build` makes
    the network with its initial weights, `peak_lr` is the learning rate after the warm-up, and `steps` counts the whole
    training.
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
        for layer in self.network.submodules:
            if isinstance(layer, tf.keras.layers.BatchNormalization):
                # One device updates its statistics once per ghost batch, several only once per ghost batch of their own.
                layer.momentum **= strategy.num_replicas_in_sync
        self._ghost_batches = params.ghost_batches // strategy.num_replicas_in_sync
        self.step = tf.function(self._step)
        self._values = tf.function(lambda: {name: [*map(tf.identity, of)] for name, of in self._state().items()})
        shape = (None, *self.averaged.input_shape[1:])
        self._score = tf.function(self._scores, input_signature=[tf.TensorSpec(shape), tf.TensorSpec(shape)])

    def fit(self, task: TrainingTask) -> pd.DataFrame:
        """Train, leave the best weights in `averaged`, and return the history; ModelError if it cannot be finished."""
        with telling_lost_workers():
            history, best = self._resume(task.checkpoint)
        validation = batches(task.val, task.info, self.params.batch_size)
        epochs = range(len(history), self.params.epochs)
        given = iter(self.train_batches(task.rounds, task.info, task.seed, epochs)) if epochs else iter(())
        steps = steps_per_epoch(task.info, self.params.batch_size)
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
                task.on_epoch(epoch + 1, row)
                task.checkpoint.save(history, states | {"best": best})
                progress.set_postfix(loss=f"{row['loss']:.3f}", val_dice=f"{row['val_dice']:.3f}")
        self.averaged.set_weights(best)
        return history.astype({"epoch": int})

    def _resume(self, checkpoint: Checkpoint) -> tuple[pd.DataFrame, Weights]:
        """Restore every variable from the chief's checkpoint; return the history and the best weights so far."""
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
        print(f"resuming after epoch {done}", flush=True)
        return pd.DataFrame(table, columns=HISTORY_COLUMNS), best

    def train_batches(self, rounds: Sequence[Path], info: DatasetInfo, seed: int, epochs: range) -> tf.data.Dataset:
        """Return this process's share of each batch of these epochs, one epoch after the other."""
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
        """Compute this device's ghost batches side by side, and averages of its own, so that none need be sent."""
        variables = self.network.trainable_variables
        ghosts = zip(tf.split(frames, self._ghost_batches), tf.split(masks, self._ghost_batches), strict=True)
        results = [self._gradients(*ghost) for ghost in ghosts]
        share = 1.0 / self.params.ghost_batches
        gradients = [share * _sum(same) for same in zip(*(gradients for gradients, _ in results), strict=True)]
        self.optimiser.apply_gradients(zip(gradients, variables, strict=True))
        update_average(self._averages, self.network.weights, self.optimiser.iterations, self.params.ema_decay)
        return share * _sum([measured for _, measured in results])

    def _gradients(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        outputs = self.network(frames, training=True)
        loss = self._loss(masks, outputs)
        measured = tf.stack([loss, tf.reduce_mean(dice(masks, outputs[LOGITS]))])
        return gradients_of(loss, self.network.trainable_variables), measured

    def _loss(self, masks: tf.Tensor, outputs: dict[str, tf.Tensor]) -> tf.Tensor:
        pixels = segmentation_loss(self.params, masks, outputs[LOGITS])
        return pixels + presence_loss(self.params, masks, outputs[PRESENCE])

    def _train_epoch(self, given: Iterator[tuple[tf.Tensor, tf.Tensor]], steps: int, epoch: int) -> dict[str, float]:
        measured = [self.step(*batch) for batch in islice(given, steps)]
        loss, score = (float(value) for value in np.mean(measured, axis=0, dtype=np.float64))
        if not np.isfinite(loss):  # such weights would score like an empty mask
            raise ModelError(f"the loss is {loss} in epoch {epoch}: training diverged; lower lr in params.yaml")
        return {"lr": float(self.optimiser.learning_rate.numpy()), "loss": loss, "dice": score}

    def _scores(self, frames: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = self.averaged(frames, training=False)
        return self._loss(masks, outputs), dice(masks, outputs[LOGITS])

    def _validate(self, validation: tf.data.Dataset) -> dict[str, float]:
        """Score the average on val, as many batches side by side as a train batch has ghost batches."""
        scored: list[tuple[tf.Tensor, tf.Tensor]] = []
        waiting, together = iter(validation), self.params.ghost_batches
        with ThreadPoolExecutor(together) as pool:
            while next_ones := list(islice(waiting, together)):
                scored += pool.map(lambda batch: self._score(*batch), next_ones)
        losses, dices = ([value.numpy() for value in values] for values in zip(*scored, strict=True))
        return {
            "val_loss": float(np.average(np.array(losses, np.float64), weights=[len(of_batch) for of_batch in dices])),
            "val_dice": float(np.concatenate(dices).mean(dtype=np.float64)),
        }

    def _snapshot(self) -> dict[str, State]:
        """Return the values of `_state`. All workers must call this together, since some values are means over workers."""
        return {name: [value.numpy() for value in values] for name, values in self._values().items()}

    def _state(self) -> dict[str, Sequence[tf.Variable]]:
        return {"network": self.network.weights, "optimiser": self.optimiser.variables, "average": self._averages}


def _sum(values: Sequence[tf.Tensor]) -> tf.Tensor:
    """Return the sum in this order, which `tf.add_n` does not guarantee."""
    return reduce(operator.add, values)


def _local_copy(variable: tf.Variable) -> tf.Variable:
    """Return a variable of which each device has its own copy; reading it gives the mean of the copies."""
    own, mean = tf.VariableSynchronization.ON_READ, tf.VariableAggregation.MEAN
    return tf.Variable(variable.numpy(), trainable=False, synchronization=own, aggregation=mean)


def train_network(
    params: UNetParams, lr: float, strategy: tf.distribute.Strategy, task: TrainingTask
) -> tuple[tf.keras.Model, pd.DataFrame]:
    """Train the network of `params`; return it with its best weights, and the history of `SupervisedTraining.fit`."""
    policy = keras_policy(params.precision)
    print(f"training on {devices_in_words(policy)}", flush=True)
    build = partial(network_to_train, params, task.info.input, policy)
    steps = params.epochs * steps_per_epoch(task.info, params.batch_size)
    training = SupervisedTraining(build, params, lr, steps, strategy)
    return training.averaged, training.fit(task)
