"""Trains the U-Net, or a `segmentation_models` encoder under a U-Net decoder, into `models/unet/`.

It starts from random weights, or from those of the trained segmenter in `unet.init_from`. The best weights by Dice on
val are kept, with the cut-offs that score best there; `metrics/unet_history.csv` has a row an epoch. Stopped, it goes on
from its last whole epoch when it is run again.
"""

from pathlib import Path

import pandas as pd

from nerveseg.data.records import DatasetInfo, annotated_frames, shards
from nerveseg.errors import told_plainly
from nerveseg.outputs import fresh_folder, write_csv
from nerveseg.params import load_params
from nerveseg.segmenter import Segmenter, SegmenterConfig, network_to_train
from nerveseg.tracking import stage_run
from nerveseg.training.checkpoints import Checkpoint, digest_of
from nerveseg.training.distribution import make_deterministic, training_strategy
from nerveseg.training.supervised import compile_network, fit_network, steps_per_epoch

PROCESSED, AUGMENTED = Path("data/processed"), Path("data/augmented")
OUTPUT = Path("models/unet")
HISTORY = Path("metrics/unet_history.csv")


def train_unet() -> None:
    params = load_params()
    with stage_run("train_unet", params) as run, fresh_folder(OUTPUT) as folder:
        make_deterministic(params.seed)
        info = DatasetInfo.read(PROCESSED)
        manifest = pd.read_csv(PROCESSED / "manifest.csv", dtype={"frame": str, "subject": str})
        run.log_dataset(Path(info.source).name, info.digest[:32], info.source, "training", manifest)
        rounds, val = shards(AUGMENTED, "round"), shards(PROCESSED, "val")
        steps = params.unet.epochs * steps_per_epoch(info, params.unet)
        with training_strategy().scope():
            network = network_to_train(params.unet, info.height, info.width, info.mean, info.std)
            compile_network(network, params.unet, params.lr, steps)
        start = sorted(Path(params.unet.init_from).iterdir())
        settings = {"seed": params.seed, "lr": params.lr, "unet": params.unet.model_dump()}
        checkpoint = Checkpoint(
            f"train_unet-{digest_of(settings, [*rounds, *val, *start])}", network=network, optimiser=network.optimizer
        )
        history = fit_network(network, rounds, val, info, params.unet, params.seed, checkpoint, on_epoch=run.log_epoch)
        write_csv(HISTORY, history)

        frames, truths = annotated_frames(val, info)
        config = SegmenterConfig(info.height, info.width, info.mean, info.std, params.unet)
        segmenter, _ = Segmenter(config, network).tuned(frames, truths, params.postprocess)
        segmenter.save(folder)
        checkpoint.remove()
        best = {"best_val_dice": history["val_dice"].max(), "parameters": network.count_params()}
        run.log_scores(best)
        print(f"best val Dice {best['best_val_dice']:.3f}; cut-offs {segmenter.config.cutoffs}")


if __name__ == "__main__":
    with told_plainly():
        train_unet()
