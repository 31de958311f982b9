"""COCO's JSON, read by pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO

from nerveseg.annotation_files.coco import write_coco


@pytest.fixture
def masks():
    one = np.zeros((60, 80), np.bool_)
    one[10:30, 20:50] = True
    one[40:55, 60:75] = True  # with a hole
    one[45:48, 65:68] = False
    one[2, 3] = True
    return [("a.png", one), ("folder/b.png", np.zeros((30, 20), np.bool_)), ("c.png", one.T)]


@pytest.fixture
def read(tmp_path, masks):
    write_coco(tmp_path / "coco.json", masks, "nerve")
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(tmp_path / "coco.json")


def test_cocos_tools_show_every_area_of_the_masks(read, masks):
    for image, (name, mask) in zip(read.loadImgs(read.getImgIds()), masks, strict=True):
        areas = read.loadAnns(read.getAnnIds([image["id"]]))
        shown = np.sum([read.annToMask(area) for area in areas] or [np.zeros_like(mask)], axis=0)
        assert (image["file_name"], image["height"], image["width"]) == (name, *mask.shape)
        assert np.array_equal(shown > 0, mask)


def test_each_area_has_its_size_its_box_and_its_structure(read, masks):
    assert [category["name"] for category in read.loadCats(read.getCatIds())] == ["nerve"]
    large = max(read.loadAnns(read.getAnnIds([1])), key=lambda area: area["area"])
    assert large["area"] == 20 * 30
    assert large["bbox"] == [20, 10, 30, 20]
    assert sum(area["area"] for area in read.loadAnns(read.getAnnIds([1]))) == np.count_nonzero(masks[0][1])


def test_only_an_area_with_a_hole_is_written_as_run_lengths(read):
    areas = read.loadAnns(read.getAnnIds([1]))
    assert sorted(isinstance(area["segmentation"], dict) for area in areas) == [False, False, True]
