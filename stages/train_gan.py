"""Train the refiners of the U-Net's prediction, with a critic and without, and write the chosen model into `models/gan/`.

The chosen model is the U-Net under the better refiner, or without one if none gained on val; `refinement.json` says which and
why, and `arms/` has every refiner for the ablation. `metrics/gan_history.csv` has one row per epoch; epoch 0 is the U-Net
without a refiner. If the stage is stopped, rerunning it resumes after the last whole epoch.
"""

from pathlib import Path

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.atomic import fresh_folder, write_csv
from nerveseg.files.checked_folder import LIST_NAME
from nerveseg.files.fingerprint import digest_of
from nerveseg.params.file import load_params
from nerveseg.processes import progress
from nerveseg.processes.stage import stage_process, undisturbed
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.adversarial_training import kept_epoch
from nerveseg.refinement.diagnostics import remarks_on
from nerveseg.refinement.model_selection import choose
from nerveseg.refinement.refiner import learnt
from nerveseg.refinement.train_refiners import train_refiners
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import keras_policy, make_deterministic, use_threads
from nerveseg.training.task import TrainingTask
from nerveseg.unet.segmenter import Segmenter

PROCESSED, AUGMENTED, UNET = Path("data/processed"), Path("data/augmented"), Path("models/unet")
OUTPUT, HISTORY = Path("models/gan"), Path("metrics/gan_history.csv")
COMPUTES = ("augmentation", "dataset", "inference", "measures", "refinement", "training", "unet")
SIDE_BY_SIDE = 2  # arms


def train_gan() -> None:
    params = load_params()
    use_threads(SIDE_BY_SIDE)
    make_deterministic(params.seed)
    rounds, val = shards(AUGMENTED, "round"), shards(PROCESSED, "val")
    lists = [folder / LIST_NAME for folder in (AUGMENTED, PROCESSED, UNET)]  # digests of what is in there
    settings = params.model_dump(include={"seed", "gan", "unet", "degradation"})
    settings["policy"] = keras_policy(params.unet.precision)
    checkpoint = Checkpoint(f"train_gan-{digest_of(settings, [*lists, Path(__file__)], COMPUTES)}")
    progress.training(checkpoint.run_record)
    with fresh_folder(OUTPUT) as folder, undisturbed("train_gan", params):
        unet, info = Segmenter.load(UNET), DatasetInfo.read(PROCESSED)
        task = TrainingTask(rounds, val, info, params.seed, checkpoint, progress.epoch)
        refiners, history = train_refiners(unet, params.gan, params.degradation, task)
        write_csv(HISTORY, history)
        seen = TestSet.of(list(read_records(val, info)))
        arms = Arms(unet, refiners, params.gan.base_filters, {}).tuned(seen.frames, seen.truths, params.postprocess)
        print("choosing the arm that ships, on val", flush=True)
        remarks = remarks_on(history, params.gan.critic)
        refinement = choose(arms, seen, params.postprocess, params.degradation, params.seed, remarks)
        arms.save(folder / "arms")
        refinement.write(folder)
        arms.segmenter(refinement.arm).save(folder)
        kept = {f"{name}_kept_epoch": kept_epoch(history, name) for name in refiners}
        parameters = sum(int(variable.shape.num_elements()) for variable in learnt(refiners["control"]))
        progress.facts(kept | {"used": refinement.used, "parameters": parameters})
    checkpoint.remove()
    print(refinement, *remarks, sep="\n")


if __name__ == "__main__":
    with stage_process():
        train_gan()
