"""The page of a run in MLflow, from which the execution of the pipeline can be repeated.

The description opens with the scores. Tags `stage.NAME` say how each stage ended; the description says so in words, and how to
repeat the run. The artifacts in
`reproduce/` are what that takes beside the commit: `files/` has `params.yaml` and `dvc.lock` (without the last stage, which
DVC adds after it), and `uncommitted.patch` is there if the code was not that of the commit.
"""

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flatten_dict import flatten

from nerveseg.evaluation.model_names import LABELS, SHIPPED
from nerveseg.measures.scores import HEADLINE, SCORES
from nerveseg.processes.stage import stages_in_dvc_yaml
from nerveseg.repository import changes
from nerveseg.text.foreign_text import in_markdown, on_one_line

STAGE_TAG, RAN_TAG, CHANGED_TAG = "stage.", "ran", "changed_params"
CACHED, RAN, RUNNING, FAILED, KILLED = "cached", "ran", "running", "failed", "killed"
UNKNOWN = "not run"  # DVC found it unchanged, or was not told to run it
TOLD = (SHIPPED, "unet", "baseline_mean_mask", "baseline_empty")  # models whose scores open the description
GAP = "&emsp;"  # MLflow's page leaves none between columns
REPRODUCE = "reproduce"
PATCH = "uncommitted.patch"
_CODE = ("stages", "src", "dvc.yaml", "pyproject.toml", "requirements.txt", "requirements-gpu.txt")  # and never data


def stage_states(stage: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return states by stage of `dvc.yaml` as DVC starts one, whose deps come from the cache; empty if DVC does not."""
    stages = stages_in_dvc_yaml() if "DVC_STAGE" in os.environ else {}
    if stage not in stages:
        return {}
    values = flatten(params, reducer="dot")
    behind: set[str] = set()
    open_ends = [stage]
    while open_ends:
        wanted = {each for path in _paths(stages[open_ends.pop()], values, "deps") for each in (path, *path.parents)}
        for name, other in stages.items():
            if name not in {stage, *behind} and wanted.intersection(_paths(other, values, "outs", "plots", "metrics")):
                behind.add(name)
                open_ends.append(name)
    return {name: CACHED if name in behind else UNKNOWN for name in stages} | {stage: RUNNING}


def scores_told(metrics: Mapping[str, float], data: Sequence[str]) -> str:
    """Return Markdown of what the shipped model and the baselines score, and on which data; "" without scores."""
    models = [model for model in TOLD if f"{model}.{HEADLINE[0]}" in metrics]
    if SHIPPED not in models:
        return ""
    rows = [["", *(LABELS[model] for model in models)]]
    for key in reversed(HEADLINE):
        low, high = (metrics.get(f"{SHIPPED}.{key}_{bound}") for bound in ("low", "high"))
        within = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        values = [f"{metrics[name]:.3f}" if (name := f"{model}.{key}") in metrics else "n/a" for model in models]
        rows.append([SCORES[key].name, f"**{values[0]}**{within}", *values[1:]])
    counts = [
        f"{metrics[name]:,.0f} {noun}" for noun in ("frames", "subjects") if (name := f"counts.{noun}") in metrics
    ]
    of = " of ".join(counts)
    tested = f"Tested on {of} of {in_markdown(', '.join(data)) or 'the data set'}. In brackets: 95 % interval."
    head, *body = (f"| {f'{GAP} | '.join(row)} |" for row in rows)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body, "", tested, "", ""])


def what_ran(tags: Mapping[str, str], order: Sequence[str]) -> str:
    """Return the stages that ran, in this order, or `all stages`."""
    states = _states(tags, order)
    ran = [stage for stage, state in states.items() if state not in {CACHED, UNKNOWN}]
    return "all stages" if order and len(ran) == len(states) else ", ".join(ran)


def description(run_id: str, store: str, tags: Mapping[str, str], order: Sequence[str]) -> str:
    """Return Markdown for the page of a run in the store of this address, with the stages in this order."""
    lines = [f"- {in_markdown(stage)}: {in_markdown(state)}" for stage, state in _states(tags, order).items()]
    again = [f"git checkout {tags.get('git.commit', '(no commit)')}"]
    again += [f"export MLFLOW_TRACKING_URI={on_one_line(shlex.quote(store))}"]
    again += [f"mlflow artifacts download --run-id {run_id} --artifact-path {REPRODUCE} --dst-path ."]
    if f"nerveseg.{PATCH}" in tags:
        again += [f"git apply --whitespace=nowarn {REPRODUCE}/{PATCH}"]
    again += [f"cp -R {REPRODUCE}/files/. .", "dvc repro"]
    text = ["**Stages**", "", *lines, "", "**Run it again**", "", "```", *again, "```"]
    if name := tags.get("dvc.exp_name"):
        text += ["", f"Or, in the clone that ran the experiment: dvc exp apply {in_markdown(name)}, then `dvc repro`."]
    return "\n".join(text)


def _states(tags: Mapping[str, str], order: Sequence[str]) -> dict[str, str]:
    """Return states by stage, in this order."""
    states = {key.removeprefix(STAGE_TAG): state for key, state in tags.items() if key.startswith(STAGE_TAG)}
    return {stage: states[stage] for stage in dict.fromkeys([*order, *states]) if stage in states}


def overall(tags: Mapping[str, str]) -> str:
    """Return MLflow's status of an execution with these tags; `dvc repro --keep-going` continues after a failure."""
    states = {state for key, state in tags.items() if key.startswith(STAGE_TAG)}
    return "KILLED" if KILLED in states else "FAILED" if FAILED in states else "FINISHED"


def reproduction(folder: Path) -> bool:
    """Fill a folder with what repeats this run, and return whether there is a patch; RepositoryError without Git."""
    files = folder / "files"
    files.mkdir()
    for name in ("params.yaml", "dvc.lock"):
        if Path(name).is_file():
            shutil.copy(name, files)
    if patch := changes(_CODE, new_files=True):
        (folder / PATCH).write_bytes(patch)
    return bool(patch)


def _paths(stage: Mapping[str, Any], values: Mapping[str, Any], *kinds: str) -> list[Path]:
    """Return paths in an entry of `dvc.yaml`, with params such as `${data.dir}` replaced by their values."""
    entries = [entry for kind in kinds for entry in stage.get(kind, [])]
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    texts = [re.sub(r"\$\{(.+?)\}", lambda found: str(values.get(found[1], "")), name) for name in names]
    return [Path(text) for text in texts if text]
