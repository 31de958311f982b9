"""Measures of how far the outlines of two masks lie apart.

The outline of a mask is its pixels that share a side with a pixel outside of it; beyond the frame all is outside. Distances are
Euclidean, between the centres of outline pixels. Definitions follow Maier-Hein et al. 2024, "Metrics reloaded".
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nerveseg.imaging.arrays import Mask, Spacing

IN_PIXELS: Spacing = (1.0, 1.0)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class Outlines:
    """The outlines of a case: `truth` and `predicted`, bool (H, W), both with a nerve."""

    truth: Mask
    predicted: Mask
    spacing: Spacing = IN_PIXELS  # height and width of a pixel, in the unit of distances and of `tolerance`
    tolerance: float = 2.0

    @property
    def hd(self) -> float:
        return float(self._both.max())

    @property
    def hd95(self) -> float:
        return float(max(np.percentile(way, 95.0) for way in self._ways))

    @property
    def assd(self) -> float:
        return float(self._both.mean())

    @property
    def nsd(self) -> float:
        """Normalised surface distance, 0..1 (Nikolov et al. 2021, "surface Dice")."""
        return float((self._both <= self.tolerance).mean())

    @property
    def centroid_distance(self) -> float:
        return float(np.hypot(*((_centroid(self.predicted) - _centroid(self.truth)) * np.array(self.spacing))))

    @property
    def area_error(self) -> float:
        annotated, claimed = np.count_nonzero(self.truth), np.count_nonzero(self.predicted)
        return abs(claimed - annotated) / annotated

    @cached_property
    def _ways(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The distances of each outline's pixels to the other outline."""
        annotated, claimed = (outline(mask) * np.array(self.spacing) for mask in (self.truth, self.predicted))
        return cKDTree(claimed).query(annotated)[0], cKDTree(annotated).query(claimed)[0]

    @cached_property
    def _both(self) -> NDArray[np.float64]:
        return np.concatenate(self._ways)


def outline(mask: Mask) -> NDArray[np.int64]:
    """Return row and column of each outline pixel, (count, 2)."""
    if not mask.any():
        return np.empty((0, 2), np.int64)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inner = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    inside = cv2.erode(inner, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.argwhere(inner != inside) + np.array([top, left])


def _centroid(mask: Mask) -> NDArray[np.float64]:
    rows, columns = np.nonzero(mask)
    return np.array([rows.mean(), columns.mean()])
