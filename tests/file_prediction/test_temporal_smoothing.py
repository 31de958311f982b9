"""Outlines over the frames of a cine loop: steadier than frame by frame, where the tissue is, and anew where it is another place."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drawn_frames import simulated_frame
from nerveseg.file_prediction import temporal_smoothing
from nerveseg.file_prediction.temporal_smoothing import KEPT_IN_LOOPS, KEPT_LIVE, Trail, predict_loop, steadied
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import Predictor

SIZE = (64, 96)
LENGTH = 40


def tissue(seed: int, shift: float = 0.0) -> np.ndarray:
    """Speckle that was moved to the right."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal(SIZE).astype(np.float32), (0, 0), 2.0)
    moved = cv2.warpAffine(
        noise / noise.std(), np.float32([[1, 0, shift], [0, 1, 0]]), SIZE[::-1], borderMode=cv2.BORDER_REFLECT
    )
    return np.clip(100 + 30 * moved, 0, 255).astype(np.uint8)


def nerve(column: float) -> np.ndarray:
    """A soft disc in a map of probability."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    return 1 / (1 + np.exp(np.hypot(rows - 32, columns - column) - 10))


def live(frames, said) -> list[Estimate]:
    trail = Trail()
    return [trail.add(frame, each).mean() for frame, each in zip(frames, said, strict=True)]


def loop(frames, said) -> list[Estimate]:
    return steadied(np.stack(frames), said)


def centre(probability: np.ndarray) -> float:
    return float((probability * np.arange(SIZE[1])).sum() / probability.sum())


BOTH = pytest.mark.parametrize("steady", [live, loop])


@BOTH
@settings(max_examples=20, deadline=None)
@given(probability=arrays(np.float32, SIZE, elements=st.floats(0, 1, width=32)), presence=st.floats(0, 1))
def test_what_is_said_of_each_frame_alike_stays(steady, probability, presence):
    for probability_then, presence_then in steady([tissue(1)] * 4, [Estimate(probability, presence)] * 4):
        assert np.allclose(probability_then, probability, atol=1e-6)
        assert presence_then == pytest.approx(presence)


@pytest.mark.parametrize(
    ("steady", "left"),
    [  # of a variance under weights w: sum of squares over the square of the sum
        (live, (1 - KEPT_LIVE) / (1 + KEPT_LIVE)),
        (loop, ((1 - KEPT_IN_LOOPS) / (1 + KEPT_IN_LOOPS)) ** 2 * (1 + KEPT_IN_LOOPS**2) / (1 - KEPT_IN_LOOPS**2)),
    ],
)
def test_flicker_falls_to_what_the_weights_leave_of_it(steady, left):
    rng = np.random.default_rng(0)
    noise = rng.uniform(0, 1, (60, *SIZE)).astype(np.float32)
    found = steady([tissue(1)] * 60, [Estimate(each, float(each[0, 0])) for each in noise])
    middle = np.stack([each.probability for each in found[25:-25]])
    assert middle.var() / noise.var() == pytest.approx(left, rel=0.1)


@BOTH
def test_a_nerve_that_moves_is_not_trailed(steady):
    columns = [30 + 0.8 * number for number in range(LENGTH)]
    frames = [tissue(1, column) for column in columns]
    found = steady(frames, [Estimate(nerve(column), 1.0) for column in columns])
    behind = [column - centre(each.probability) for column, each in zip(columns, found, strict=True)]
    assert np.abs(behind).max() < 0.8, "a frame's way"
    held_still = live([tissue(1)] * LENGTH, [Estimate(nerve(column), 1.0) for column in columns])
    assert columns[-1] - centre(held_still[-1].probability) > 1.1, "without motion it would have been"


@BOTH
def test_another_place_begins_anew(steady):
    rng = np.random.default_rng(1)
    said = [Estimate(rng.uniform(0, 1, SIZE).astype(np.float32), number / 10) for number in range(6)]
    first, second = [tissue(1)] * 3, [tissue(2)] * 3
    together = steady(first + second, said)
    apart = steady(first, said[:3]) + steady(second, said[3:])
    for one, other in zip(together, apart, strict=True):
        assert np.allclose(one.probability, other.probability, atol=1e-6)
        assert one.presence == pytest.approx(other.presence)


def test_a_loop_played_backwards_is_steadied_the_same():
    rng = np.random.default_rng(2)
    frames = [tissue(1, number) for number in range(8)]
    said = [Estimate(rng.uniform(0, 1, SIZE).astype(np.float32), rng.uniform()) for _ in frames]
    for one, other in zip(loop(frames, said), loop(frames[::-1], said[::-1])[::-1], strict=True):
        assert np.allclose(one.probability, other.probability, atol=1e-6)


def test_black_frames_are_of_one_place_and_of_another_than_tissue():
    said = [Estimate(nerve(20), presence) for presence in (0.0, 1.0, 0.5)]
    black = np.zeros(SIZE, np.uint8)
    found = loop([black, black, tissue(1)], said)
    assert np.isfinite([each.probability for each in found]).all()
    assert [each.presence for each in found] == pytest.approx(
        [KEPT_IN_LOOPS / (1 + KEPT_IN_LOOPS), 1 / (1 + KEPT_IN_LOOPS), 0.5]
    )


def flickering() -> Predictor:
    """Says of every other frame that nothing is there, as many times as it is asked."""
    asked = iter(range(10**6))

    def run(levels):
        shown = [0.9 * nerve(40) * (next(asked) % 2) for _ in levels]
        return {"probability": np.stack(shown)[..., np.newaxis], "presence": np.ones((len(levels), 1))}

    return Predictor(run, SIZE, Cutoffs(0.25), frozenset())


def test_masks_of_a_loop_and_of_a_live_picture_do_not_come_and_go():
    frames = [cv2.resize(tissue(1), (192, 128)) for _ in range(20)]
    alone = [each.mask.any() for each in flickering().predict(frames)]
    assert alone == [False, True] * 10
    together = [*predict_loop(flickering(), frames)]
    assert {each.mask.shape for each in together} == {(128, 192)}
    assert all(each.mask.any() for each in together)
    predict = temporal_smoothing.live(flickering())
    assert [predict(frame, 0.03 * number).mask.any() for number, frame in enumerate(frames)] == [False] + [True] * 19


def test_a_live_picture_begins_anew_after_a_gap_in_time_or_with_frames_of_another_size():
    frame, other = cv2.resize(tissue(1), (192, 128)), cv2.resize(tissue(1), (192, 100))
    predict = temporal_smoothing.live(flickering())
    seen = [
        (frame, 0.0),
        (frame, 0.1),
        (frame, 0.2),
        (frame, 5.0),
        (other, 5.1),
        (other, 5.2),
        (frame, 5.3),
        (frame, 9.0),
    ]
    assert [predict(*each).mask.any() for each in seen] == [False, True, True, True, False, True, False, True]


def fan(frame: np.ndarray) -> np.ndarray:
    """As a curved probe shows it, beside a scale: shape and scale are those of all its frames."""
    mask = np.zeros(frame.shape, np.uint8)
    cv2.ellipse(mask, (frame.shape[1] // 2, -20), (150, 130), 0, 40, 140, 1, -1)
    shown = frame * mask
    shown[::8, -4:] = 255
    return shown


@pytest.mark.parametrize("of", [lambda frame: frame, fan])
def test_files_that_have_nothing_to_do_with_each_other_are_not_averaged(of):
    frames = [of(simulated_frame((128, 160), nerve=True, seed=seed)[0]) for seed in range(6)]
    said = [Estimate(np.full((128, 160), number % 2, np.float32), float(number % 2)) for number in range(6)]
    assert [each.presence for each in live(frames, said)] == [0, 1, 0, 1, 0, 1]
    assert [each.presence for each in loop(frames, said)] == [0, 1, 0, 1, 0, 1]


def test_a_loop_of_one_frame_is_predicted_as_the_frame():
    model = Predictor(lambda _: {"probability": nerve(40)[np.newaxis, ..., np.newaxis], "presence": np.ones((1, 1))}, SIZE,
                      Cutoffs(0.5), frozenset())  # fmt: skip
    frame = cv2.resize(tissue(1), (120, 80))
    (one,), (other,) = model.predict([frame]), [*predict_loop(model, [frame])]
    assert np.array_equal(one.probability, other.probability)
    assert np.array_equal(one.mask, other.mask)
    assert [*predict_loop(model, [])] == []
