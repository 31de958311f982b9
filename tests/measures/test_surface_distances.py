"""Distances between outlines, against shapes whose distances are known and against scipy's distance transform."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion, distance_transform_edt
from skimage.segmentation import find_boundaries

from nerveseg.measures.surface_distances import Outlines, outline


def square(top, left, side, shape=(40, 50)):
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def disc(radius, shape=(240, 240)):
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - 120) ** 2 + (columns - 120) ** 2 <= radius**2


def distances(truth, predicted, tolerance=2.0):
    found = Outlines(truth, predicted, tolerance=tolerance)
    return found.hd, found.hd95, found.assd, found.nsd


def by_distance_transform(truth, predicted, tolerance):
    """The same, from maps of the distance to the other outline."""
    edges = [mask & ~binary_erosion(mask) for mask in (truth, predicted)]
    ways = [distance_transform_edt(~other)[edge] for edge, other in (edges, edges[::-1])]
    both = np.concatenate(ways)
    return both.max(), max(np.percentile(way, 95) for way in ways), both.mean(), (both <= tolerance).mean()


def test_equal_masks_have_no_distance():
    assert distances(square(5, 6, 9), square(5, 6, 9)) == (0.0, 0.0, 0.0, 1.0)


def test_pixels_that_were_moved_are_that_far_away():
    assert distances(square(5, 5, 1), square(8, 9, 1)) == (5.0, 5.0, 5.0, 0.0)


def test_a_disc_in_a_larger_one_is_the_difference_of_their_radii_away():
    found = Outlines(disc(60), disc(80))
    assert found.hd95 == pytest.approx(20.0, abs=0.7)
    assert found.assd == pytest.approx(20.0, abs=0.5)
    assert found.nsd == 0.0


def test_a_line_moved_aside_by_the_tolerance_lies_within_it():
    line, moved = np.zeros((40, 50), bool), np.zeros((40, 50), bool)
    line[10, 5:45], moved[12, 5:45] = True, True
    assert Outlines(line, moved, tolerance=2.0).nsd == 1.0
    assert Outlines(line, moved, tolerance=1.9).nsd == 0.0


def test_a_stray_pixel_far_away_counts_in_the_mean_and_not_in_the_95th_percentile():
    strayed = square(10, 5, 12)
    strayed[39, 49] = True
    found = Outlines(square(10, 5, 12), strayed)
    assert found.hd == pytest.approx(np.hypot(18, 33))
    assert found.hd95 == 0.0
    assert found.assd == pytest.approx(np.hypot(18, 33) / (44 + 45))


@settings(max_examples=60, deadline=None)
@given(truth=arrays(bool, (17, 23)), predicted=arrays(bool, (17, 23)), tolerance=st.sampled_from([0.0, 1.0, 2.5]))
def test_distances_are_those_of_the_distance_transform(truth, predicted, tolerance):
    if truth.any() and predicted.any():
        expected = by_distance_transform(truth, predicted, tolerance)
        assert distances(truth, predicted, tolerance) == pytest.approx(expected)


@given(mask=arrays(bool, (9, 12)))
def test_the_outline_is_the_inner_boundary_in_a_frame_with_nothing_around_it(mask):
    padded = np.pad(mask, 1)
    expected = np.argwhere(find_boundaries(padded, connectivity=1, mode="inner") & padded) - 1
    assert np.array_equal(outline(mask), expected)
