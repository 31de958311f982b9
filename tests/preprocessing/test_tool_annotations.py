"""Annotations of LabelMe, COCO and CVAT in a data set: which image each is of, and what has a line in quarantine or remarks."""

import base64
import json

import numpy as np
import pytest

from nerveseg.annotation_files.coco import write_coco
from nerveseg.annotation_files.labelme import write_labelme
from nerveseg.preprocessing.audit import take_inventory
from odd_files import blob, dicom, encoded, picture

MASK = blob() > 0
CORNERS = [[30, 20], [45, 20], [45, 28], [30, 28]]


@pytest.fixture
def folder(tmp_path):
    """Makes a folder of files: bytes, or what becomes JSON or XML."""

    def make(**files):
        for name, content in files.items():
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "set"

    return make


@pytest.fixture
def taken(tiny, tmp_path):
    """Takes an inventory, with these labels as nerve."""

    def take(root, *labels, clear_names=True):
        data = tiny.data.model_copy(update={"nerve_labels": labels})
        return take_inventory(root, data, tmp_path, (32, 64), clear_names=clear_names)

    return take


def frames(*names):
    return {name: encoded(picture(number), name.rpartition(".")[2].upper()) for number, name in enumerate(names)}


def labelme(image, *labels, points=CORNERS, **changed):
    shapes = [{"label": label, "shape_type": "polygon", "points": points} for label in labels]
    return json.dumps({"shapes": shapes, "imagePath": image, "imageHeight": 48, "imageWidth": 80} | changed)


def coco(**images):
    listed = [{"id": name, "file_name": name, "height": 48, "width": 80} for name in images]
    areas = [
        {
            "image_id": name,
            "category_id": label,
            "segmentation": [[float(value) for point in CORNERS for value in point]],
        }
        for name, labels in images.items()
        for label in labels
    ]
    categories = [{"id": label, "name": label} for label in {area["category_id"] for area in areas}]
    return json.dumps({"images": listed, "annotations": areas, "categories": categories})


def cvat(**images):
    box = '<box label="{}" xtl="30" ytl="20" xbr="46" ybr="29"/>'
    listed = (
        f'<image id="0" name="{name}" width="80" height="48">{"".join(map(box.format, labels))}</image>'
        for name, labels in images.items()
    )
    return f"<annotations><meta/>{''.join(listed)}</annotations>"


def told(inventory):
    return {str(item.file): item.reason for item in inventory.quarantined}


def areas(inventory):
    return dict(zip(inventory.manifest["frame"], inventory.manifest["mask_area"], strict=True))


def test_labelmes_files_lie_beside_their_images(folder, taken):
    found = taken(
        folder(**frames("a.png", "b.png"), **{"a.json": labelme("a.png", "nerve"), "b.json": labelme("b.png")})
    )
    assert str(found) == "LabelMe layout, 2 pairs, 2 subjects"
    assert areas(found) == {"a": 16 * 9, "b": 0}
    assert list(found.remarks["remark"]) == ["no area, taken for a frame without a nerve"]
    assert not found.quarantined


def test_labelmes_files_may_lie_in_a_folder_of_their_own(folder, taken):
    found = taken(folder(**frames("images/a.png"), **{"json/a.json": labelme("..\\images\\a.png", "nerve")}))
    assert areas(found) == {"a": 16 * 9}


def test_an_image_that_was_renamed_together_with_its_file_is_still_its_image(folder, taken):
    found = taken(folder(**frames("new.png"), **{"new.json": labelme("old.png", "nerve")}))
    assert areas(found) == {"new": 16 * 9}


@pytest.mark.parametrize("name", ["coco.json", "annotations/instances.json"])
def test_a_file_of_coco_is_of_all_images_that_it_lists(folder, taken, name):
    content = coco(**{"a.png": ["nerve"], "sub/b.png": []})
    found = taken(folder(**frames("images/a.png", "images/sub/b.png"), **{name: content}))
    assert str(found) == "COCO layout, 2 pairs, 2 subjects"
    assert list(areas(found).values()) == [15 * 8, 0]


def test_a_file_of_cvat_is_of_all_images_that_it_lists(folder, taken):
    found = taken(folder(**frames("a.png", "b.png"), **{"annotations.xml": cvat(**{"a.png": ["nerve"], "b.png": []})}))
    assert str(found) == "CVAT layout, 2 pairs, 2 subjects"
    assert areas(found) == {"a": 16 * 9, "b": 0}


def test_a_project_of_supervisely_has_images_and_annotations_in_two_folders(folder, taken):
    shape = {
        "classTitle": "nerve",
        "geometryType": "rectangle",
        "points": {"exterior": [[30, 20], [45, 28]], "interior": []},
    }
    content = json.dumps({"size": {"height": 48, "width": 80}, "objects": [shape]})
    found = taken(folder(**frames("set/img/a.png"), **{"set/ann/a.png.json": content, "meta.json": '{"classes": []}'}))
    assert str(found) == "Supervisely layout, 1 pair, 1 subject"
    assert list(areas(found).values()) == [16 * 9]


def test_images_of_one_name_are_told_apart_by_their_folders(folder, taken):
    content = coco(**{"p1/a.png": ["nerve"], "p2/a.png": []})
    found = taken(folder(**frames("images/p1/a.png", "images/p2/a.png"), **{"coco.json": content}))
    assert areas(found) == {"p1/a": 15 * 8, "p2/a": 0}


def test_an_image_that_may_be_several_is_told(folder, taken):
    found = taken(
        folder(
            **frames("p1/a.png", "p2/a.png", "b.png"), **{"coco.json": coco(**{"a.png": ["nerve"], "b.png": ["nerve"]})}
        )
    )
    assert told(found)["coco.json"] == "several images may be its a.png: p1/a.png, p2/a.png"
    assert areas(found) == {"b": 15 * 8}


def test_an_image_that_is_missing_is_told_and_the_others_are_used(folder, taken):
    content = coco(**{"a.png": ["nerve"], "gone.png": ["nerve"]})
    found = taken(folder(**frames("a.png"), **{"coco.json": content}))
    assert told(found) == {"coco.json": "its image gone.png is missing"}
    assert areas(found) == {"a": 15 * 8}
    alone = taken(folder(**{"x.json": labelme("y.png", "nerve")}))
    assert told(alone)["x.json"] == "its image y.png is missing"


def test_an_image_that_a_file_lists_twice_is_told_and_the_first_entry_counts(folder, taken):
    content = json.loads(coco(**{"a.png": ["nerve"]}))
    content["images"].append(content["images"][0] | {"id": "again"})
    found = taken(folder(**frames("a.png"), **{"coco.json": json.dumps(content)}))
    assert told(found) == {"coco.json": "it lists a.png twice"}
    assert areas(found) == {"a": 15 * 8}


def test_an_image_that_no_file_lists_has_no_annotation(folder, taken):
    found = taken(folder(**frames("a.png", "b.png"), **{"coco.json": coco(**{"a.png": ["nerve"]})}))
    assert told(found) == {"b.png": "its mask is missing"}


def test_an_image_with_a_mask_and_an_annotation_is_refused_since_they_may_differ(folder, taken):
    files = {"a_mask.png": encoded(blob(), "PNG"), "a.json": labelme("a.png", "nerve")}
    found = taken(folder(**frames("a.png"), **files))
    assert told(found) == {
        "a.json": "a_mask.png belongs to the same frame", "a_mask.png": "a.json belongs to the same frame",
        "a.png": "its mask stands twice (a_mask.png, a.json)",
    }  # fmt: skip


def test_an_image_in_two_files_is_refused(folder, taken):
    files = {"a.json": labelme("a.png", "nerve"), "coco.json": coco(**{"a.png": ["nerve"]})}
    assert told(taken(folder(**frames("a.png"), **files)))["a.png"] == "its mask stands twice (a.json, coco.json)"


def test_a_copy_of_the_image_that_differs_from_the_file_beside_it_is_refused(folder, taken):
    copy, other = (base64.b64encode(encoded(picture(seed), "PNG")).decode() for seed in (0, 9))
    same = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png", "nerve", imageData=copy)}))
    assert not same.quarantined
    found = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png", "nerve", imageData=other)}))
    assert told(found)["a.json"] == "its copy of the image (imageData) shows something else than the file beside it"
    assert told(found)["a.png"] == "its partner a.json cannot be used"
    damaged = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png", "nerve", imageData="AAAA")}))
    assert told(damaged)["a.json"].startswith("its copy of the image (imageData) cannot be read")


def test_a_polygon_of_two_corners_has_its_line_and_other_images_of_the_file_are_used(folder, taken):
    content = json.loads(coco(**{"a.png": ["nerve"], "b.png": ["nerve"]}))
    content["annotations"][0]["segmentation"] = [[1.0, 2.0, 3.0, 4.0]]
    found = taken(folder(**frames("a.png", "b.png"), **{"coco.json": json.dumps(content)}))
    assert told(found) == {"a.png": "its annotation 'nerve' is a polygon of 2 corners"}
    assert areas(found) == {"b": 15 * 8}


def test_several_labels_stop_preprocess_until_one_says_which_are_nerve(folder, taken):
    files = frames("a.png", "b.png") | {
        "a.json": labelme("a.png", "nerve", "vessel"),
        "b.json": labelme("b.png", "nerve"),
    }
    found = taken(root := folder(**files))
    assert "the masks hold several values: nerve in 2 of the 2 frames" in found.unclear
    assert "data.nerve_labels: [NAME, ...]" in found.unclear
    chosen = taken(root, "nerve")
    assert not chosen.unclear
    assert "labels that data.nerve_labels does not name are no nerve: vessel in 1 frame" in chosen.warnings


def test_a_label_that_no_file_has_is_told(folder, taken):
    found = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png", "nevre")}), "nerve")
    assert found.unclear == (
        "no mask shows a nerve; data.nerve_labels is nerve, but the masks hold nevre in 1 of the 1 frames that mark anything "
        "(100.0% of the marked pixels)"
    )


def test_an_annotation_of_another_size_is_refused(folder, taken):
    found = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png", "nerve", imageWidth=90)}))
    assert told(found)["a.png"] == "the frame is 80x48 pixels and its annotation 90x48"


def test_a_damaged_file_is_told(folder, taken):
    found = taken(folder(**frames("a.png"), **{"a.json": labelme("a.png").replace('"shapes": []', '"shapes": 7')}))
    assert told(found)["a.json"].startswith("annotations that cannot be read (TypeError")


def test_other_json_and_xml_files_are_left_out_as_before(folder, taken):
    found = taken(
        folder(**frames("a.png"), **{"a_mask.png": encoded(blob(), "PNG"), "notes.json": "{}", "b.xml": "<b/>"})
    )
    assert [item.foreign for item in found.quarantined] == [True, True]
    assert areas(found) == {"a": 16 * 9}


def test_in_a_data_set_with_dicom_no_line_shows_the_name_of_an_image(folder, taken, tmp_path):
    files = frames("DOE.png") | {"coco.json": coco(**{"DOE.png": ["nerve"], "ROE.png": ["nerve"]})}
    root = folder(**files, **{"x.dcm": dicom(picture(3)[np.newaxis])})
    found = taken(root, clear_names=False)
    assert "is missing" in " ".join(item.reason for item in found.quarantined)
    shown = " ".join(f"{item.file} {item.reason} {item.remedy}" for item in found.quarantined) + found.remarks.to_csv()
    assert "DOE" not in shown + found.manifest.to_csv()
    assert "ROE" not in shown


def test_what_predict_wrote_for_a_tool_is_an_annotation_once_it_was_corrected(folder, taken):
    """`predict` keeps a record of its files; here there is none, as after the record was removed."""
    root = folder(**frames("a.png", "b.png"))
    write_labelme(root / "a.json", "a.png", MASK, "nerve")
    assert areas(taken(root)) == {"a": 16 * 9}
    (root / "a.json").unlink()
    write_coco(root / "predictions.coco.json", [("a.png", MASK), ("b.png", MASK & False)], "nerve")
    assert areas(taken(root)) == {"a": 16 * 9, "b": 0}
