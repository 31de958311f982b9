"""Which arm ships, by its scores on val: a refined one where it gains over the U-Net (`gains`), else the U-Net.

What gains is the score that the user names, Dice of all frames or of those with a nerve; neither may be paid for with the
other, as by a refiner that empties the masks of doubtful frames.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.arms import Arms
from nerveseg.data.degradation import degrade_at_random
from nerveseg.data.letterbox import Mask
from nerveseg.evaluation.metrics import summarise
from nerveseg.evaluation.scoring import case_table
from nerveseg.params import DegradationParams, PostprocessParams
from nerveseg.refinement import UNET, Refinement
from nerveseg.training.gains import MOST_LOSS, best_of
from nerveseg.training.refiner_inputs import VAL_SEVERITY

STAGE_SEED = 0x6A5
DRAWS = 2  # degraded variants of each val frame


def choose(
    arms: Arms,
    frames: NDArray[np.uint8],
    truths: Sequence[Mask],
    params: PostprocessParams,
    strengths: DegradationParams,
    seed: int,
    remarks: Sequence[str],
) -> Refinement:
    """Score the arms, with their cut-offs, on val frames as they are and degraded at random at severity 3.

    Args:
        arms: as they would ship.
        frames: of val at the network's size, (N, height, width).
        truths: their annotated masks at their own size.
        params: name the score.
        strengths: of severity 3, among others.
        seed: of the degradations.
        remarks: on the training.
    """
    rng = np.random.default_rng([seed, STAGE_SEED])
    poor = np.concatenate([degrade_at_random(frames, (VAL_SEVERITY,), strengths, rng)[0] for _ in range(DRAWS)])
    clean = _scores(arms, frames, truths)
    degraded = _scores(arms, poor, [*truths] * DRAWS)
    named = {"challenge": "dice", "dice_nerve": "dice_nerve"}[params.score]
    paid = ((clean < clean.loc[UNET] - MOST_LOSS) | (degraded < degraded.loc[UNET])).any(axis=1)
    best = best_of(clean[named].tolist(), degraded[named].mask(paid).tolist())
    of_clean, of_degraded = (
        dict(zip(arms.cutoffs, scores[named].tolist(), strict=True)) for scores in (clean, degraded)
    )
    return Refinement(list(arms.cutoffs)[best], of_clean, of_degraded, tuple(remarks))


def _scores(arms: Arms, frames: NDArray[np.uint8], truths: Sequence[Mask]) -> pd.DataFrame:
    """`dice` and `dice_nerve` of each arm; where no frame shows a nerve, the second is NaN."""
    estimates = arms.estimates(frames, [truth.shape for truth in truths])
    summaries = {name: summarise(case_table(estimates[name], truths, of)) for name, of in arms.cutoffs.items()}
    return pd.DataFrame(summaries).T[["dice", "dice_nerve"]].astype(float)
