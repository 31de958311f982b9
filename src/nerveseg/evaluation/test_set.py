"""The frames that models are scored on, and the contents of `cases.csv` and `metrics.json`."""

from collections.abc import Iterable, Sequence
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
from nerveseg.measures.cases import case_measures, on_common_frames, outlined, outlined_by_all, presence_auc, summary
from nerveseg.measures.intervals import Interval
from nerveseg.measures.scores import HEADLINE


@dataclass(frozen=True)
class TestSet:
    """Annotated frames of test, or of val."""

    frames: NDArray[np.uint8]  # at the network's size, (N, H, W)
    truths: Sequence[Mask]  # the annotated masks, each at its own size
    names: Sequence[str]
    subjects: Sequence[str]
    spacings: Sequence[Spacing | None]  # height and width of a pixel of the mask in millimetres, None if unknown

    @classmethod
    def of(cls, records: Sequence[Record]) -> "TestSet":
        frames = np.stack([record.frame for record in records])
        names, subjects = [record.name for record in records], [record.subject for record in records]
        truths, spacings = [record.annotated for record in records], [record.spacing for record in records]
        return cls(frames, truths, names, subjects, spacings)

    @property
    def sizes(self) -> list[Size]:
        return [truth.shape for truth in self.truths]

    def cases(self, model: str, estimates: Iterable[Estimate], cutoffs: Cutoffs) -> pd.DataFrame:
        """Return a row for each frame: `frame`, `subject`, `model`, `case_measures`, `presence` and `confidence`."""
        rows = []
        for truth, estimate, spacing in zip(self.truths, estimates, self.spacings, strict=True):
            mask = cutoffs.mask(estimate)
            trusted = {"presence": estimate.presence, "confidence": confidence(estimate, mask)}
            rows.append(case_measures(truth, mask, spacing) | trusted)
        return self._who(model).join(pd.DataFrame(rows))

    def all_cases(self, cases: pd.DataFrame, average: NDArray[np.float32]) -> pd.DataFrame:
        """Add the baselines (`average` of `mean_mask`), and distances over the frames that all but `EMPTY` outline."""
        baselines = [
            self._who(name).join(pd.DataFrame(map(case_measures, self.truths, masks, self.spacings)))
            for name, masks in baseline_masks(average, self.truths).items()
        ]
        tables = pd.concat([cases, *baselines]).groupby("model", sort=False)
        return pd.concat(on_common_frames({str(model): rows for model, rows in tables}, silent={EMPTY}).values())

    def metrics(self, cases: pd.DataFrame, reliability: pd.DataFrame, bounds: pd.DataFrame) -> dict[str, Any]:
        """Return what `metrics.json` holds, from `all_cases`, `reliability_table` of models, and `interval_table`."""
        parts = {str(model): rows for model, rows in cases.groupby("model", sort=False)}
        models = [name for name in parts if name not in {EMPTY, MEAN_MASK}]
        scores: dict[str, dict[str, float | None]] = {
            name: summary(rows) | {"frames_outlined": outlined(rows)} for name, rows in parts.items()
        }
        for name in models:
            scores[name]["presence_auc"] = presence_auc(parts[name])
            scores[name] |= calibration_errors(reliability[reliability["model"] == name])
        found = {
            (row["model"], row["score"]): Interval(row["low"], row["high"], row["no_interval"])
            for row in bounds.to_dict("records")
        }
        return {
            **scores,
            "intervals": {
                name: {part: value for key in HEADLINE for part, value in found[name, key].as_json(key).items()}
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
