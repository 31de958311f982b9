"""The ablation: all models on clean and on degraded test frames, and how far each is from the U-Net with its cut-offs.

Rows of severity 0 are the clean frames, called `clean`. Rows called `all` hold the frames of every degradation at one severity.
Columns are the scores `IN_ABLATION`, which `measures.scores` describes, and the gains of `WITH_GAIN`. Compare the distances of
models by the columns `..._common`, over the same `frames_outlined_by_all`; each model's others are over its own `frames_outlined`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from nerveseg.augmentation.degradations import DEGRADATIONS, degrade_each
from nerveseg.evaluation.model_names import BASE, UNTUNED
from nerveseg.evaluation.test_set import TestSet
from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.measures import cases as measures
from nerveseg.measures.intervals import subject_interval
from nerveseg.measures.scores import IN_ABLATION, WITH_GAIN
from nerveseg.params.networks import DegradationParams
from nerveseg.params.scores import EvaluateParams
from nerveseg.processes.parallel import in_order, one_ahead

CLEAN, POOLED = "clean", "all"
REPORTED = 3  # the severity that metrics.json and the report speak of
ALIKE = 0.01  # in Dice: what the same network may differ by in float32 and bfloat16, where a mask comes or goes
STAGE_SEED = 0xE7A
_Packed = tuple[NDArray[np.uint8], int]  # bits of each row, and how many
Frames = NDArray[np.uint8]  # (N, H, W)
Look = Callable[[Frames], Mapping[str, Iterable[Estimate]]]  # returns estimates by model
Show = Callable[[str, Frames, Mapping[str, Iterable[Mask]]], None]  # gets a degradation, its frames, and masks by model


def ablation_table(
    test: TestSet,
    look: Look,
    cutoffs: Mapping[str, Cutoffs],
    params: EvaluateParams,
    strengths: DegradationParams,
    seed: int,
    show: Show = lambda *_: None,
) -> pd.DataFrame:
    """Return a row for each degradation, severity and model.

    Each has the scores, and for each of `WITH_GAIN` the mean difference from `unet` on the same frames (`..._gain`)
    with its 95 % interval over subjects (`Interval.named`). `look` is called for each degradation and severity, and
    `unet` is among the models that it and `cutoffs` name. `seed` is that of the degradations and of the bootstrap.
    `show` is called for each degradation at `REPORTED`.
    """

    def looked_at(condition: tuple[str, int]) -> tuple[Frames, Mapping[str, Iterable[Estimate]]]:
        kind, severity = condition
        frames = test.frames
        if severity:
            rng = np.random.default_rng([seed, STAGE_SEED, DEGRADATIONS.index(kind), severity])
            frames = degrade_each(frames, kind, severity, strengths, rng)
        return frames, look(frames)

    rows: list[dict[str, object]] = []
    pooled: dict[int, list[dict[str, pd.DataFrame]]] = {severity: [] for severity in params.severities}
    conditions = [(CLEAN, 0), *product(DEGRADATIONS, params.severities)]
    looks = tqdm(one_ahead(looked_at, conditions), total=len(conditions), desc="test sets", unit="set")
    for (kind, severity), (frames, estimates) in zip(conditions, looks, strict=True):
        masks = _masks(estimates, cutoffs)
        if severity == REPORTED:
            show(kind, frames, {model: map(_unpacked, of) for model, of in masks.items()})
        cases = _cases(test, masks)
        rows += _rows(kind, severity, cases, params.bootstrap, seed)
        if severity:
            pooled[severity].append(cases)
    for severity, parts in pooled.items():
        together = {model: pd.concat([part[model] for part in parts], ignore_index=True) for model in parts[0]}
        rows += _rows(POOLED, severity, together, params.bootstrap, seed)
    return pd.DataFrame(rows)


def degraded_scores(table: pd.DataFrame) -> dict[str, float | None]:
    """Return `dice_nerve` of each model over all degradations at `REPORTED`."""
    rows = table[(table["degradation"] == POOLED) & (table["severity"] == REPORTED)].set_index("model")
    return measures.none_for_nan(rows["dice_nerve"].to_dict())


def doubt(table: pd.DataFrame, dice: float) -> str:
    """Return a warning if the ablation's clean U-Net does not have this Dice, so that they are of other frames or networks."""
    found = float(table.loc[(table["degradation"] == CLEAN) & (table["model"] == BASE), "dice"].iloc[0])
    told = f"metrics/robustness.csv is of other frames or another U-Net (Dice {found:.4f}, here {dice:.4f}); run `dvc repro`"
    return "" if abs(found - dice) <= ALIKE else told


def _masks(looks: Mapping[str, Iterable[Estimate]], cutoffs: Mapping[str, Cutoffs]) -> dict[str, list[_Packed]]:
    masks: dict[str, list[_Packed]] = {model: [] for model in (UNTUNED, *cutoffs)}
    for model, estimates in looks.items():
        for estimate in estimates:
            if model == BASE:
                masks[UNTUNED].append(_packed(Cutoffs().mask(estimate)))
            masks[model].append(_packed(cutoffs[model].mask(estimate)))
    return masks


def _cases(test: TestSet, masks: Mapping[str, list[_Packed]]) -> dict[str, pd.DataFrame]:
    truths = [_packed(truth) for truth in test.truths]
    pairs = [pair for predicted in masks.values() for pair in zip(truths, predicted, strict=True)]
    rows = in_order(_measured, pairs)
    return {model: pd.DataFrame(islice(rows, len(truths))).assign(subject=list(test.subjects)) for model in masks}


def _packed(mask: Mask) -> _Packed:
    """The mask in bits: those of all models wait to be measured, and travel to other processes."""
    return np.packbits(mask, axis=1), mask.shape[1]


def _unpacked(mask: _Packed) -> Mask:
    bits, width = mask
    return np.unpackbits(bits, axis=1, count=width).view(np.bool_)


def _measured(pair: tuple[_Packed, _Packed]) -> list[measures.Row]:
    truth, predicted = map(_unpacked, pair)
    return [measures.case_measures(truth, predicted)]


def _rows(
    degradation: str, severity: int, cases: Mapping[str, pd.DataFrame], resamples: int, seed: int
) -> Iterator[dict[str, object]]:
    cases = measures.on_common_frames(cases)
    each = {model: measures.contributions(of) for model, of in cases.items()}
    for model, of in cases.items():
        row: dict[str, object] = {"degradation": degradation, "severity": severity, "model": model}
        means = each[model].mean()
        row |= {score: means[score] for score in IN_ABLATION}
        row["frames_outlined"], row["frames_outlined_by_all"] = measures.outlined(of), measures.outlined_by_all(of)
        for score in WITH_GAIN if model != BASE else ():
            gains = (each[model][score] - each[BASE][score]).to_frame(score).assign(subject=of["subject"])
            row[f"{score}_gain"] = gains[score].mean()
            row |= subject_interval(gains, score, resamples, seed).named(score)
        yield row
