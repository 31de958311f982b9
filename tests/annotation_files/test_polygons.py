"""Polygons of masks, filled again by the tools that they are for: Pillow as in LabelMe, and pycocotools."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from nerveseg.annotation_files.polygons import COCO, LABELME, areas_of

FILLINGS = pytest.mark.parametrize("filling", [LABELME, COCO], ids=["LabelMe", "COCO"])


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def ellipse(size=(184, 256), centre=(90.3, 120.8), half=(22.0, 41.0)):
    rows, columns = np.indices(size)
    return ((rows - centre[0]) / half[0]) ** 2 + ((columns - centre[1]) / half[1]) ** 2 <= 1.0


@FILLINGS
@settings(max_examples=200, deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_areas_are_connected_and_together_they_are_the_mask(filling, mask):
    areas = [area.mask for area in areas_of(mask, filling)]
    assert len(areas) == ndimage.label(mask, np.ones((3, 3)))[1]
    assert np.array_equal(np.sum(areas, axis=0) > 0 if areas else np.zeros_like(mask), mask)
    assert sum(map(np.count_nonzero, areas)) == np.count_nonzero(mask)


@FILLINGS
@settings(max_examples=200, deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_a_polygon_is_filled_to_its_area_and_an_area_with_a_hole_has_none(filling, mask):
    for area, polygon in areas_of(mask, filling):
        if polygon is None:
            continue
        assert polygon.shape == (len(polygon), 2)
        assert len(polygon) >= 3
        assert dice(filling.fill(polygon, mask.shape), area) >= 0.995
        assert np.array_equal(ndimage.binary_fill_holes(area, np.ones((3, 3))), area)


@FILLINGS
def test_a_smooth_nerve_has_few_corners(filling):
    (area,) = areas_of(mask := ellipse(), filling)
    assert dice(filling.fill(area.polygon, mask.shape), mask) >= 0.995
    assert 6 <= len(area.polygon) <= 40, "a person is to drag them"


@FILLINGS
def test_a_square_keeps_its_four_corners(filling):
    mask = np.zeros((40, 50), np.bool_)
    mask[5:20, 11:31] = True
    (area,) = areas_of(mask, filling)
    assert len(area.polygon) == 4
    assert np.array_equal(filling.fill(area.polygon, mask.shape), mask)


@FILLINGS
def test_a_ring_and_a_single_pixel_of_labelme_have_no_polygon(filling):
    ring = ellipse() & ~ellipse(half=(8.0, 20.0))
    assert [area.polygon for area in areas_of(ring, filling)] == [None]
    dot = np.zeros((8, 9), np.bool_)
    dot[3, 4] = True
    (area,) = areas_of(dot, filling)
    assert (area.polygon is None) == (filling is LABELME)
