"""Train the U-Net, or an encoder and decoder of `segmentation_models`, into `models/unet/`.

Training starts from random weights, or from those of the segmenter in `unet.init_from`. Val chooses the epoch and the
cut-offs. `metrics/unet_history.csv` has one row per epoch. If the stage is stopped, rerunning it resumes after the last whole
epoch. With TF_CONFIG set, it is one of several workers that train one network; only the chief writes.
"""

import sys
from functools import partial
from pathlib import Path

from nerveseg.dataset.info import DatasetInfo, prepared, shards
from nerveseg.dataset.leakage import check_unseen, learnt_frames
from nerveseg.dataset.records import annotated_frames
from nerveseg.files.atomic import fresh_folder, read_csv, write_csv
from nerveseg.files.checked_folder import LIST_NAME
from nerveseg.files.fingerprint import digest_of
from nerveseg.inference.cutoff_search import at_the_edge
from nerveseg.params.file import load_params
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import is_chief, keras_policy, make_deterministic, training_strategy, use_threads
from nerveseg.training.task import TrainingTask
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig
from nerveseg.unet.training import train_network
from nerveseg.unet.warm_start import frames_behind, nothing_real_behind

PROCESSED, AUGMENTED = Path("data/processed"), Path("data/augmented")
OUTPUT, HISTORY = Path("models/unet"), Path("metrics/unet_history.csv")
COMPUTES = ("dataset", "inference", "measures", "training", "unet")


def train_unet() -> None:
    params = load_params()
    use_threads(params.unet.ghost_batches)
    strategy = training_strategy(params.unet)
    make_deterministic(params.seed)
    settings = params.model_dump(include={"seed", "lr", "unet"}) | {"policy": keras_policy(params.unet.precision)}
    lists = [AUGMENTED / LIST_NAME, PROCESSED / LIST_NAME]  # digests of what is in there
    digest = digest_of(settings, [*lists, Path(params.unet.init_from), Path(__file__)], COMPUTES)
    checkpoint = Checkpoint(f"train_unet-{digest}", writes=is_chief(strategy))
    info, val = DatasetInfo.read(PROCESSED), shards(PROCESSED, "val")
    task = TrainingTask(shards(AUGMENTED, "round"), val, info, params.seed, checkpoint, progress.epoch)
    train = partial(train_network, params.unet, params.lr, strategy)
    if not is_chief(strategy):
        progress.training(None)
        train(task._replace(on_epoch=lambda epoch, row: print(f"epoch {epoch}: {row['loss']}", flush=True)))
        return
    progress.training(checkpoint.run_record)
    with fresh_folder(OUTPUT) as folder, undisturbed("train_unet", params):
        manifest = read_csv(prepared(PROCESSED).file("manifest.csv"))
        before = frames_behind(params.unet.init_from)
        if remark := check_unseen(before, manifest, params.unet.init_from):
            print(f"warning: {remark}", file=sys.stderr)
        trained, history = train(task)
        write_csv(HISTORY, history)
        frames, truths = annotated_frames(val, info)
        learnt = tuple(sorted(before | learnt_frames(manifest)))
        simulated = info.simulated_only and nothing_real_behind(params.unet.init_from)
        config = SegmenterConfig(
            info.input, params.unet, learnt_frames=learnt, grey_range=info.grey_range, simulated_only=simulated
        )
        network = build_unet(params.unet, info.input, pretrained=False)
        network.set_weights(trained.get_weights())
        segmenter, _ = Segmenter(config, network).tuned(frames, truths, params.postprocess)
        segmenter.save(folder)
        progress.facts({"best_val_dice": history["val_dice"].max(), "parameters": network.count_params()})
    checkpoint.remove()
    print(f"best val Dice {history['val_dice'].max():.3f}; cut-offs: {segmenter.cutoffs}")
    for remark in at_the_edge(segmenter.cutoffs, params.postprocess):
        print(f"remark: {remark}")


if __name__ == "__main__":
    with stage_process():
        train_unet()
