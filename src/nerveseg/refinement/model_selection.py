"""The choice of the arm that ships, by scores on val: a refined arm if it gains over the U-Net (`gains`), else the U-Net.

The score is `postprocess.score`: Dice of all frames or of those with a nerve. Neither may fall for the other to gain, as with
a refiner that empties the masks of doubtful frames. The refiner with a critic is chosen only if its gain over the one without
is more than chance, and if nothing is remarked about the critic. A tie goes to the simpler arm.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nerveseg.augmentation.degradations import degrade_at_random
from nerveseg.evaluation.test_set import TestSet
from nerveseg.evaluation.thresholds import case_table
from nerveseg.measures.cases import contributions, summary
from nerveseg.measures.intervals import Interval, subject_interval
from nerveseg.params.networks import DegradationParams, PostprocessParams
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.adversarial_training import ADVERSARIAL, CONTROL
from nerveseg.refinement.degraded_batches import VAL_SEVERITY
from nerveseg.refinement.gains import MOST_LOSS, best_of
from nerveseg.refinement.outcome import UNET, Refinement

STAGE_SEED = 0x6A5
DRAWS = 2  # degraded variants of each val frame
RESAMPLES = 1000


def choose(
    arms: Arms, val: TestSet, params: PostprocessParams, strengths: DegradationParams, seed: int, remarks: Sequence[str]
) -> Refinement:
    """Score the arms with their cut-offs on val frames, clean and degraded at random at severity 3, and choose one.

    `remarks` are those on the training; the draws of degradations and interval depend on `seed`.
    """
    rng = np.random.default_rng([seed, STAGE_SEED])
    poor = np.concatenate([degrade_at_random(val.frames, (VAL_SEVERITY,), strengths, rng)[0] for _ in range(DRAWS)])
    of_clean, of_degraded = _cases(arms, val, val.frames, 1), _cases(arms, val, poor, DRAWS)
    clean, degraded = _scores(of_clean), _scores(of_degraded)
    named = {"challenge": "dice", "dice_nerve": "dice_nerve"}[params.score]
    paid = ((clean < clean.loc[UNET] - MOST_LOSS) | (degraded < degraded.loc[UNET])).any(axis=1)

    def best(names: list[str]) -> str:
        return names[best_of(clean.loc[names, named].tolist(), degraded[named].mask(paid).loc[names].tolist())]

    arm, beyond_control = best(list(arms.cutoffs)), ""
    if arm == ADVERSARIAL and CONTROL in arms.cutoffs:
        gain, interval = _gain(of_degraded, named, seed)
        beyond_control = f"{gain:+.4f} Dice on degraded val frames {interval.beside('+.4f')}"
        failed = any("critic" in remark for remark in remarks)
        if failed or not interval.low > 0:
            arm = best([name for name in arms.cutoffs if name != ADVERSARIAL])
            beyond_control += ", but failed as remarked" if failed else ", which may be chance"
    return Refinement(
        arm,
        {name: float(clean[named].loc[name]) for name in arms.cutoffs},
        {name: float(degraded[named].loc[name]) for name in arms.cutoffs},
        tuple(remarks),
        _reason(arm, beyond_control),
    )


def _reason(arm: str, beyond_control: str) -> str:
    if arm == ADVERSARIAL:
        over = f", {beyond_control} over the one without" if beyond_control else ""
        return f"Val chose the one trained against a critic, which gained most{over}."
    tie = f"The critic gained {beyond_control}, and a tie goes to the arm without. "
    why = "which gained over the U-Net" if arm == CONTROL else "over which no other gained"
    name = "the one trained without a critic" if arm == CONTROL else "the U-Net with its cut-offs"
    return f"{tie if beyond_control else ''}Val chose {name}, {why}."


def _gain(cases: dict[str, pd.DataFrame], measure: str, seed: int) -> tuple[float, Interval]:
    """Return the mean gain of the refiner with a critic over the one without, frame by frame, and its interval."""
    with_critic, without = (contributions(cases[name])[measure] for name in (ADVERSARIAL, CONTROL))
    gains = pd.DataFrame({"subject": cases[CONTROL]["subject"], "gain": with_critic - without})
    return float(gains["gain"].mean()), subject_interval(gains, "gain", RESAMPLES, seed)


def _cases(arms: Arms, val: TestSet, frames: NDArray[np.uint8], draws: int) -> dict[str, pd.DataFrame]:
    """Return one row per frame for each arm, with its `subject`."""
    truths, subjects = [*val.truths] * draws, [*val.subjects] * draws
    estimates = arms.estimates(frames, [truth.shape for truth in truths])
    return {name: case_table(estimates[name], truths, of).assign(subject=subjects) for name, of in arms.cutoffs.items()}


def _scores(cases: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return `dice` and `dice_nerve` of each arm; the second is NaN if no frame shows a nerve."""
    summaries = {name: summary(of) for name, of in cases.items()}
    return pd.DataFrame(summaries).T[["dice", "dice_nerve"]].astype(float)
