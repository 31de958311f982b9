"""What models are scored on, and what `metrics.json` and `cases.csv` say of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.data.letterbox import Mask, Size, Spacing
from nerveseg.data.records import Record
from nerveseg.evaluation.baselines import empty_baseline, mean_mask_baseline
from nerveseg.evaluation.calibration import calibration_errors
from nerveseg.evaluation.cases import case_measures, summary
from nerveseg.evaluation.intervals import intervals
from nerveseg.evaluation.metrics import presence_auc
from nerveseg.evaluation.postprocessing import Cutoffs, Estimate, confidence


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
        """A row for each frame: the columns `frame`, `subject` and `model`, those of `case_measures`, `presence`, the
        probability of there being a nerve, and the `confidence` in the mask.
        """
        who = pd.DataFrame({"frame": self.names, "subject": self.subjects, "model": model})
        rows = []
        for truth, estimate, spacing in zip(self.truths, estimates, self.spacings, strict=True):
            mask = cutoffs.mask(estimate)
            trusted = {"presence": estimate.presence, "confidence": confidence(estimate, mask)}
            rows.append(case_measures(truth, mask, spacing) | trusted)
        return who.join(pd.DataFrame(rows))

    def metrics(
        self, cases: pd.DataFrame, reliability: pd.DataFrame, average: NDArray[np.float32], resamples: int, seed: int
    ) -> dict[str, Any]:
        """The scores of each model of `cases`, with those of the baselines, 95 % intervals, and what was counted.

        Args:
            cases: rows of `cases`, of one model after the other.
            reliability: of `reliability_table`, likewise.
            average: the mean train mask, from `mean_mask`.
            resamples: of the bootstrap.
            seed: likewise.
        """
        of_models = {str(model): rows for model, rows in cases.groupby("model", sort=False)}
        return {
            **{
                model: summary(rows)
                | {"presence_auc": presence_auc(rows)}
                | calibration_errors(reliability[reliability["model"] == model])
                for model, rows in of_models.items()
            },
            "baseline_empty": empty_baseline(self.truths),
            "baseline_mean_mask": mean_mask_baseline(average, self.truths),
            "intervals": {model: intervals(rows, resamples, seed) for model, rows in of_models.items()},
            "counts": {
                "frames": len(self.truths),
                "frames_with_nerve": sum(bool(truth.any()) for truth in self.truths),
                "subjects": len(set(self.subjects)),
            },
        }
