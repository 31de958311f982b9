"""Where the scores come from: frames, code, and the cut-offs of the masks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nerveseg.dataset.info import DatasetInfo
from nerveseg.errors import RepositoryError
from nerveseg.evaluation.model_names import BASE, LABELS, SHIPPED, what_ships
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
            "highest expected Dice, per frame" if cutoffs.threshold == "expected" else f"{cutoffs.threshold:g}",
            f"{100 * cutoffs.min_area:g} % of the frame" if cutoffs.min_area else "any",
            f"{cutoffs.presence:g}" if cutoffs.presence else "not used",
            at_the_edge(cutoffs, params),
        )


def cutoff_rows(
    cutoffs: Mapping[str, Cutoffs], models: Iterable[str], params: PostprocessParams
) -> dict[str, CutoffRow]:
    """Return the cut-offs of those models that have some, by label."""
    return {LABELS[name]: CutoffRow.of(cutoffs[name], params) for name in models if name in cutoffs}


def remarks_on(info: DatasetInfo) -> list[str]:
    """Return sentences about the frames that a reader of the scores should know."""
    frames, total = f"The frames come from {info.source}.", sum(info.frames.values())
    if info.simulated:
        which = "The frames" if info.simulated_only else f"{info.simulated:,} of the {total:,} frames"
        frames = f"{which} are simulated: the scores show that the pipeline works, not how well it outlines nerves of people."
    return [frames, *(f"Warning: {warning}." for warning in info.warnings)]


def summary_of(info: DatasetInfo, metrics: Mapping[str, Any], cutoffs: Mapping[str, CutoffRow]) -> dict[str, str]:
    """Return what the first screen says in one line each; `cutoffs` are of `cutoff_rows`."""
    of_shipped = cutoffs[LABELS[SHIPPED]]
    return {
        "Data": f"{info.source}{', simulated' if info.simulated else ''}; digest {info.digest[:12]}",
        "Code": _code(),
        "Shipped": what_ships(metrics),
        "Its cut-offs": f"pixel: {of_shipped.threshold}; region: {of_shipped.min_area}; presence: {of_shipped.presence}",
        **_on_degraded(metrics),
    }


def _on_degraded(metrics: Mapping[str, Any]) -> dict[str, str]:
    degraded, arm = metrics["degraded"], metrics["shipped"]["arm"]
    if arm in (None, BASE):
        return {}
    return {
        "Degraded frames": f"Dice {degraded[BASE]:.3f} without a refiner, {degraded[arm]:.3f} with the one that ships"
    }


def facts_of(info: DatasetInfo) -> dict[str, Any]:
    """Return the description of the data set."""
    spec, grey = info.input, info.grey_range
    known = {"16-bit integers": grey.integer, "floating point": grey.floating}
    return {
        "source": info.source,
        "frames": info.frames,
        "simulated": f"{info.simulated:,} of {sum(info.frames.values()):,}",
        "input of the networks": f"{spec.width} × {spec.height} pixels",
        "grey levels of train": f"{spec.mean:.1f} ± {spec.std:.1f} (mean, standard deviation; 0 to 255)",
        "black and white": {kind: levels for kind, levels in known.items() if levels} or "as the files say",
        "digest": info.digest,
    }


def _code() -> str:
    """Name the last commit that touched code or params, so that a commit of the results themselves changes no report."""
    try:
        commit = git("log", "-1", "--format=%h", "--", *CODE, PARAMS)
        changed = bool(git("status", "--porcelain", "--untracked-files=all", "--", *CODE)) or _params_changed()
    except RepositoryError as error:
        return f"unknown, because {error}"
    return f"commit {commit}" + (", with uncommitted changes" if changed else "")


def _params_changed() -> bool:
    """Return whether a parameter that a stage may read differs from the commit's."""
    state = git("status", "--porcelain", "--", PARAMS)
    if state.split()[:1] != ["M"]:  # as committed, or not in the commit
        return bool(state)
    return _read_by_stages(git("show", "HEAD:params.yaml")) != _read_by_stages(Path("params.yaml").read_text("utf-8"))


def _read_by_stages(text: str) -> dict[str, Any]:
    return {key: value for key, value in yaml.safe_load(text).items() if key not in OBSERVERS}
