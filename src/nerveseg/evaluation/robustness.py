"""The models side by side on clean and on degraded frames, and how far each lies from the tuned U-Net, case by case.

The column `model` has `unet_untuned`, `unet`, the arms and the ensemble (`model_names`). `dice` and `iou` are means over all
frames; `dice_nerve`, `iou_nerve` and `nsd` (at 2 pixels) over those that show a nerve. `hd95` and `assd` (pixels of the annotated
frame) are over those of them in which this model draws something, `frames_outlined` of them, which are others for each model;
`hd95_common` and `assd_common`, by which models are compared, over the `frames_outlined_by_all`.
Rows of severity 0 are the clean frames, called `clean`; those called `all` hold the frames of every degradation of one severity together.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.augmentation.degradations import DEGRADATIONS, degrade_each
from nerveseg.evaluation.test_set import TestSet
from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures.cases import case_measures, outlined, over_common_frames, summary
from nerveseg.measures.intervals import subject_interval
from nerveseg.measures.overlap import none_for_nan
from nerveseg.params.networks import DegradationParams
from nerveseg.params.scores import EvaluateParams

BASE, UNTUNED = "unet", "unet_untuned"
CLEAN, POOLED = "clean", "all"
REPORTED = 3  # the severity that metrics.json and the verdict are about
OVERLAP = ("dice", "iou", "dice_nerve", "iou_nerve", "presence_sensitivity", "presence_specificity")
OUTLINE = ("hd95_common", "assd_common", "nsd")
COMPARED = ("dice", "dice_nerve", "iou_nerve", *OUTLINE)
SCORES = (*OVERLAP, "hd95", "assd", *OUTLINE)
STAGE_SEED = 0xE7A
Look = Callable[[NDArray[np.uint8]], Mapping[str, Iterable[Estimate]]]  # frames (N, H, W) -> estimates by model


def ablation_table(
    test: TestSet,
    look: Look,
    cutoffs: Mapping[str, Cutoffs],
    params: EvaluateParams,
    strengths: DegradationParams,
    seed: int,
) -> pd.DataFrame:
    """A row for each degradation, severity and model: its scores, and of each of `COMPARED` the mean difference from the
    tuned U-Net on the same frames (`..._gain`) with its 95 % interval, a bootstrap over subjects (`..._low`, `..._high`, and
    `..._no_interval`, the reason where there is none).

    Args:
        test: what is scored.
        look: what the models say; it may be asked often.
        cutoffs: of each model that `look` names; `unet` is among them.
        params: severities and resamples.
        strengths: of the severities.
        seed: of the degradations and of the bootstrap.
    """
    rows = list(_rows(CLEAN, 0, _cases(test, test.frames, look, cutoffs), params.bootstrap, seed))
    pooled: dict[int, list[dict[str, pd.DataFrame]]] = {severity: [] for severity in params.severities}
    for number, kind in enumerate(DEGRADATIONS):
        for severity in params.severities:
            rng = np.random.default_rng([seed, STAGE_SEED, number, severity])
            cases = _cases(test, degrade_each(test.frames, kind, severity, strengths, rng), look, cutoffs)
            rows += _rows(kind, severity, cases, params.bootstrap, seed)
            pooled[severity].append(cases)
    for severity, parts in pooled.items():
        together = {model: pd.concat([part[model] for part in parts], ignore_index=True) for model in parts[0]}
        rows += _rows(POOLED, severity, together, params.bootstrap, seed)
    return pd.DataFrame(rows)


def degraded_scores(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """`dice_nerve` and `hd95_common` of each model over all degradations at `REPORTED`, and the counts of frames."""
    rows = table[(table["degradation"] == POOLED) & (table["severity"] == REPORTED)].set_index("model")
    return {
        str(model): none_for_nan({key: float(row[key]) for key in ("dice_nerve", "hd95_common")})
        | {key: int(row[key]) for key in ("frames_outlined", "frames_outlined_by_all")}
        for model, row in rows.iterrows()
    }


def _cases(
    test: TestSet, frames: NDArray[np.uint8], look: Look, cutoffs: Mapping[str, Cutoffs]
) -> dict[str, pd.DataFrame]:
    """The measures of every frame by model."""
    rows: dict[str, list[dict[str, float | bool | int]]] = {model: [] for model in (UNTUNED, *cutoffs)}
    for model, estimates in look(frames).items():
        for estimate, truth in zip(estimates, test.truths, strict=True):
            if model == BASE:
                rows[UNTUNED].append(_measures(truth, Cutoffs().mask(estimate)))
            rows[model].append(_measures(truth, cutoffs[model].mask(estimate)))
    return {model: pd.DataFrame(of).assign(subject=list(test.subjects)) for model, of in rows.items()}


def _measures(truth: Mask, predicted: Mask) -> dict[str, float | bool | int]:
    """All of `case_measures`, and Dice and IoU once more, which only a frame with a nerve has."""
    row = case_measures(truth, predicted)
    of_nerve = [row[measure] if row["has_nerve"] else float("nan") for measure in ("dice", "iou")]
    return row | dict(zip(("dice_nerve", "iou_nerve"), of_nerve, strict=True))


def _rows(
    degradation: str, severity: int, cases: Mapping[str, pd.DataFrame], resamples: int, seed: int
) -> Iterator[dict[str, object]]:
    cases = over_common_frames(cases)
    for model, of in cases.items():
        scores = summary(of)
        row: dict[str, object] = {"degradation": degradation, "severity": severity, "model": model}
        row |= {score: np.nan if scores[score] is None else scores[score] for score in SCORES}
        row["frames_outlined"] = int(outlined(of).sum())
        row["frames_outlined_by_all"] = int(of["hd95_common"].count())
        for measure in COMPARED if model != BASE else ():
            gains = pd.DataFrame({"subject": of["subject"], measure: of[measure] - cases[BASE][measure]})
            row[f"{measure}_gain"] = gains[measure].mean()
            row |= subject_interval(gains, measure, resamples, seed).named(measure)
        yield row
