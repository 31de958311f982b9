"""What models are scored on, and what `metrics.json` and `cases.csv` say of them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.records import Record
from nerveseg.evaluation.baselines import EMPTY, MEAN_MASK, baseline_masks
from nerveseg.evaluation.calibration import calibration_errors
from nerveseg.imaging.arrays import Mask, Size, Spacing
from nerveseg.inference.postprocessing import Cutoffs, Estimate, confidence
from nerveseg.measures.cases import (
    case_measures,
    none_for_nan,
    outlined,
    outlined_by_all,
    over_common_frames,
    presence_auc,
    summary,
)
from nerveseg.measures.intervals import Interval
from nerveseg.measures.scores import HEADLINE


@dataclass(frozen=True)
class TestSet:
    """What models are scored on: frames at the network's size, uint8 (N, H, W), and of each its annotated mask at its own
    size, its name, its subject, and height and width of a pixel of the mask in millimetres, None where they are not known.
    """

    frames: NDArray[np.uint8]
    truths: Sequence[Mask]
    names: Sequence[str]
    subjects: Sequence[str]
    spacings: Sequence[Spacing | None]

    @classmethod
    def of(cls, records: Sequence[Record]) -> "TestSet":
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
        rows = []
        for truth, estimate, spacing in zip(self.truths, estimates, self.spacings, strict=True):
            mask = cutoffs.mask(estimate)
            trusted = {"presence": estimate.presence, "confidence": confidence(estimate, mask)}
            rows.append(case_measures(truth, mask, spacing) | trusted)
        return self._who(model).join(pd.DataFrame(rows))

    def baseline_cases(self, average: NDArray[np.float32]) -> pd.DataFrame:
        """The same of the baselines (`baselines`), which say neither presence nor confidence; `average` is the mean train
        mask, from `mean_mask`.
        """
        tables = [
            self._who(name).join(pd.DataFrame(map(case_measures, self.truths, masks, self.spacings)))
            for name, masks in baseline_masks(average, self.truths).items()
        ]
        return pd.concat(tables)

    def all_cases(self, cases: pd.DataFrame, average: NDArray[np.float32]) -> pd.DataFrame:
        """The cases of models and those of the baselines beside them, with distances over common frames; the empty baseline,
        which outlines none, is left aside.
        """
        tables = pd.concat([cases, self.baseline_cases(average)]).groupby("model", sort=False)
        return pd.concat(over_common_frames({str(model): rows for model, rows in tables}, silent={EMPTY}).values())

    def metrics(self, cases: pd.DataFrame, reliability: pd.DataFrame, bounds: pd.DataFrame) -> dict[str, Any]:
        """The scores of each model and each baseline of `cases`, 95 % intervals of the models' Dice, and what was counted.

        Args:
            cases: of `all_cases`.
            reliability: of `reliability_table`, of the models.
            bounds: of `interval_table`.
        """
        parts = {str(model): rows for model, rows in cases.groupby("model", sort=False)}
        models = [name for name in parts if name not in {EMPTY, MEAN_MASK}]
        scores: dict[str, dict[str, float | None]] = {
            name: summary(rows) | {"frames_outlined": outlined(rows)} for name, rows in parts.items()
        }
        for name in models:
            scores[name]["presence_auc"] = presence_auc(parts[name])
            scores[name] |= calibration_errors(reliability[reliability["model"] == name])
        found = {(row["model"], row["score"]): row for row in bounds.to_dict("records")}
        return {
            **scores,
            "intervals": {
                name: {part: value for key in HEADLINE for part, value in _interval(found[name, key], key).items()}
                for name in models
            },
            "counts": {
                "frames": len(self.truths),
                "frames_with_nerve": sum(bool(truth.any()) for truth in self.truths),
                "subjects": len(set(self.subjects)),
                "frames_outlined_by_all": outlined_by_all(parts[models[0]]),
            },
        }

    def _who(self, model: str) -> pd.DataFrame:
        return pd.DataFrame({"frame": self.names, "subject": self.subjects, "model": model})


def _interval(row: Mapping[Hashable, Any], key: str) -> dict[str, float | str | None]:
    """For `metrics.json`: `KEY_low` and `KEY_high`, or None for both and the reason, `KEY_no_interval`."""
    low, high, missing = Interval(row["low"], row["high"], row["no_interval"])
    return none_for_nan({f"{key}_low": low, f"{key}_high": high}) | ({f"{key}_no_interval": missing} if missing else {})
