"""Trains the adversarial refiner of the U-Net's probability map, into `models/gan/`: the U-Net and its refiner.

`metrics/gan_history.csv` has a row an epoch; epoch 0 is the U-Net as it came. Stopped, it goes on from its last
whole epoch when it is run again.
"""

from dataclasses import replace
from pathlib import Path

from nerveseg.data.records import DatasetInfo, annotated_frames, shards
from nerveseg.errors import told_plainly
from nerveseg.models.critic import build_critic
from nerveseg.models.refiner import build_refiner
from nerveseg.outputs import fresh_folder, write_csv
from nerveseg.params import load_params
from nerveseg.segmenter import Segmenter
from nerveseg.tracking import stage_run
from nerveseg.training.adversarial import AdversarialTraining, best_epoch
from nerveseg.training.checkpoints import Checkpoint, digest_of
from nerveseg.training.distribution import make_deterministic

PROCESSED, AUGMENTED, UNET = Path("data/processed"), Path("data/augmented"), Path("models/unet")
OUTPUT = Path("models/gan")
HISTORY = Path("metrics/gan_history.csv")


def train_gan() -> None:
    params = load_params()
    with stage_run("train_gan", params) as run, fresh_folder(OUTPUT) as folder:
        make_deterministic(params.seed)
        info = DatasetInfo.read(PROCESSED)
        rounds, val = shards(AUGMENTED, "round"), shards(PROCESSED, "val")
        unet = Segmenter.load(UNET)
        size = (info.height, info.width, info.mean, info.std)
        refiner, critic = build_refiner(params.gan.base_filters, *size), build_critic(params.gan.base_filters, *size)
        training = AdversarialTraining(unet.unet, refiner, critic, params.gan, params.unet)
        settings = {"seed": params.seed, "gan": params.gan.model_dump(), "unet": params.unet.model_dump()}
        checkpoint = Checkpoint(f"train_gan-{digest_of(settings, [*rounds, *val, *sorted(UNET.iterdir())])}")
        history = training.fit(rounds, val, info, params.seed, checkpoint, on_epoch=run.log_epoch)
        write_csv(HISTORY, history)

        frames, truths = annotated_frames(val, info)
        config = replace(unet.config, refiner_filters=params.gan.base_filters)
        segmenter, score = Segmenter(config, unet.unet, refiner).tuned(frames, truths, params.postprocess)
        _, score_of_unet = unet.tuned(frames, truths, params.postprocess)
        kept = best_epoch(history)
        if score < score_of_unet:  # what ships never scores below the U-Net on val
            kept = 0
            untrained = build_refiner(params.gan.base_filters, *size)
            segmenter = Segmenter(replace(config, cutoffs=unet.config.cutoffs), unet.unet, untrained)
        segmenter.save(folder)
        checkpoint.remove()
        scores = history.set_index("epoch").loc[kept, ["val_dice", "val_dice_degraded"]]
        run.log_scores({"kept_epoch": kept, **scores, "parameters": refiner.count_params()})
        print(f"kept epoch {kept}: val Dice {scores['val_dice']:.3f}, degraded {scores['val_dice_degraded']:.3f}")
        if kept == 0:
            print("no epoch gained on val; the refiner stays the identity")


if __name__ == "__main__":
    with told_plainly():
        train_gan()
