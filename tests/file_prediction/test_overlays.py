"""Overlays: an empty mask is told in words, and a frame with a nerve has its outline alone."""

import numpy as np
import pytest

from drawn_frames import simulated_frame
from nerveseg.file_prediction.overlays import contour, film_of, overlay

SIZES = [(420, 580), (48, 80), (2000, 3000)]


def changed(frame, mask):
    return (overlay(frame, mask) != frame[..., np.newaxis]).any(axis=2)


@pytest.mark.parametrize("size", SIZES)
def test_the_overlay_of_an_empty_mask_says_so_in_a_corner_and_shows_the_rest_of_the_frame_as_it_is(size):
    frame, _ = simulated_frame(size, nerve=False, seed=1)
    before = frame.copy()
    rows, columns = np.nonzero(changed(frame, np.zeros(size, bool)))
    assert rows.min() > 0.8 * size[0]
    assert 0.2 * size[1] < np.ptp(columns) < 0.4 * size[1]
    assert columns.min() < 0.1 * size[1]
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("level", [0, 127, 255])
def test_the_words_are_white_with_a_black_edge_and_so_seen_on_dark_and_bright_frames(level):
    frame = np.full((420, 580), level, np.uint8)
    words = overlay(frame, np.zeros(frame.shape, bool))[400 - 20 : 400, 20:180]
    assert {0, 255} <= set(words.ravel().tolist())


def test_the_overlay_of_a_nerve_is_the_frame_with_its_outline_alone():
    frame, mask = simulated_frame((420, 580), nerve=True, seed=1)
    assert np.array_equal(changed(frame, mask), contour(mask))


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 3)])
def test_a_frame_that_is_too_small_for_words_has_an_overlay(size):
    assert overlay(np.zeros(size, np.uint8), np.zeros(size, bool)).shape == (*size, 3)


def test_a_film_shows_the_overlays_of_its_frames():
    shown = [simulated_frame((48, 80), nerve=nerve, seed=1) for nerve in (True, False)]
    for page, (frame, mask) in zip(film_of(*zip(*shown, strict=True)), shown, strict=True):
        difference = np.asarray(page.convert("RGB")).astype(int) - overlay(frame, mask)[..., ::-1]
        assert np.abs(difference).max() <= 1
