"""Trains the U-Net, or a `segmentation_models` encoder under one of its decoders, into `models/unet/`.

It starts from random weights, or from those of the trained segmenter in `unet.init_from`. The best weights by Dice on
val are kept, with the cut-offs that score best there; `metrics/unet_history.csv` has a row an epoch. Stopped, it goes on
from its last whole epoch when it is run again. With TF_CONFIG set it is one of several workers that train one network
together; the chief alone writes.
"""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen, learnt_frames
from nerveseg.dataset.records import annotated_frames
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv
from nerveseg.files.checked_folder import LIST_NAME
from nerveseg.files.fingerprint import digest_of
from nerveseg.inference.cutoff_search import at_the_edge
from nerveseg.params.file import Params, load_params
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import is_chief, keras_policy, make_deterministic, training_strategy, use_threads
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig, frames_behind, network_to_train
from nerveseg.unet.training import EpochCallback, SupervisedTraining, steps_per_epoch

if TYPE_CHECKING:
    import tensorflow as tf

PROCESSED, AUGMENTED = Path("data/processed"), Path("data/augmented")
OUTPUT = Path("models/unet")
HISTORY = Path("metrics/unet_history.csv")
COMPUTES = ("augmentation", "dataset", "inference", "measures", "training", "unet")


def train_unet() -> None:
    params = load_params()
    use_threads(params.unet.parts)
    strategy = training_strategy(params.unet)
    make_deterministic(params.seed)
    info, checkpoint = DatasetInfo.read(PROCESSED), _checkpoint(params, strategy)
    if not is_chief(strategy):
        progress.training(None)
        _train(
            params, info, strategy, checkpoint, lambda epoch, row: print(f"epoch {epoch}: {row['loss']}", flush=True)
        )
        return
    progress.training(checkpoint.run_record)
    with fresh_folder(OUTPUT) as folder, undisturbed("train_unet", params):
        manifest = read_csv(prepared(PROCESSED).file("manifest.csv"))
        before = frames_behind(params.unet.init_from)
        if remark := check_unseen(before, manifest, params.unet.init_from):
            print(f"warning: {remark}", file=sys.stderr)
        trained, history = _train(params, info, strategy, checkpoint, progress.epoch)
        write_csv(HISTORY, history)
        frames, truths = annotated_frames(shards(PROCESSED, "val"), info)
        learnt = tuple(sorted(before | learnt_frames(manifest)))
        config = SegmenterConfig(info.input, params.unet, learnt_frames=learnt, grey_range=info.grey_range)
        network = build_unet(params.unet, info.input, pretrained=False)
        network.set_weights(trained.get_weights())
        segmenter, _ = Segmenter(config, network).tuned(frames, truths, params.postprocess)
        segmenter.save(folder)
        best = {"best_val_dice": history["val_dice"].max(), "parameters": network.count_params()}
        progress.facts(best)
    checkpoint.remove()
    print(f"best val Dice {best['best_val_dice']:.3f}; cut-offs: {segmenter.cutoffs}")
    for remark in at_the_edge(segmenter.cutoffs, params.postprocess):
        print(f"remark: {remark}")


def _checkpoint(params: Params, strategy: "tf.distribute.Strategy") -> Checkpoint:
    """Of the training with these params on this data."""
    settings = {"seed": params.seed, "lr": params.lr, "unet": params.unet.model_dump()}
    settings["policy"] = keras_policy(params.unet.precision)
    lists = [AUGMENTED / LIST_NAME, PROCESSED / LIST_NAME]  # digests of what is in there
    inputs = [*lists, Path(params.unet.init_from), Path(__file__)]
    return Checkpoint(f"train_unet-{digest_of(settings, inputs, COMPUTES)}", writes=is_chief(strategy))


def _train(
    params: Params,
    info: DatasetInfo,
    strategy: "tf.distribute.Strategy",
    checkpoint: Checkpoint,
    on_epoch: EpochCallback,
) -> tuple["tf.keras.Model", pd.DataFrame]:
    """The network with its best weights, and the history."""
    policy = keras_policy(params.unet.precision)
    build = partial(network_to_train, params.unet, info.input, policy)
    steps = params.unet.epochs * steps_per_epoch(info.frames["train"], params.unet)
    training = SupervisedTraining(build, params.unet, params.lr, steps, strategy)
    rounds, val = shards(AUGMENTED, "round"), shards(PROCESSED, "val")
    history = training.fit(rounds, val, info, params.seed, checkpoint, on_epoch)
    return training.averaged, history


if __name__ == "__main__":
    with stage_process():
        train_unet()
