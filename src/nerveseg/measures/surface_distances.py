"""How far the outlines of a predicted mask and of the annotated one lie apart.

`truth` and `predicted` are bool arrays of shape (H, W). The outline of a mask are those of its pixels that touch, with a
side, a pixel that is not in it; beyond the frame none is. Distances are Euclidean, between the centres of outline pixels,
in pixels of these arrays or in the unit of `spacing`, the height and width of a pixel. Definitions follow Maier-Hein et al.
2024, "Metrics reloaded".

Where both masks are empty, or one of them, distances are NaN: there is nothing to measure to. The share of the outlines
within a tolerance is 1 where both are empty and 0 where one is.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from nerveseg.imaging.arrays import Mask, Spacing

TOLERANCE = 2.0  # pixels, of the normalised surface distance
IN_PIXELS: Spacing = (1.0, 1.0)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class SurfaceDistances(NamedTuple):
    """`hd`: the greatest distance from one outline to the other one (Hausdorff). `hd95`: the greater of the two 95th
    percentiles of the distances from each outline to the other one. `assd`: the mean of all these distances, both ways.
    `nsd`: the share of both outlines that lies within the tolerance of the other one, 0..1 (Nikolov et al. 2021, "surface
    Dice").
    """

    hd: float
    hd95: float
    assd: float
    nsd: float


def surface_distances(
    truth: Mask, predicted: Mask, tolerance: float = TOLERANCE, spacing: Spacing = IN_PIXELS
) -> SurfaceDistances:
    """Compare the outlines of one case; tolerance and distances are in the unit of the spacing.

    Raises:
        ValueError: the masks differ in shape.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth is {truth.shape} and the prediction {predicted.shape}; both must have one shape")
    annotated, claimed = outline(truth) * np.array(spacing), outline(predicted) * np.array(spacing)
    if not len(annotated) or not len(claimed):
        return SurfaceDistances(np.nan, np.nan, np.nan, float(len(annotated) == len(claimed)))
    there, back = cKDTree(claimed).query(annotated)[0], cKDTree(annotated).query(claimed)[0]
    both = np.concatenate([there, back])
    hd95 = max(np.percentile(there, 95.0), np.percentile(back, 95.0))
    return SurfaceDistances(float(both.max()), float(hd95), float(both.mean()), float((both <= tolerance).mean()))


def outline(mask: Mask) -> NDArray[np.int64]:
    """Row and column of each outline pixel, (count, 2)."""
    if not mask.any():
        return np.empty((0, 2), np.int64)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    inner = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    inside = cv2.erode(inner, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.argwhere(inner != inside) + np.array([top, left])
