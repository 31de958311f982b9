"""The `nerveseg` command: what one does with a data set or a trained model outside of the pipeline."""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pandas as pd

from nerveseg.data.inventory import take_inventory
from nerveseg.data.summary import summary, text
from nerveseg.errors import DatasetError, ModelError, told_plainly
from nerveseg.params import load_params
from nerveseg.tracking_execution import repository_root


def check(directory: Path, *, as_json: bool, clear_names: bool) -> int:
    """Check every file of a folder as `preprocess` would, and print what is there; 1 where a file cannot be used, one
    frame stands under several subjects, or no frame is left, else 0.
    """
    params = load_params()
    target = (params.preprocess.height, params.preprocess.width)
    inventory = take_inventory(directory, params.data, repository_root(), target, clear_names=clear_names)
    print(json.dumps(summary(inventory), indent=2) if as_json else text(inventory))
    return 1 if inventory.bad or inventory.leaks or inventory.manifest.empty else 0


def predict(paths: Sequence[Path], output: Path, model: str, *, kaggle: bool) -> int:
    """Segment images and loops (`write_predictions`) with the model in a folder, of a config file in one, or of an MLflow
    URI; 1 where a file could not be read, else 0.
    """
    from nerveseg.ensemble import folder_of, load_predictor
    from nerveseg.prediction_files import write_predictions
    from nerveseg.tracking_models import downloaded, is_uri
    from nerveseg.training.checkpoints import digest_of

    with downloaded(model) if is_uri(model) else nullcontext(folder_of(Path(model))) as folder:
        predictor, identity = load_predictor(folder), digest_of({}, [folder])
    done, failed = write_predictions(paths, output, predictor, identity, kaggle=kaggle)
    print(f"{done} frames segmented into {output}" + (f", {failed} files skipped" if failed else ""))
    return 1 if failed else 0


def folds(names: Sequence[str], ensemble: Path | None) -> int:
    """Print what the DVC experiments of this commit, or those of these names, say together; or write their ensemble.

    Raises:
        ModelError: not all folds have run, and the experiments to use are not named.
    """
    from nerveseg.folds import TEST, experiment_runs, groups_of, missing_folds, report, write_ensemble

    runs, left_out = experiment_runs(names)
    groups = groups_of(runs)
    for name, reason in left_out.items():
        print(f"left out: {name} {reason}", file=sys.stderr)
    if ensemble is None:
        print(report(groups))
        return 0
    if not names and (missing := missing_folds(groups[0])):
        raise ModelError(
            f"folds {', '.join(map(str, missing))} have no finished run; wait until `dvc queue status` shows none that runs, "
            "or name the experiments to use"
        )
    members = write_ensemble(groups, ensemble)
    print(f"{len(members)} members in {ensemble}: {', '.join(run.name for run in members)}")
    if test := members[0].params.get(TEST):
        named = f"-S '{TEST}=[{','.join(map(str, test))}]' "
        print(f"next: dvc add {ensemble} && dvc exp run {named}-S evaluate.ensemble={ensemble}")
    else:
        print(
            "each member learnt from other members' test subjects: it can predict, but not be scored on this data set"
        )
    return 0


def gate(base: str, margin: float) -> int:
    """Compare `metrics/metrics.json` with that of a commit and print a table; 1 where the refined U-Net's `dice` or
    `dice_nerve` fell by more than `margin`, else 0.

    Raises:
        DatasetError: there are no metrics here or there, or they are of other test frames.
    """
    path = "metrics/metrics.json"
    shown = subprocess.run(["git", "show", f"{base}:./{path}"], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise DatasetError(f"{base} has no {path} ({shown.stderr.strip()}); name a commit that has one")
    if not Path(path).is_file():
        raise DatasetError(f"{path} was not found; run `dvc repro` first")
    before, after = json.loads(shown.stdout), json.loads(Path(path).read_text(encoding="utf-8"))
    if before["counts"] != after["counts"]:
        raise DatasetError(f"the test frames differ ({before['counts']}, now {after['counts']}): nothing to compare")
    table = pd.DataFrame({score: [before["gan"][score], after["gan"][score]] for score in ("dice", "dice_nerve")}).T
    table.columns = pd.Index([base, "now"])
    table["change"] = table["now"] - table[base]
    fallen = table.index[table["change"] < -margin].tolist()
    print(table.round(4).to_string())
    print(f"failed: {', '.join(fallen)} fell by more than {margin}" if fallen else f"passed: no fall above {margin}")
    return 1 if fallen else 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="nerveseg", description="Outline nerves in ultrasound frames.")
    commands = parser.add_subparsers(required=True, dest="command")
    checking = commands.add_parser("check", help="check a folder of frames and masks, and say what would be used")
    checking.add_argument("directory", type=Path)
    checking.add_argument("--json", action="store_true", help="print everything that was found as JSON")
    checking.add_argument(
        "--clear-names", action="store_true", help="call DICOM files by their paths, for your eyes only"
    )
    predicting = commands.add_parser("predict", help="segment images, DICOM loops, or folders of them")
    predicting.add_argument("paths", type=Path, nargs="+")
    predicting.add_argument(
        "--out", type=Path, required=True, help="folder for masks, overlays, films of loops, and predictions.csv"
    )
    predicting.add_argument(
        "--model",
        default="models/gan",
        help="folder of a model or the config file in it, or a registered model, as models:/nerveseg@champion or "
        "models:/nerveseg/3 (default: models/gan)",
    )
    predicting.add_argument("--kaggle", action="store_true", help="write submission.csv of the 2016 challenge as well")
    folding = commands.add_parser("folds", help="mean and spread over the folds and seeds of DVC experiments")
    folding.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="by default all of this commit")
    folding.add_argument("--ensemble", type=Path, metavar="DIR", help="write an ensemble of them instead of the table")
    gating = commands.add_parser("gate", help="fail where the scores fell against a commit")
    gating.add_argument("--base", required=True, help="commit, branch or tag to compare with")
    sweeping = commands.add_parser("sweep", help="search for better parameters; each trial is a DVC experiment")
    sweeping.add_argument("name", help="of the sweep; its trials are the experiments NAME-0, NAME-1, ...")
    sweeping.add_argument("--trials", type=int, required=True, metavar="N", help="that the sweep has in the end")
    sweeping.add_argument(
        "-S",
        dest="values",
        action="append",
        required=True,
        metavar="KEY=VALUES",
        help="a range (lr=1e-4..1e-2), a choice (unet.base_filters=8,16), or one value for all trials",
    )
    sweeping.add_argument(
        "--score",
        default="val_dice",
        help="what makes a trial good: the best Dice on val (default: val_dice), or a key of metrics/metrics.json",
    )
    given = parser.parse_args(arguments)
    with told_plainly():
        if given.command == "check":
            sys.exit(check(given.directory, as_json=given.json, clear_names=given.clear_names))
        if given.command == "folds":
            sys.exit(folds(given.experiments, given.ensemble))
        if given.command == "gate":
            sys.exit(gate(given.base, load_params().gate.margin))
        if given.command == "sweep":
            from nerveseg.sweep import sweep

            sys.exit(sweep(given.name, given.trials, given.values, given.score))
        sys.exit(predict(given.paths, given.out, given.model, kaggle=given.kaggle))


if __name__ == "__main__":
    main()
