"""The frames that models are scored on, and the contents of `cases.csv`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.dataset.records import Record
from nerveseg.evaluation.baselines import EMPTY, baseline_masks
from nerveseg.imaging.arrays import Mask, Size, Spacing
from nerveseg.inference.postprocessing import Cutoffs, Estimate, confidence
from nerveseg.measures.cases import case_measures, on_common_frames


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

    def _who(self, model: str) -> pd.DataFrame:
        return pd.DataFrame({"frame": self.names, "subject": self.subjects, "model": model})
