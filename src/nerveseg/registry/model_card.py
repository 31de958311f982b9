"""The model card that the registry shows (Mitchell et al. 2019, "Model Cards for Model Reporting")."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nerveseg.dataset.info import DatasetInfo
from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK
from nerveseg.evaluation.model_names import what_ships
from nerveseg.evaluation.score_table import Scores
from nerveseg.measures.intervals import caution
from nerveseg.measures.scores import ON_CARD, SCORES
from nerveseg.params.file import Params
from nerveseg.text.foreign_text import in_markdown
from nerveseg.text.wording import counted


def model_card(model: str, metrics: Mapping[str, Any], scores: Scores, info: DatasetInfo, params: Params) -> str:
    """Return the card in Markdown. `model` is a key of `metrics`, the content of metrics.json; `params` are its training's."""
    counts = metrics["counts"]
    what = "the user's own frames"
    if info.simulated:
        own = f"{what}, and {info.simulated:,} " if info.simulated < sum(info.frames.values()) else ""
        what = f"{own}simulated B-mode frames, which are no substitute for real ones"
    frames = ", ".join(f"{count} {split}" for split, count in info.frames.items())
    rows, interval = [], scores.interval(model, "dice_nerve")
    for score in (SCORES[key] for key in ON_CARD):
        found = scores.interval(model, score.key)
        bounds = found.told(f".{score.digits}f") if found else ""
        own, *others = (_told(scores.value(name, score.key), score.digits) for name in (model, MEAN_MASK, EMPTY))
        rows.append(f"| {score.name} | {own} | {bounds} | {' | '.join(others)} |")
    start = ", from weights of ImageNet" if params.unet.encoder_weights else ""
    kind = f"{what_ships(metrics)} (encoder: {params.unet.encoder}{start})"
    published = (
        " Training started from published weights of ImageNet, which have a licence of their own." if start else ""
    )
    warning = f"\n\n**Warning**: {metrics['export']['warning']}." if "warning" in metrics["export"] else ""
    degraded = ", ".join(f"{arm} {_told(dice)}" for arm, dice in metrics["degraded"].items())
    few = caution(counts["subjects"])
    dice_nerve, dice = (_told(scores.value(model, key)) for key in ("dice_nerve", "dice"))
    return f"""Dice of frames with a nerve {dice_nerve} {interval.beside() if interval else ""}, of all frames {dice}

{kind[0].upper()}{kind[1:]}: outlines nerves in ultrasound frames. nerveseg {version("nerveseg")}.{warning}

## Data

{in_markdown(Path(info.source).as_posix())}: {what}. Frames: {frames}; split by subject. SHA-256 over all frames: `{info.digest}`.

Tested on {counted(counts["frames"], "frame")} of {counted(counts["subjects"], "subject")} that training never saw, {counts["frames_with_nerve"]} with a nerve.

## Scores on test

| score | this model | 95 %, over subjects | average train mask | nothing at all |
|---|---|---|---|---|
{chr(10).join(rows)}

It outlines a nerve in {scores.value(model, "frames_outlined"):.0f} of the {counts["frames_with_nerve"]} frames with a nerve. Distances are means over the {scores.outlined_by_all} that all models of this run outline.{few and f" {few}"}

On degraded frames (severity 3), Dice of frames with a nerve: {degraded}.

`control` and `adversarial` are the U-Net with a refiner that was trained without and with a critic. `unet_untuned` uses a threshold of 0.5.

## Use

For research on the segmentation of nerves. It is **not a medical device**: do not use it on patients, nor to guide a needle.

## Limits

- It works on frames like those that it was trained on. Another probe, depth or part of the body needs its own data.
- Annotations of nerves are noisy, and so are scores against them.
- Its probabilities are not calibrated.
- The confidence in a frame is the Dice that its own probabilities predict. It can be high where the outline is on the wrong structure.

## Licence

Code, and weights made of simulated frames: Apache-2.0. The licence of weights made from other data depends on that data.{published}
"""


def _told(value: float | None, digits: int = 3) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"
