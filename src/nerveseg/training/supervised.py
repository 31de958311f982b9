"""Training of the segmentation network on the augmented rounds, the best weights chosen by Dice on val.

What is scored on val, and kept, is a running average of the weights over epochs, batch statistics included: it
generalises better than the weights of any one epoch (Izmailov et al. 2018, "Averaging weights leads to wider optima"),
and its score jumps less, so that the best epoch is less a matter of luck.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from nerveseg.data.records import DatasetInfo, batches
from nerveseg.errors import ModelError
from nerveseg.models.losses import dice, segmentation_loss
from nerveseg.params import UNetParams
from nerveseg.training.checkpoints import Checkpoint, Weights

HISTORY_COLUMNS = ["epoch", "lr", "loss", "val_loss", "dice", "val_dice"]
EpochCallback = Callable[[int, dict[str, float]], None]


def steps_per_epoch(info: DatasetInfo, params: UNetParams) -> int:
    return -(-info.frames["train"] // params.batch_size)


def compile_network(network: tf.keras.Model, params: UNetParams, peak_lr: float, steps: int) -> None:
    """AdamW (Loshchilov and Hutter 2019) with a linear warm-up and a cosine to zero over `steps` steps in all."""
    warmup = int(params.warmup_share * steps)
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else peak_lr,
        decay_steps=max(1, steps - warmup),
        warmup_target=peak_lr if warmup else None,
        warmup_steps=warmup,
    )
    optimiser = tf.keras.optimizers.AdamW(schedule, weight_decay=params.weight_decay)
    optimiser.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    optimiser.build(network.trainable_variables)
    network.compile(optimiser, loss=segmentation_loss(params.dice_weight, params.bce_weight), metrics=[dice])


def fit_network(
    network: tf.keras.Model,
    rounds: Sequence[Path],
    val: Sequence[Path],
    info: DatasetInfo,
    params: UNetParams,
    seed: int,
    checkpoint: Checkpoint,
    on_epoch: EpochCallback,
) -> pd.DataFrame:
    """Train a compiled network, and leave it with its best weights.

    Args:
        network: compiled by `compile_network`.
        rounds: files that epochs cycle through, each with every train frame once.
        val: shards of val.
        info: of the data set.
        params: `epochs`, `batch_size` and `average_decay`.
        seed: of the order of the frames, which depends on nothing else but the epoch.
        checkpoint: over the network and its optimiser; taken up where there is one; the caller
            removes it once the weights are safe.
        on_epoch: called after each new epoch with its number, from 1, and its row of the history.

    Returns:
        The history, columns `HISTORY_COLUMNS`, a row an epoch.
    """
    restored = checkpoint.restore()
    history, kept = restored or (pd.DataFrame(columns=HISTORY_COLUMNS, dtype=float), {})
    done = len(history)
    # Told how many steps there are, `fit` never asks for a batch after the last: TensorFlow would run what does not
    # depend on that batch, the step counter and the weight decay, before it noticed that there is none.
    steps = steps_per_epoch(info, params)
    validation = batches(val, info, params.batch_size)
    progress = tqdm(range(done, params.epochs), initial=done, total=params.epochs, desc="U-Net", unit="epoch")
    for epoch in progress:
        train = batches([rounds[epoch % len(rounds)]], info, params.batch_size, shuffle_seed=seed + epoch)
        measured = network.fit(train, steps_per_epoch=steps, initial_epoch=epoch, epochs=epoch + 1, verbose=0).history
        stop_if_diverged(measured["loss"][0], epoch + 1, "lr")
        weights = network.get_weights()
        kept["average"] = _averaged(kept.get("average", weights), weights, params.average_decay)
        network.set_weights(kept["average"])
        scores = network.evaluate(validation, return_dict=True, verbose=0)
        network.set_weights(weights)
        row = {key: float(values[0]) for key, values in measured.items()}
        row |= {f"val_{key}": float(value) for key, value in scores.items()}
        row |= {"epoch": epoch + 1, "lr": float(network.optimizer.learning_rate)}
        if not row["val_dice"] < history["val_dice"].max():
            kept["best"] = kept["average"]
        history.loc[epoch] = row
        checkpoint.save(history, kept)
        progress.set_postfix(loss=f"{row['loss']:.3f}", val_dice=f"{row['val_dice']:.3f}")
        on_epoch(epoch + 1, row)
    network.set_weights(kept["best"])
    return history.astype({"epoch": int})


def stop_if_diverged(loss: float, epoch: int, key: str) -> None:
    """Raise ModelError where a loss is no longer a number: its weights would score like an empty mask."""
    if not np.isfinite(loss):
        raise ModelError(f"the loss is {loss} in epoch {epoch}: training diverged; lower {key} in params.yaml")


def _averaged(average: Weights, weights: Weights, decay: float) -> Weights:
    return [decay * old + (1.0 - decay) * new for old, new in zip(average, weights, strict=True)]
