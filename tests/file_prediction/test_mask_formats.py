"""`nerveseg predict --format`: what each tool gets, and that all formats hold the masks that PNG has."""

import json

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from command_line import interrupt, nerveseg, stopping_after
from core_alone import write_threshold_model
from nerveseg.annotation_files import MASK_FORMATS
from nerveseg.file_prediction.mask_formats import FORMATS
from nerveseg.files.atomic import read_csv
from odd_files import dicom, encoded, picture

STUDY = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.4"}


def frame(number):
    """A frame whose only part that the model marks is a rectangle of 6 x 24 pixels, which moves."""
    levels = picture(number) // 4
    levels[20:26, 30 + number : 54 + number] = 250
    return levels


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_threshold_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def loops(tmp_path):
    """A folder with a loop of three frames and a still frame, both DICOM."""
    (root := tmp_path / "set").mkdir()
    (root / "loop.dcm").write_bytes(dicom(np.stack([frame(number) for number in range(3)]), **STUDY))
    (root / "still.dcm").write_bytes(dicom(frame(4)[np.newaxis], **STUDY))
    return root


@pytest.fixture
def expected(tmp_path, loops, model):
    """The masks that PNG files hold, by the names of their frames."""
    assert nerveseg("predict", loops, "--out", tmp_path / "png", "--model", model) == 0
    files = sorted((tmp_path / "png").glob("*_mask.png"))
    masks = {path.name.removesuffix("_mask.png"): cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0 for path in files}
    assert list(masks) == ["loop_1", "loop_2", "loop_3", "still"]
    assert all(mask.any() for mask in masks.values())
    return masks


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_the_command_offers_every_format_that_there_is():
    assert tuple(FORMATS) == MASK_FORMATS


def test_labelme_gets_each_frame_beside_its_polygons(tmp_path, loops, model, expected):
    out = tmp_path / "o"
    assert nerveseg("predict", loops, "--out", out, "--model", model, "--format", "labelme") == 0
    assert visible(out) == sorted(
        [f"{name}.{kind}" for name in expected for kind in ("json", "png")] + ["predictions.csv"]
    )
    for name, mask in expected.items():
        content = json.loads((out / f"{name}.json").read_text())
        assert content["imagePath"] == f"{name}.png"
        (shape,) = content["shapes"]
        drawn = Image.new("1", mask.shape[::-1])
        ImageDraw.Draw(drawn).polygon(
            [tuple(corner) for corner in shape["points"]], outline=1, fill=1
        )  # as LabelMe does
        assert dice(np.asarray(drawn), mask) >= 0.995
    assert np.array_equal(cv2.imread(str(out / "loop_2.png"), cv2.IMREAD_GRAYSCALE), frame(1))


def test_coco_gets_one_file_for_all_frames(tmp_path, loops, model, expected):
    out = tmp_path / "o"
    assert nerveseg("predict", loops, "--out", out, "--model", model, "--format", "coco") == 0
    content = json.loads((out / "predictions.coco.json").read_text())
    assert [image["file_name"] for image in content["images"]] == [f"{name}.png" for name in expected]
    for image, area, mask in zip(content["images"], content["annotations"], expected.values(), strict=True):
        assert (out / image["file_name"]).is_file()
        assert area["image_id"] == image["id"]
        drawn = coco.decode(coco.frPyObjects(area["segmentation"], image["height"], image["width"]))
        assert dice(drawn[..., 0] > 0, mask) >= 0.995


def test_nifti_has_a_volume_for_each_file(tmp_path, loops, model, expected):
    out = tmp_path / "o"
    assert nerveseg("predict", loops, "--out", out, "--model", model, "--format", "nifti") == 0
    assert visible(out) == ["loop_mask.nii.gz", "predictions.csv", "still_mask.nii.gz"]
    volume = np.asarray(nibabel.load(out / "loop_mask.nii.gz").dataobj)
    assert np.array_equal(volume.transpose(2, 1, 0), [expected[f"loop_{number}"] for number in (1, 2, 3)])


def test_a_dicom_segmentation_lies_beside_its_loop_and_is_read_as_its_annotation(tmp_path, loops, model, expected):
    out = tmp_path / "o"
    assert nerveseg("predict", loops, "--out", out, "--model", model, "--format", "dicom-seg") == 0
    assert visible(out) == ["loop_mask.dcm", "predictions.csv", "still_mask.dcm"]
    found = pydicom.dcmread(out / "loop_mask.dcm")
    assert np.array_equal(found.pixel_array, [expected[f"loop_{number}"] for number in (1, 2, 3)])
    for path in out.glob("*.dcm"):
        path.rename(loops / path.name)
    assert nerveseg("check", loops) == 1, "two frames of one patient are too few to train on"


def test_a_file_that_is_no_dicom_has_no_dicom_segmentation(tmp_path, loops, model):
    (loops / "plain.png").write_bytes(encoded(frame(0), "PNG"))
    told = nerveseg("predict", loops, "--out", tmp_path / "o", "--model", model, "--format", "dicom-seg")
    assert (
        "plain.png: no DICOM, so no DICOM segmentation can refer to it; leave it out, or choose another --format"
        in told
    )
    assert not (tmp_path / "o").exists()


def test_a_file_to_which_nothing_can_refer_is_skipped_and_told(tmp_path, loops, model, capsys):
    (loops / "bare.dcm").write_bytes(dicom(frame(0)[np.newaxis]))
    assert nerveseg("predict", loops, "--out", tmp_path / "o", "--model", model, "--format", "dicom-seg") == 1
    assert "bare.dcm: it has no StudyInstanceUID" in capsys.readouterr().err
    assert visible(tmp_path / "o") == ["loop_mask.dcm", "predictions.csv", "still_mask.dcm"]


@pytest.mark.parametrize("mask_format", MASK_FORMATS)
def test_the_table_is_the_same_in_every_format(tmp_path, loops, model, mask_format):
    tables = []
    for each in ("png", mask_format):
        out = tmp_path / f"out-{each}"
        assert nerveseg("predict", loops, "--out", out, "--model", model, "--format", each) == 0
        tables.append(read_csv(out / "predictions.csv"))
    assert tables[0].equals(tables[1])
    assert list(tables[0].columns)[-1] == "pixels"


@pytest.mark.parametrize("mask_format", MASK_FORMATS)
def test_an_interrupted_run_continues_and_its_files_are_those_of_a_run_in_one_go(
    tmp_path, model, mask_format, monkeypatch
):
    (root := tmp_path / "set").mkdir()
    for number in range(6):
        (root / f"{number}.dcm").write_bytes(dicom(frame(number)[np.newaxis], **STUDY))
    arguments = ["predict", root, "--model", model, "--format", mask_format, "--out"]
    interrupt(monkeypatch, *arguments, tmp_path / "stopped")
    with monkeypatch.context() as patch:
        predicted = stopping_after(patch, 100)
        assert nerveseg(*arguments, tmp_path / "stopped") == 0
        assert len(predicted) == 3
    assert nerveseg(*arguments, tmp_path / "whole") == 0
    assert visible(tmp_path / "stopped") == visible(tmp_path / "whole")
    for name in visible(tmp_path / "whole"):
        if mask_format != "dicom-seg" or name.endswith(".csv"):  # a segmentation says when it was made
            assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize(("mask_format", "name"), [("labelme", "still.json"), ("coco", "predictions.coco.json")])
def test_a_corrected_annotation_is_not_replaced(tmp_path, loops, model, mask_format, name):
    arguments = ["predict", loops, "--out", tmp_path / "o", "--model", model, "--format", mask_format]
    assert nerveseg(*arguments) == 0
    assert nerveseg(*arguments) == 0, "its own files it replaces"
    (tmp_path / "o" / name).write_text("{}")
    assert f"{name} is there already and is not as `nerveseg predict` left it" in nerveseg(*arguments)
    assert (tmp_path / "o" / name).read_text() == "{}"


def test_an_unknown_format_is_refused_with_those_that_there_are(tmp_path, model, capsys):
    assert nerveseg("predict", tmp_path, "--out", tmp_path / "o", "--model", model, "--format", "jpg") == 2
    assert "argument --format: invalid choice: 'jpg' (choose from 'png', 'labelme', 'coco'" in capsys.readouterr().err
