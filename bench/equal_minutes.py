"""Measure what the pipeline's U-Net scores on people it never saw, and how many minutes that takes.

    python bench/equal_minutes.py data/raw/bp256 --seeds 1 2               # the comparison with peers
    python bench/equal_minutes.py data/raw/bp256 --set unet.epochs=16 --folds 5 --members 3

Trains the first folds of a cross-validation over subjects 1 to 30, one after the other, with the values of `params.yaml` and
`--set`. Each training has its own fold as val. Scores them on subjects 31 to 37: each alone, and the ensemble of all so far (as
`nerveseg folds --ensemble` makes one of DVC experiments). Minutes are wall-clock time from packed records to weights and
cut-offs: augmentation, training and search. Trainings are kept in `.nerveseg/equal-minutes/`, separately for each set of params,
so rerunning the command resumes.
"""

import argparse
import json
import time
from pathlib import Path

import pandas as pd

from nerveseg.errors import told_plainly
from nerveseg.files.atomic import fresh_folder, write_json
from nerveseg.files.fingerprint import EVERYTHING, digest_of
from nerveseg.inference.predictor import Predictor
from nerveseg.measures.cases import summary
from nerveseg.params.file import Params, load_params
from nerveseg.preprocessing.packing import prepare_dataset
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.training.distribution import use_threads
from nerveseg.unet.segmenter import Segmenter
from trainings import asked_changes, changed, score, train

FOLDER = Path(".nerveseg/equal-minutes")
TEST_SUBJECTS = tuple(str(subject) for subject in range(31, 38))
TIME = "time.json"


def compare(folder: Path, source: Path, params: Params, seed: int, folds: int, count: int) -> pd.DataFrame:
    """Return a row for each of the first `count` folds: minutes and score of the fold, and of the ensemble up to it."""
    members: dict[str, Segmenter] = {}
    rows, spent = [], 0.0
    for fold in range(count):
        prepared, trained = folder / f"records-{seed}-{fold}-of-{folds}", folder / f"unet-{seed}-{fold}-of-{folds}"
        if not prepared.is_dir():
            _prepare(prepared, source, params, seed, fold, folds)
        if not trained.is_dir():
            began = time.monotonic()
            segmenter, _ = train(prepared, params, 1000 * seed + fold)
            minutes = (time.monotonic() - began) / 60
            with fresh_folder(trained) as fresh:
                segmenter.save(fresh)
                write_json(fresh / TIME, {"minutes": minutes})
        members[f"fold-{fold}"] = Segmenter.load(trained)
        minutes = float(json.loads((trained / TIME).read_text())["minutes"])
        spent += minutes
        alone = _dice_nerve(members[f"fold-{fold}"], prepared)
        together = _dice_nerve(Ensemble(members), prepared)
        rows.append({"seed": seed, "fold": fold, "minutes": minutes, "dice_nerve": alone})
        rows[-1] |= {"all minutes": spent, "ensemble dice_nerve": together}
        print(json.dumps(rows[-1]), flush=True)
    return pd.DataFrame(rows)


def _dice_nerve(predictor: Predictor, prepared: Path) -> float | None:
    return summary(score(predictor, prepared))["dice_nerve"]


def _prepare(prepared: Path, source: Path, params: Params, seed: int, fold: int, folds: int) -> None:
    data = params.data.model_copy(update={"dir": str(source)})
    chosen = {"folds": folds, "fold": fold, "val_subjects": (), "test_subjects": TEST_SUBJECTS}
    prepared.parent.mkdir(parents=True, exist_ok=True)
    with fresh_folder(prepared) as folder:
        split = params.split.model_copy(update=chosen)
        prepare_dataset(folder, data, split, params.preprocess, seed, prepared.parent, workers=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", type=Path, help="folder in Kaggle's layout with the subjects 1 to 37")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--folds", type=int, default=10, help="number of folds; one is val in each training (default: 10)"
    )
    parser.add_argument("--members", type=int, default=5, help="trainings per seed (default: 5)")
    parser.add_argument("--set", dest="changes", nargs="*", default=[], metavar="NAME=VALUE", help="params to change")
    asked = parser.parse_args()
    params = changed(load_params(), {"postprocess.score": "dice_nerve", **asked_changes(asked.changes)})
    use_threads(params.unet.ghost_batches)
    folder = FOLDER / digest_of(params.model_dump(mode="json"), [], EVERYTHING)
    rows = pd.concat([compare(folder, asked.real, params, seed, asked.folds, asked.members) for seed in asked.seeds])
    print(rows.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    with told_plainly():
        main()
