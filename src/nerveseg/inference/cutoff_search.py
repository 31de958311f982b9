"""The search for the cut-offs (`postprocessing`) that score best on val."""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np

from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Cutoffs, Estimate, Probability, above, remove_small_regions
from nerveseg.measures.overlap import count
from nerveseg.params.networks import PostprocessParams


def search_cutoffs(
    estimates: Iterable[Estimate], truths: Iterable[Mask], params: PostprocessParams
) -> tuple[Cutoffs, float]:
    """Return the cut-offs with the highest mean Dice, the first in the order of params if several are equal, and that Dice.

    Estimates and masks have the frames' own size. All frames count (`challenge`), or those with nerve (`dice_nerve`).
    """
    dices = []
    for estimate, truth in zip(estimates, truths, strict=True):
        if params.score == "challenge" or truth.any():
            given = [count(truth, mask).dice for mask in _masks(estimate.probability, params)]
            withheld = 0.0 if truth.any() else 1.0
            shown = estimate.presence >= np.array(params.presences)
            dices.append(np.where(shown, np.array(given)[:, np.newaxis], withheld))
    means = np.mean(dices, axis=0)
    best, presence = np.unravel_index(int(np.argmax(means)), means.shape)
    threshold, min_area = list(product(params.thresholds, params.min_areas))[best]
    return Cutoffs(threshold, min_area, params.presences[presence]), float(means[best, presence])


def _masks(probability: Probability, params: PostprocessParams) -> Iterator[Mask]:
    """Yield a mask for each threshold and smallest area, in the order of their product."""
    for threshold in params.thresholds:
        mask = above(probability, threshold)
        for min_area in params.min_areas:
            yield remove_small_regions(mask, min_area * probability.size)


def at_the_edge(cutoffs: Cutoffs, params: PostprocessParams) -> list[str]:
    """Return a sentence for each cut-off, other than 0, at an edge of its grid, if the grid has several values."""
    found = []
    for key in ("threshold", "min_area", "presence"):
        value, grid = getattr(cutoffs, key), {each for each in getattr(params, f"{key}s") if not isinstance(each, str)}
        for edge, named in ((min, "lowest"), (max, "highest")):
            if len(grid) > 1 and value != 0 and value == edge(grid):
                found.append(f"{value:g} is the {named} value of postprocess.{key}s; a better one may lie beyond it")
    return found
