"""Tables of the scores of one model over annotated frames, and what `metrics.json` says of all.

`estimates` are what a model says of each frame, at its own size, and are read once, so that they may be made on the way;
`truths` the annotated masks, bool of the same shapes; `cutoffs` belong to the model that made the estimates.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.data.letterbox import Size, Spacing
from nerveseg.data.records import Record
from nerveseg.evaluation.baselines import THRESHOLDS, empty_baseline, mean_mask_baseline
from nerveseg.evaluation.cases import measures_of, summary
from nerveseg.evaluation.intervals import intervals
from nerveseg.evaluation.metrics import case_row, summarise
from nerveseg.evaluation.postprocessing import Cutoffs, Estimate, Mask


@dataclass(frozen=True)
class HeldOut:
    """What models are scored on: frames at the network's size, uint8 (N, H, W), and of each its annotated mask at its own
    size, its name, its subject, and height and width of a pixel of the mask in millimetres, None where they are not known.
    """

    frames: NDArray[np.uint8]
    truths: Sequence[Mask]
    names: Sequence[str]
    subjects: Sequence[str]
    spacings: Sequence[Spacing | None]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "HeldOut":
        frames = np.stack([record.frame for record in records])
        names, subjects = [record.name for record in records], [record.subject for record in records]
        truths, spacings = [record.annotated for record in records], [record.spacing for record in records]
        return cls(frames, truths, names, subjects, spacings)

    @property
    def sizes(self) -> list[Size]:
        """(height, width) of the annotated masks."""
        return [truth.shape for truth in self.truths]

    def cases(self, model: str, estimates: Iterable[Estimate], cutoffs: Cutoffs) -> pd.DataFrame:
        """`measures_of` a model with the columns `frame`, `subject` and `model` before it."""
        who = pd.DataFrame({"frame": self.names, "subject": self.subjects, "model": model})
        return who.join(measures_of(self.truths, map(cutoffs.mask, estimates), self.spacings))

    def metrics(self, cases: pd.DataFrame, average: NDArray[np.float32], resamples: int, seed: int) -> dict[str, Any]:
        """The scores of each model of `cases`, with those of the baselines, 95 % intervals, and what was counted.

        Args:
            cases: rows of `cases`, of one model after the other.
            average: the mean train mask, from `mean_mask`.
            resamples: of the bootstrap.
            seed: likewise.
        """
        of_models = {str(model): rows for model, rows in cases.groupby("model", sort=False)}
        return {
            **{model: summary(rows) for model, rows in of_models.items()},
            "baseline_empty": empty_baseline(self.truths),
            "baseline_mean_mask": mean_mask_baseline(average, self.truths),
            "intervals": {model: intervals(rows, resamples, seed) for model, rows in of_models.items()},
            "counts": {
                "frames": len(self.truths),
                "frames_with_nerve": sum(bool(truth.any()) for truth in self.truths),
                "subjects": len(set(self.subjects)),
            },
        }


def case_table(estimates: Iterable[Estimate], truths: Iterable[Mask], cutoffs: Cutoffs) -> pd.DataFrame:
    """A row for each frame with all measures of `case_row`."""
    pairs = zip(estimates, truths, strict=True)
    return pd.DataFrame([case_row(truth, cutoffs.mask(estimate)) for estimate, truth in pairs])


def threshold_table(
    model: str, estimates: Iterable[Estimate], truths: Iterable[Mask], cutoffs: Cutoffs
) -> pd.DataFrame:
    """A row for each of 19 thresholds: the scores of `summarise`, the other cut-offs as in `cutoffs`."""
    cuts = [replace(cutoffs, threshold=float(threshold)) for threshold in THRESHOLDS]
    rows: list[list[dict[str, float | bool | int]]] = [[] for _ in cuts]
    for estimate, truth in zip(estimates, truths, strict=True):
        for cut, cases in zip(cuts, rows, strict=True):
            cases.append(case_row(truth, cut.mask(estimate)))
    scores = [summarise(pd.DataFrame(cases)) for cases in rows]
    table = [{"threshold": cut.threshold, **score} for cut, score in zip(cuts, scores, strict=True)]
    return pd.DataFrame([{"model": model, **row} for row in table])
