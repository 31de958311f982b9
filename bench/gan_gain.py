"""Whether the refiner earns its place: the arms of the ablation over several seeds.

    python bench/gan_gain.py data/phantom --seeds 1 2 3                        # after `dvc repro phantom`
    python bench/gan_gain.py data/raw/bp256 --test 31 32 33 34 35 36 37
    python bench/gan_gain.py data/raw/bp256 --test ... --set gan.critic=features gan.adversarial_weight=0.1

For each seed subjects are split anew (but for test, where it is named), a U-Net is trained as the pipeline does it, the
refiners on it, and all arms are scored on the clean test frames and on each degradation at severity 3. Prints, over the
seeds, mean and standard deviation of the scores of each arm and of its gain over the U-Net with its cut-offs, and in how many
seeds the interval of the gain, over subjects, lies above 0; and which arm val chose. U-Nets and tables are kept in
`.nerveseg/gan-gain/`, so that other params of `gan` need no new U-Net, and the same command goes on where it stopped.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from nerveseg.arms import Arms
from nerveseg.data.preparation import prepare_dataset
from nerveseg.data.records import DatasetInfo, annotated_frames, read_records, shards
from nerveseg.data.rounds import write_rounds
from nerveseg.errors import told_plainly
from nerveseg.evaluation.ablation import BASE, REPORTED, ablation_table
from nerveseg.evaluation.scoring import HeldOut
from nerveseg.outputs import fresh_folder, write_csv, write_json
from nerveseg.params import Params, load_params
from nerveseg.segmenter import Segmenter
from nerveseg.training.checkpoints import Checkpoint, digest_of
from nerveseg.training.choice import choose
from nerveseg.training.diagnosis import remarks_on
from nerveseg.training.distribution import make_deterministic, use_threads
from nerveseg.training.refiners import train_refiners
from trainings import asked_changes, changed, train

FOLDER = Path(".nerveseg/gan-gain")
SHOWN = ("dice_nerve", "hd95")


def compare(folder: Path, source: Path, params: Params, seed: int) -> pd.DataFrame:
    """The ablation table of one seed, made or read, with the columns `seed`, `shipped` and `minutes` of the refiners."""
    fixed = params.model_dump(mode="json", exclude={"gan", "evaluate", "visualize", "tracking", "gate", "phantom"})
    of_unet = folder / digest_of(fixed, []) / str(seed)
    records, model = of_unet / "records", of_unet / "unet"
    table = of_unet / f"{digest_of(params.model_dump(mode='json'), [])}.csv"
    if not table.is_file():
        if not model.is_dir():
            _prepare(records, source, params, seed)
            segmenter, _ = train(records, params, seed)
            with fresh_folder(model) as fresh:
                segmenter.save(fresh)
        write_csv(table, _refined(records, Segmenter.load(model), params, seed))
        write_json(table.with_suffix(".json"), params.gan.model_dump())
    return pd.read_csv(table)


def _prepare(records: Path, source: Path, params: Params, seed: int) -> None:
    records.parent.mkdir(parents=True, exist_ok=True)
    data = params.data.model_copy(update={"dir": str(source)})
    with fresh_folder(records) as folder:
        prepare_dataset(folder, data, params.split, params.preprocess, seed, records.parent, workers=2)


def _refined(records: Path, unet: Segmenter, params: Params, seed: int) -> pd.DataFrame:
    make_deterministic(seed)
    info, val, gan = DatasetInfo.read(records), shards(records, "val"), params.gan
    with TemporaryDirectory(dir=records) as temporary:
        count = min(gan.epochs + 1, params.augment.variants + 1)
        train_records = list(read_records(shards(records, "train"), info))
        rounds = write_rounds(Path(temporary), train_records, params.augment, seed, count)
        began = time.monotonic()
        settings = {"gan": gan.model_dump(), "seed": seed}
        checkpoint = Checkpoint(f"gan-gain-{digest_of(settings, [*rounds, *val, records.parent / 'unet'])}")
        refiners, history = train_refiners(unet, gan, rounds, val, info, seed, checkpoint, lambda *_: None)
        checkpoint.remove()
    frames, truths = annotated_frames(val, info)
    arms = Arms(unet, refiners, gan.base_filters, {}).tuned(frames, truths, params.postprocess)
    minutes = (time.monotonic() - began) / 60
    refinement = choose(arms, frames, truths, params.postprocess, seed, remarks_on(history, gan.critic))
    print(f"seed {seed}, {minutes:.2f} minutes: {refinement}", *refinement.remarks, sep="\n", flush=True)
    test = HeldOut.of(list(read_records(shards(records, "test"), info)))
    at_three = params.evaluate.model_copy(update={"severities": (REPORTED,)})
    table = ablation_table(test, lambda poor: arms.estimates(poor, test.sizes), arms.cutoffs, at_three, params.seed)
    return table.assign(seed=seed, shipped=refinement.arm, minutes=minutes)


def summary(tables: pd.DataFrame) -> pd.DataFrame:
    """A row for each degradation and arm: means and standard deviations over seeds."""
    better = {"dice_nerve": tables["dice_nerve_low"] > 0, "hd95": tables["hd95_high"] < 0}
    sure = tables.assign(**{f"{score}_sure": values for score, values in better.items()})
    cells = ["seed", "degradation", "severity"]
    of_unet = tables[tables["model"] == BASE].set_index(cells)["hd95"]
    sure["hd95_share"] = 100.0 * sure["hd95_gain"] / of_unet.loc[pd.MultiIndex.from_frame(sure[cells])].to_numpy()
    by_arm = sure.groupby(["degradation", "severity", "model"], sort=False)
    columns = {}
    for score in SHOWN:
        columns[score], columns[f"{score} sd"] = by_arm[score].mean(), by_arm[score].std()
        columns[f"{score} gain"] = by_arm[f"{score}_gain"].mean()
        columns[f"{score} gain sd"] = by_arm[f"{score}_gain"].std()
        columns[f"{score} sure"] = by_arm[f"{score}_sure"].sum()
    columns["hd95 gain %"] = by_arm["hd95_share"].mean()
    return pd.DataFrame(columns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of frames and masks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--test", nargs="*", default=[], help="test subjects; none: drawn by the seed")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE", help="other params")
    asked = parser.parse_args()
    named = {"split.test_subjects": asked.test} if asked.test else {}
    params = changed(load_params(), {"data.dir": str(asked.source), **named, **asked_changes(asked.changes)})
    use_threads(params.unet.parts)
    tables = pd.concat([compare(FOLDER, asked.source, params, seed) for seed in asked.seeds])
    print(summary(tables).to_string(float_format="{:.3f}".format))
    print("shipped:", tables.groupby("seed")["shipped"].first().to_dict())


if __name__ == "__main__":
    with told_plainly():
        main()
