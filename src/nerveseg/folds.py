"""What the DVC experiments of a commit say together: means and spread over folds and seeds, and an ensemble of them.

Runs belong together where their params differ in nothing but `split.fold` and `seed`. Scores are those of the test frames
of each run, read from its `metrics/metrics.json`, so that nothing is rounded on the way.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from nerveseg.errors import DatasetError, ModelError
from nerveseg.outputs import fresh_folder

PARAMS, METRICS, MODEL = "params.yaml", "metrics/metrics.json", "models/gan"
TURNED = ("split.fold", "seed")  # what may differ within a group
MODELS = ("unet", "gan")
SCORES = ("dice", "dice_nerve", "iou", "iou_nerve", "sensitivity", "specificity")


@dataclass(frozen=True)
class Run:
    """One experiment: its name, its commit, its params by dotted name, and its metrics."""

    name: str
    commit: str
    params: Mapping[str, Any]
    metrics: Mapping[str, Any]


def experiment_runs(names: Sequence[str] = ()) -> list[Run]:
    """The finished experiments of the commit that is checked out, or those of these names, in the order of their folds.

    Raises:
        DatasetError: there is none, or one that is named does not exist or has no metrics.
    """
    from dvc.repo import Repo

    with Repo() as repo:
        listed = [experiment for of_commit in repo.experiments.ls().values() for experiment in of_commit]
    known = dict(listed)
    if unknown := [name for name in names if name not in known]:
        raise DatasetError(
            f"no experiment of this commit is called {', '.join(unknown)}; `dvc exp list` shows {', '.join(known) or 'none'}"
        )
    runs = [run for name in names or known if (run := _read(name, known[name])) is not None]
    if lost := set(names) - {run.name for run in runs}:
        raise DatasetError(f"experiment {', '.join(sorted(lost))} has no {METRICS}: run it to its end")
    if not runs:
        raise DatasetError(
            "this commit has no finished experiment; make some with `dvc exp run --queue -S split.folds=5 "
            "-S 'split.fold=0,1,2,3,4'` and `dvc queue start`"
        )
    return sorted(runs, key=lambda run: (run.params["split.fold"], run.params["seed"], run.name))


def groups_of(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that belong together, the largest group first; those of equal size in the order of their first runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        fixed = {key: value for key, value in run.params.items() if key not in TURNED}
        groups.setdefault(json.dumps(fixed, sort_keys=True), []).append(run)
    return sorted(groups.values(), key=len, reverse=True)


def report(groups: Sequence[Sequence[Run]]) -> str:
    """For each group its runs, and mean, standard deviation, least and most of each score."""
    return "\n\n".join(_of_group(number, group, groups) for number, group in enumerate(groups, 1))


def write_ensemble(groups: Sequence[Sequence[Run]], output: Path) -> list[str]:
    """Make an ensemble of the refined U-Nets of a group in the folder `output`, and say the names of its members.

    Raises:
        ModelError: there is more than one group, a group of one, or a model is neither in the cache nor in the remote.
    """
    from nerveseg.ensemble import Ensemble
    from nerveseg.segmenter import Segmenter

    if len(groups) > 1:
        shown = "; ".join(" ".join(run.name for run in group) for group in groups)
        raise ModelError(f"the experiments differ in more than fold and seed: name those of one ensemble ({shown})")
    (group,) = groups
    if len(group) < 2:
        raise ModelError(f"{group[0].name} is alone; an ensemble needs at least two experiments")
    with TemporaryDirectory() as fetched:
        members = {}
        for run in group:
            folder = Path(fetched) / run.name
            _fetch(run, folder)
            members[run.name] = Segmenter.load(folder)
        ensemble = Ensemble(members)
        output.parent.mkdir(parents=True, exist_ok=True)
        with fresh_folder(output) as folder:
            ensemble.save(folder)
    return list(members)


def _read(name: str, commit: str) -> Run | None:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=commit)
    try:
        params = dict(_flat(yaml.safe_load(files.read_text(PARAMS))))
        metrics = json.loads(files.read_text(METRICS))
    except (OSError, ValueError):
        return None
    return Run(name, commit, params, metrics) if {*TURNED} <= params.keys() and {*MODELS} <= metrics.keys() else None


def _fetch(run: Run, folder: Path) -> None:
    from dvc.api import DVCFileSystem

    try:
        DVCFileSystem(rev=run.commit).get(MODEL, str(folder), recursive=True)
    except Exception as error:  # noqa: BLE001 - whatever a cache or a remote of any kind raises
        raise ModelError(
            f"{MODEL} of experiment {run.name} cannot be had ({error}); `dvc pull` it on the machine that has it, or "
            "run the experiment again"
        ) from None


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _of_group(number: int, group: Sequence[Run], groups: Sequence[Sequence[Run]]) -> str:
    params = [other[0].params for other in groups]
    varied = [key for key in group[0].params if key not in TURNED and len({str(one.get(key)) for one in params}) > 1]
    shown = ", ".join(f"{key} {group[0].params[key]}" for key in varied)
    lines = [f"group {number} of {len(groups)}" + (f": {shown}" if shown else "")] if len(groups) > 1 else []
    rows = [
        {"experiment": run.name, "fold": run.params["split.fold"], "seed": run.params["seed"]}
        | {"frames": run.metrics["counts"]["frames"]}
        | {f"{model}.dice_nerve": run.metrics[model]["dice_nerve"] for model in MODELS}
        for run in group
    ]
    lines += [pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format, na_rep="n/a"), ""]
    scores = pd.DataFrame(
        [{f"{model}.{score}": run.metrics[model][score] for model in MODELS for score in SCORES} for run in group]
    )
    table = scores.astype(float).agg(["count", "mean", "std", "min", "max"]).T
    table["count"] = table["count"].astype(int)
    table.columns = pd.Index(["runs", "mean", "sd", "least", "most"])
    lines.append(table.to_string(float_format="{:.4f}".format, na_rep="n/a"))
    folds = group[0].params.get("split.folds", 0)
    if missing := sorted(set(range(folds)) - {run.params["split.fold"] for run in group}):
        lines.append(f"folds without a finished run: {', '.join(map(str, missing))}")
    return "\n".join(lines)
