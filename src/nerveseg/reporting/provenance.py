"""Where the scores come from: frames, code, and the cut-offs of the masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import RepositoryError
from nerveseg.evaluation.model_names import LABELS
from nerveseg.inference.cutoff_search import at_the_edge
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.file import OBSERVERS
from nerveseg.params.networks import PostprocessParams
from nerveseg.repository import git

CODE, PARAMS = (":/src", ":/stages", ":/dvc.yaml"), ":/params.yaml"  # what decides the numbers, beside the data


@dataclass(frozen=True)
class CutoffRow:
    """The cut-offs of one model in words, with remarks."""

    threshold: str
    min_area: str
    presence: str
    remarks: Sequence[str]

    @classmethod
    def of(cls, cutoffs: Cutoffs, params: PostprocessParams) -> "CutoffRow":
        return cls(
            "the threshold with the highest expected Dice, frame by frame"
            if cutoffs.threshold == "expected"
            else f"{cutoffs.threshold:g}",
            f"{100 * cutoffs.min_area:g} % of the frame" if cutoffs.min_area else "any",
            f"{cutoffs.presence:g}" if cutoffs.presence else "none",
            at_the_edge(cutoffs, params),
        )


def cutoff_rows(
    cutoffs: Mapping[str, Cutoffs], models: Iterable[str], params: PostprocessParams
) -> dict[str, CutoffRow]:
    """Return the cut-offs of those models that have some, by label."""
    return {LABELS[name]: CutoffRow.of(cutoffs[name], params) for name in models if name in cutoffs}


def origin_of(info: DatasetInfo) -> list[str]:
    """Return sentences about the frames and the code behind a report."""
    frames, total = f"The frames come from {info.source}.", sum(info.frames.values())
    if info.simulated:
        which = "The frames" if info.simulated == total else f"{info.simulated:,} of the {total:,} frames"
        frames = f"{which} are simulated: the scores show that the pipeline works, not how well it outlines nerves of people."
    return [frames, *(f"Warning: {warning}." for warning in info.warnings), _code()]


def _code() -> str:
    """Name the last commit that touched code or params, so that a commit of the results themselves changes no report."""
    try:
        commit = git("log", "-1", "--format=%h", "--", *CODE, PARAMS)
        changed = bool(git("status", "--porcelain", "--untracked-files=all", "--", *CODE)) or _params_changed()
    except RepositoryError as error:
        return f"This page cannot say which version of the code made it: {error}."
    return f"Code and parameters are those of commit {commit}" + (", with uncommitted changes." if changed else ".")


def _params_changed() -> bool:
    """Return whether a parameter that a stage may read differs from the commit's."""
    state = git("status", "--porcelain", "--", PARAMS)
    if state.split()[:1] != ["M"]:  # as committed, or not in the commit
        return bool(state)
    return _read_by_stages(git("show", "HEAD:params.yaml")) != _read_by_stages(Path("params.yaml").read_text("utf-8"))


def _read_by_stages(text: str) -> dict[str, Any]:
    return {key: value for key, value in yaml.safe_load(text).items() if key not in OBSERVERS}
