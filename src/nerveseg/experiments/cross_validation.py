"""The DVC experiments of a commit as a group: mean and spread of their scores over folds and seeds, and their ensemble.

Runs form a group if their params differ only in `split.fold` and `seed`. Scores are those of each run's test frames, from its
`metrics/scores.csv`. An experiment that did not run the whole pipeline has metrics and a model of other params; it is
recognised by its `dvc.lock`, and left out.
"""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml
from flatten_dict import flatten

from nerveseg.errors import DatasetError, ModelError, RepositoryError
from nerveseg.evaluation.score_table import Scores
from nerveseg.experiments.dvc_experiments import experiments
from nerveseg.files.atomic import fresh_folder, read_csv
from nerveseg.processes.stage import output_around
from nerveseg.repository import committed

PARAMS, LOCK, METRICS, MODEL = "params.yaml", "dvc.lock", "metrics/scores.csv", "models/gan"
TURNED = ("split.fold", "seed")  # may differ within a group
TEST = "split.test_subjects"
MODELS = ("unet", "gan")
SCORES = ("dice", "dice_nerve", "iou", "iou_nerve", "presence_sensitivity", "presence_specificity")


@dataclass(frozen=True)
class Run:
    name: str
    commit: str
    params: Mapping[str, Any]  # by dotted name
    turn: tuple[int, int]  # fold and seed
    frames: int  # of test
    scores: Mapping[str, float | None]  # by names such as `gan.dice_nerve`; None for an undefined one


def experiment_runs(names: Sequence[str] = ()) -> tuple[list[Run], dict[str, str]]:
    """Return this commit's or the named experiments, by fold, and why others are left out; DatasetError without one."""
    known = experiments()
    if unknown := [name for name in names if name not in known]:
        raise DatasetError(
            f"no experiment of this commit is called {', '.join(unknown)}; `dvc exp list` shows {', '.join(known) or 'none'}"
        )
    read = {name: _read(name, known[name]) for name in names or known}
    runs = [found for found in read.values() if isinstance(found, Run)]
    left_out = {name: found for name, found in read.items() if isinstance(found, str)}
    if lost := [f"{name} {reason}" for name, reason in left_out.items() if names or not runs]:
        raise DatasetError(f"{'; '.join(lost)}; run the whole pipeline with `dvc exp run`")
    if not runs:
        raise DatasetError(
            "this commit has no finished experiment; make some with `dvc exp run --queue -S split.folds=5 "
            "-S 'split.fold=0,1,2,3,4'` and `dvc queue start`"
        )
    return sorted(runs, key=lambda run: (*run.turn, run.name)), left_out


def groups_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Return groups of runs, the largest first, then by first run; of equal folds and seeds the first run counts."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        fixed = {key: value for key, value in run.params.items() if key not in TURNED}
        group = groups.setdefault(json.dumps(fixed, sort_keys=True), [])
        if run.turn not in [other.turn for other in group]:
            group.append(run)
    return sorted(groups.values(), key=len, reverse=True)


def missing_folds(group: Sequence[Run]) -> list[int]:
    """Return the folds of a cross-validation that a group has no run of."""
    return sorted(set(range(group[0].params.get("split.folds", 0))) - {run.turn[0] for run in group})


def report(groups: Sequence[Sequence[Run]]) -> str:
    """Return a text with the runs of each group, and mean, standard deviation, minimum and maximum of each score."""
    return "\n\n".join(_of_group(number, group, groups) for number, group in enumerate(groups, 1))


def write_ensemble(groups: Sequence[Sequence[Run]], output: Path) -> list[Run]:
    """Write an ensemble of a group's refined U-Nets into the folder `output`, or over an earlier one; return its runs.

    Raise ModelError if there is more than one group, the group has one run, a model is neither in the cache nor in the
    remote, or the folder cannot be written, holds something else, or would be deleted by the pipeline.
    """
    from nerveseg.inference.model_folder import ENSEMBLE_NAME
    from nerveseg.refinement.refined_segmenter import load_training
    from nerveseg.saved_models.ensemble import Ensemble

    if lost := output_around(output):
        raise ModelError(f"the pipeline replaces {lost} and all in it; name a new folder, such as models/ensemble")
    output = output.resolve()
    if output.exists() and not (output / ENSEMBLE_NAME).is_file():
        raise ModelError(f"{output} exists and holds no ensemble; name a new folder, for example models/ensemble")
    if foreign := _foreign(output):
        raise ModelError(
            f"{foreign[0]} is not part of the ensemble in {output}, and would be lost; move it away, or name a new folder"
        )
    if len(groups) > 1:
        shown = "; ".join(" ".join(run.name for run in group) for group in groups)
        raise ModelError(f"the experiments differ in more than fold and seed: name those of one ensemble ({shown})")
    (group,) = groups
    if len(group) < 2:
        raise ModelError(f"{group[0].name} is the only experiment; an ensemble needs at least two")
    with TemporaryDirectory() as fetched:
        members = {}
        for run in group:
            folder = Path(fetched) / run.name
            _fetch(run, folder)
            members[run.name] = load_training(folder)
        ensemble = Ensemble(members)
        try:
            with fresh_folder(output) as folder:
                ensemble.save(folder)
        except OSError as error:
            raise ModelError(f"{output} cannot be written ({error.strerror}); name another folder") from None
    return list(group)


def _foreign(folder: Path) -> list[Path]:
    """Return the files in an ensemble's folder that it does not list."""
    from nerveseg.files.checked_folder import LIST_NAME

    ours = set[Path]()
    for path in folder.rglob(LIST_NAME):
        with suppress(ValueError):
            ours |= {path, *(path.parent / name for name in json.loads(path.read_text(encoding="utf-8")))}
    return sorted(path for path in folder.rglob("*") if path.is_symlink() or (not path.is_dir() and path not in ours))


def _read(name: str, commit: str) -> Run | str:
    """Return the run of an experiment, or why it cannot be used."""
    try:
        params = flatten(yaml.safe_load(committed(commit, PARAMS)), reducer="dot")
        lock, table = yaml.safe_load(committed(commit, LOCK)), Scores(read_csv(io.StringIO(committed(commit, METRICS))))
        scores = {f"{model}.{score}": table.value(model, score) for model in MODELS for score in SCORES}
        fold, seed = (params[key] for key in TURNED)
        run = Run(name, commit, params, (fold, seed), table.frames, scores)
        whole = _is_whole(lock["stages"], params)
    except (RepositoryError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        lacks = f"no {error}" if isinstance(error, KeyError) else str(error)
        return f"has no usable {PARAMS}, {LOCK} and {METRICS} ({lacks})"
    return run if whole else f"did not run the whole pipeline: its {LOCK} and {PARAMS} differ"


def _is_whole(stages: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    """Return whether each stage ran with these params, on the outputs of the stages before it."""
    written = {out["path"]: out.get("md5") for stage in stages.values() for out in stage.get("outs", [])}
    used = [dep for stage in stages.values() for dep in stage.get("deps", []) if dep["path"] in written]
    sections = [flatten(stage.get("params", {}).get(PARAMS, {}), reducer="dot") for stage in stages.values()]
    return all(written[dep["path"]] == dep.get("md5") for dep in used) and all(
        key in params and params[key] == value for section in sections for key, value in section.items()
    )


def _fetch(run: Run, folder: Path) -> None:
    from dvc.api import DVCFileSystem

    try:
        DVCFileSystem(rev=run.commit).get(MODEL, str(folder), recursive=True)
    except Exception as error:  # noqa: BLE001 - whatever a cache or a remote of any kind raises
        raise ModelError(
            f"{MODEL} of experiment {run.name} is not available ({error}); `dvc exp push` it where it was run and "
            "`dvc exp pull` it here, or run it again"
        ) from None


def _of_group(number: int, group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    params = [other[0].params for other in groups]
    varied = [key for key in group[0].params if key not in TURNED and len({str(one.get(key)) for one in params}) > 1]
    shown = ", ".join(f"{key} {group[0].params[key]}" for key in varied)
    lines = [f"group {number} of {len(groups)}" + (f": {shown}" if shown else "")] if len(groups) > 1 else []
    rows = [
        {"experiment": run.name, "fold": run.turn[0], "seed": run.turn[1], "frames": run.frames}
        | {key: run.scores[key] for key in ("unet.dice_nerve", "gan.dice_nerve")}
        for run in group
    ]
    lines += [pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format, na_rep="n/a"), ""]
    table = pd.DataFrame([run.scores for run in group]).astype(float).agg(["count", "mean", "std", "min", "max"]).T
    table["count"] = table["count"].astype(int)
    table.columns = pd.Index(["runs", "mean", "sd", "min", "max"])
    lines.append(table.to_string(float_format="{:.4f}".format, na_rep="n/a"))
    if missing := missing_folds(group):
        lines.append(f"folds without a finished run: {', '.join(map(str, missing))}")
    return "\n".join(lines)
