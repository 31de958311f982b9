"""The rule by which an epoch is kept, and an arm ships: more Dice on degraded val frames, and no less on clean ones."""

from collections.abc import Sequence

LEAST_GAIN = 0.002  # of Dice on degraded frames; less is noise
MOST_LOSS = 0.002  # of Dice on clean frames


def best_of(clean: Sequence[float], degraded: Sequence[float]) -> int:
    """Return the index of the candidate with the highest Dice on degraded frames of those that gain over the first one, the
    U-Net, within these bounds; the first of equal ones, and 0 if none gains. NaN excludes a candidate.
    """
    allowed = [
        index
        for index, (on_clean, on_degraded) in enumerate(zip(clean, degraded, strict=True))
        if on_clean >= clean[0] - MOST_LOSS and on_degraded > degraded[0] + LEAST_GAIN
    ]
    return max(allowed, key=lambda index: degraded[index], default=0)
