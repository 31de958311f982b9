"""The model card (Mitchell and others 2019, "Model Cards for Model Reporting"): what one reads in the registry before one uses
a model: what it is, what it was trained and tested on, how well it did and against what, and what it is not for.
"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo
from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK
from nerveseg.evaluation.model_names import what_ships
from nerveseg.measures.intervals import Interval, caution
from nerveseg.measures.scores import ON_CARD, SCORES
from nerveseg.params.file import Params
from nerveseg.text.foreign_text import in_markdown
from nerveseg.text.wording import counted


def model_card(model: str, metrics: Mapping[str, Any], info: DatasetInfo, params: Params) -> str:
    """Markdown.

    Args:
        model: its key in `metrics`.
        metrics: of `metrics/metrics.json`.
        info: of the data.
        params: with which it was trained.
    """
    counts, bounds = metrics["counts"], metrics["intervals"][model]
    what = "the user's own frames"
    if info.simulated:
        own = f"{what}, and {info.simulated:,} " if info.simulated < sum(info.frames.values()) else ""
        what = f"{own}simulated B-mode frames, which are no substitute for real ones"
    frames = ", ".join(f"{count} {split}" for split, count in info.frames.items())
    rows = []
    for score in (SCORES[key] for key in ON_CARD):
        interval = Interval.of(bounds, score.key).told() if f"{score.key}_low" in bounds else ""
        own, *others = (_told(metrics[name].get(score.key), score.digits) for name in (model, MEAN_MASK, EMPTY))
        rows.append(f"| {score.name} | {own} | {interval} | {' | '.join(others)} |")
    kind = f"{what_ships(metrics)} (encoder: {params.unet.encoder})"
    warning = f"\n\n**Warning**: {metrics['export']['warning']}." if "warning" in metrics["export"] else ""
    degraded, few = metrics["degraded"], caution(counts["subjects"])
    return f"""{_headline(metrics[model], bounds)}

{kind[0].upper()}{kind[1:]}: outlines nerves in ultrasound frames. nerveseg {version("nerveseg")}.{warning}

## Data

{in_markdown(Path(info.source).as_posix())}: {what}. Frames: {frames}; split by subject. SHA-256 over all frames: `{info.digest}`.

Tested on {counted(counts["frames"], "frame")} of {counted(counts["subjects"], "subject")} whom training never saw, {counts["frames_with_nerve"]} with a nerve.

## Scores on test

| score | this model | 95 %, over subjects | average train mask | nothing at all |
|---|---|---|---|---|
{chr(10).join(rows)}

It draws something in {metrics[model]["frames_outlined"]} of the {counts["frames_with_nerve"]} frames with a nerve. Distances are over the {counts["frames_outlined_by_all"]} of them that all models of this run outline.{few and f" {few}"}

On frames degraded on purpose (eight ways, severity 3), Dice of frames with a nerve: {_degraded(degraded)}.

`control` and `adversarial` are the U-Net under a refiner that was trained without and with a critic, `unet_untuned` has a threshold of 0.5.

## Use

For research on the segmentation of nerves. It is **not a medical device**: do not use it on patients, nor to guide a needle.

## Limits

- It knows frames like those that it was trained on: another probe, depth or part of the body needs its own data.
- Annotations of nerves are noisy, and so are scores against them.
- Its probabilities are not calibrated.
- The confidence in a frame is the Dice that its own probabilities let one expect.
- It is high, at times, where the outline is on the wrong structure.

## Licence

Code, and weights made of simulated frames: Apache-2.0. Weights made of other data stand under what that data allows.
"""


def _headline(scores: Mapping[str, Any], bounds: Mapping[str, Any]) -> str:
    """What the registry shows of a version in its table."""
    between = Interval.of(bounds, "dice_nerve").beside()
    return f"Dice of frames with a nerve {_told(scores['dice_nerve'])} {between}, of all frames {_told(scores['dice'])}"


def _told(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _degraded(degraded: Mapping[str, Mapping[str, float | None]]) -> str:
    return ", ".join(f"{arm} {_told(scores.get('dice_nerve'))}" for arm, scores in degraded.items())
