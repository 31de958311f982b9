"""Which arm ships, by its scores on val: a refined one where it gains over the U-Net (`gains`), else the U-Net."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nerveseg.arms import Arms
from nerveseg.data.degradation import degrade_at_random
from nerveseg.data.letterbox import Mask
from nerveseg.evaluation.metrics import count
from nerveseg.params import PostprocessParams
from nerveseg.refinement import Refinement
from nerveseg.training.gains import best_of
from nerveseg.training.refiner_inputs import VAL_SEVERITY

STAGE_SEED = 0x6A5
DRAWS = 2  # degraded variants of each val frame


def choose(
    arms: Arms,
    frames: NDArray[np.uint8],
    truths: Sequence[Mask],
    params: PostprocessParams,
    seed: int,
    remarks: Sequence[str],
) -> Refinement:
    """Score the arms, with their cut-offs, on val frames as they are and degraded at random at severity 3.

    Args:
        arms: as they would ship.
        frames: of val at the network's size, (N, height, width).
        truths: their annotated masks at their own size.
        params: say which frames count in the score.
        seed: of the degradations.
        remarks: on the training.
    """
    rng = np.random.default_rng([seed, STAGE_SEED])
    poor = np.concatenate([degrade_at_random(frames, (VAL_SEVERITY,), rng) for _ in range(DRAWS)])
    clean = _mean_dice(arms, frames, truths, params)
    degraded = _mean_dice(arms, poor, [*truths] * DRAWS, params)
    best = best_of(list(clean.values()), list(degraded.values()))
    return Refinement(list(clean)[best], clean, degraded, tuple(remarks))


def _mean_dice(
    arms: Arms, frames: NDArray[np.uint8], truths: Sequence[Mask], params: PostprocessParams
) -> dict[str, float]:
    estimates = arms.estimates(frames, [truth.shape for truth in truths])
    return {
        name: float(
            np.mean(
                [
                    count(truth, cutoffs.mask(estimate)).dice
                    for estimate, truth in zip(estimates[name], truths, strict=True)
                    if params.score == "challenge" or truth.any()
                ]
            )
        )
        for name, cutoffs in arms.cutoffs.items()
    }
