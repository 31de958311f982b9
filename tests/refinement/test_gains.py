import math

import pytest

from nerveseg.refinement.gains import best_of


@pytest.mark.parametrize(
    ("clean", "degraded", "best"),
    [
        (0.80, 0.66, 2),
        (0.799, 0.66, 2),  # a loss on clean frames that is noise
        (0.79, 0.66, 1),  # below the start on clean frames
        (0.80, 0.64, 1),  # a rival was better on degraded frames
        (0.80, 0.65, 1),  # of equal ones the first
        (math.nan, 0.66, 1),  # not scored
    ],
)
def test_the_best_gains_most_on_degraded_frames_and_does_not_pay_with_clean_ones(clean, degraded, best):
    assert best_of([0.80, 0.81, clean], [0.60, 0.65, degraded]) == best


def test_where_nothing_gains_more_than_noise_the_start_is_best():
    assert best_of([0.80, 0.70, 0.85], [0.60, 0.90, 0.6015]) == 0
    assert best_of([0.80], [0.60]) == 0
