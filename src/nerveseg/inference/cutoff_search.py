"""The search for the cut-offs (`postprocessing`) that score best on val."""

from collections.abc import Iterable, Iterator

import numpy as np

from nerveseg.imaging.arrays import Mask
from nerveseg.inference.postprocessing import Cutoffs, Estimate, Probability, above, remove_small_regions
from nerveseg.measures.overlap import count
from nerveseg.params.networks import PostprocessParams


def search_cutoffs(
    estimates: Iterable[Estimate], truths: Iterable[Mask], params: PostprocessParams
) -> tuple[Cutoffs, float]:
    """Return the cut-offs with the highest mean Dice, and that Dice.

    Estimates and masks have the frames' own size. All frames count (`challenge`), or those with nerve (`dice_nerve`). If several
    cut-offs are equally good, the first threshold is taken, with the smallest area and the presence in the middle of its equal
    ones: at their edge, one unseen frame that is a little different would be lost. If no frame without a nerve counts,
    nothing speaks for withholding a mask, so that the first are taken.
    """
    dices, empty = [], False
    for estimate, truth in zip(estimates, truths, strict=True):
        if params.score == "challenge" or truth.any():
            empty |= not truth.any()
            given = [count(truth, mask).dice for mask in _masks(estimate.probability, params)]
            withheld = 0.0 if truth.any() else 1.0
            shown = estimate.presence >= np.array(params.presences)
            dices.append(np.where(shown, np.array(given)[:, np.newaxis], withheld))
    means = np.mean(dices, axis=0).reshape(len(params.thresholds), len(params.min_areas), len(params.presences))
    equal = np.argwhere(means == means.max())
    of_first = equal[equal[:, 0] == equal[0, 0]]
    apart = np.linalg.norm(of_first - of_first.mean(axis=0), axis=1)
    threshold, min_area, presence = of_first[np.argmin(apart)] if empty else of_first[0]
    cutoffs = Cutoffs(params.thresholds[threshold], params.min_areas[min_area], params.presences[presence])
    return cutoffs, float(means.max())


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
