"""LabelMe's JSON, read as LabelMe reads it."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from nerveseg.annotation_files.labelme import write_labelme


def shown(path):
    """The mask of a file, with polygons and masks drawn as `labelme.utils.shape_to_mask` and its viewer do."""
    content = json.loads(path.read_text())
    mask = np.zeros((content["imageHeight"], content["imageWidth"]), np.bool_)
    for shape in content["shapes"]:
        if shape["shape_type"] == "mask":
            (left, top), (right, bottom) = np.array(shape["points"], int)
            pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(shape["mask"]))))
            mask[top : bottom + 1, left : right + 1] |= pixels.astype(np.bool_)
        else:
            drawn = Image.new("1", mask.shape[::-1])
            ImageDraw.Draw(drawn).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
            mask |= np.asarray(drawn)
    return mask


@pytest.fixture
def mask():
    mask = np.zeros((60, 80), np.bool_)
    mask[10:30, 20:50] = True  # a polygon
    mask[40:55, 60:75] = True  # with a hole
    mask[45:48, 65:68] = False
    mask[2, 3] = True  # a single pixel
    return mask


def test_labelme_shows_every_area_of_the_mask(tmp_path, mask):
    write_labelme(tmp_path / "x.json", "x.png", mask, "nerve")
    assert np.array_equal(shown(tmp_path / "x.json"), mask)
    content = json.loads((tmp_path / "x.json").read_text())
    assert sorted(shape["shape_type"] for shape in content["shapes"]) == ["mask", "mask", "polygon"]
    assert {shape["label"] for shape in content["shapes"]} == {"nerve"}


def test_it_names_the_image_beside_it_and_holds_no_copy_of_its_pixels(tmp_path, mask):
    write_labelme(tmp_path / "x.json", "x.png", mask, "nerve")
    content = json.loads((tmp_path / "x.json").read_text())
    assert (content["imagePath"], content["imageData"]) == ("x.png", None)


def test_a_frame_without_a_nerve_has_no_shapes(tmp_path):
    write_labelme(tmp_path / "x.json", "x.png", np.zeros((5, 6), np.bool_), "nerve")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["shapes"] == []
    assert (content["imageHeight"], content["imageWidth"]) == (5, 6)
