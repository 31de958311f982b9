"""When a refiner counts as better than the U-Net as it came: by Dice on degraded val frames, and not at the price of the
clean ones. One rule chooses the epoch that an arm keeps, and later the arm that ships.
"""

from collections.abc import Sequence

LEAST_GAIN = 0.002  # of Dice on degraded frames; less is noise
MOST_LOSS = 0.002  # of Dice on clean frames


def best_of(clean: Sequence[float], degraded: Sequence[float]) -> int:
    """The index of the candidate with the highest Dice on degraded frames among those that gain, by these bounds, over the
    first one, the U-Net; 0 where none does. Of equal ones the first.

    Args:
        clean: Dice of each candidate on clean val frames; NaN for one that has none.
        degraded: the same on degraded ones.
    """
    allowed = [
        index
        for index, (on_clean, on_degraded) in enumerate(zip(clean, degraded, strict=True))
        if on_clean >= clean[0] - MOST_LOSS and on_degraded > degraded[0] + LEAST_GAIN
    ]
    return max(allowed, key=lambda index: degraded[index], default=0)
