"""Files of annotation tools -> masks, drawn as the tools draw them."""

import base64
import dataclasses
import io
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from nerveseg.annotation_files.coco import write_coco
from nerveseg.annotation_files.embedded import from_run_lengths, lengths_of
from nerveseg.annotation_files.labelme import write_labelme
from nerveseg.annotation_files.reading import read_annotations
from nerveseg.errors import BadFileError

SIZE = (48, 80)


@pytest.fixture
def mask():
    """A polygon, an area with a hole, and a single pixel."""
    mask = np.zeros(SIZE, np.bool_)
    mask[10:30, 20:50] = True
    mask[32:45, 60:75] = True
    mask[36:39, 65:68] = False
    mask[2, 3] = True
    return mask


@pytest.fixture
def read(tmp_path):
    """Writes content into a file and reads it."""

    def of(content, name="x.json"):
        (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return read_annotations(tmp_path / name)

    return of


def drawn(annotation, *labels):
    return annotation.read(labels, SIZE, annotation.file)


def labelme(*shapes, **changed):
    shapes = [{"label": "nerve", "shape_type": "polygon"} | shape for shape in shapes]
    return {"shapes": shapes, "imagePath": "x.png", "imageHeight": 48, "imageWidth": 80} | changed


def of_coco(*areas, size=SIZE):
    image = {"id": 7, "file_name": "x.png", "height": size[0], "width": size[1]}
    areas = [{"id": number, "image_id": 7, "category_id": 3} | area for number, area in enumerate(areas)]
    return {"images": [image], "annotations": areas, "categories": [{"id": 3, "name": "nerve"}]}


def cvat(shapes="", meta="<meta/>"):
    image = f'<image id="0" name="x.png" width="80" height="48">{shapes}</image>'
    return f"<annotations><version>1.1</version>{meta}{image}</annotations>"


def video(*tracks, frames="<start_frame>0</start_frame><stop_frame>3</stop_frame><frame_filter></frame_filter>"):
    size = "<original_size><width>80</width><height>48</height></original_size>"
    meta = f"<meta><task>{frames}{size}<source>loop.mp4</source></task></meta>"
    return f"<annotations><version>1.1</version>{meta}{''.join(tracks)}</annotations>"


def test_what_is_written_for_labelme_is_read_back(tmp_path, mask):
    write_labelme(tmp_path / "x.json", "x.png", mask, "nerve")
    (found,) = read_annotations(tmp_path / "x.json")
    assert (found.image, found.size, found.tool) == ("x.png", SIZE, "LabelMe")
    assert np.array_equal(drawn(found).mask, mask)
    assert drawn(found).areas == {"nerve": np.count_nonzero(mask)}


def test_what_is_written_for_coco_is_read_back(tmp_path, mask):
    write_coco(tmp_path / "x.json", [("a.png", mask), ("b.png", ~mask & False)], "nerve")
    found, empty = read_annotations(tmp_path / "x.json")
    assert (found.image, found.size, found.tool) == ("a.png", SIZE, "COCO")
    assert np.array_equal(drawn(found).mask, mask)
    assert not drawn(empty).mask.any()
    assert drawn(empty).remark == "no area, taken for a frame without a nerve"


@pytest.mark.parametrize(
    ("kind", "points", "draw"),
    [
        ("polygon", [[5, 5], [30, 8], [20, 40]], "polygon"),
        ("rectangle", [[30, 40], [5.4, 8]], "rectangle"),
        ("circle", [[40, 20], [40, 32]], "ellipse"),
    ],
)
def test_labelmes_shapes_are_drawn_as_labelme_draws_them(read, kind, points, draw):
    (found,) = read(labelme({"shape_type": kind, "points": points}))
    image = Image.new("1", SIZE[::-1])
    box = {"rectangle": [5.4, 8, 30, 40], "circle": [28, 8, 52, 32]}.get(kind, [tuple(point) for point in points])
    getattr(ImageDraw.Draw(image), draw)(box, fill=1, outline=1)
    assert np.array_equal(drawn(found).mask, np.asarray(image))


def test_a_mask_of_labelme_lies_where_its_box_is(read):
    encoded = io.BytesIO()
    Image.fromarray(np.array([[True, False], [True, True]])).save(encoded, "PNG")
    points = [[10, 20], [11, 21]]
    (found,) = read(
        labelme({"shape_type": "mask", "points": points, "mask": base64.b64encode(encoded.getvalue()).decode()})
    )
    assert np.argwhere(drawn(found).mask).tolist() == [[20, 10], [21, 10], [21, 11]]


def test_several_polygons_and_both_kinds_of_run_lengths_of_coco_are_drawn_as_its_tools_do(read, mask):
    polygons = [[5.2, 5.1, 30.7, 8.0, 20.3, 40.9], [50, 5, 60, 5, 60, 15]]
    runs = coco.encode(np.asfortranarray(mask, np.uint8))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    lengths = np.diff([0, *edges, flat.size]).tolist()
    (found,) = read(of_coco({"segmentation": polygons}))
    expected = coco.decode(coco.frPyObjects(polygons, *SIZE)).any(axis=2)
    assert np.array_equal(drawn(found).mask, expected)
    for counts in (runs["counts"].decode(), lengths):
        (found,) = read(of_coco({"segmentation": {"size": list(SIZE), "counts": counts}, "iscrowd": 1}))
        assert np.array_equal(drawn(found).mask, mask)


def supervisely(*objects):
    return {
        "size": {"height": 48, "width": 80},
        "objects": [{"classTitle": "nerve"} | each for each in objects],
        "tags": [],
    }


def test_shapes_of_supervisely_are_drawn(read):
    outside, hole = [[5, 5], [24, 5], [24, 24], [5, 24]], [[10, 10], [14, 10], [14, 14], [10, 14]]
    encoded = io.BytesIO()
    Image.fromarray(np.array([[True, False], [True, True]])).save(encoded, "PNG")
    bitmap = {"data": base64.b64encode(zlib.compress(encoded.getvalue())).decode(), "origin": [40, 30]}
    (found,) = read(
        supervisely(
            {"geometryType": "polygon", "points": {"exterior": outside, "interior": [hole]}},
            {
                "geometryType": "rectangle",
                "classTitle": "box",
                "points": {"exterior": [[50, 5], [59, 9]], "interior": []},
            },
            {"geometryType": "bitmap", "classTitle": "bitmap", "bitmap": bitmap},
        ),
        "x.png.json",
    )
    assert (found.image, found.size, found.tool) == ("x.png", SIZE, "Supervisely")
    assert drawn(found).areas == {"nerve": 20 * 20 - 5 * 5, "box": 10 * 5, "bitmap": 3}
    assert np.argwhere(drawn(found, "bitmap").mask).tolist() == [[30, 40], [31, 40], [31, 41]]


def test_cvats_shapes_are_drawn(read):
    shapes = (
        '<box label="a" xtl="10" ytl="5" xbr="30" ybr="15"/>'
        '<box label="b" xtl="10" ytl="20" xbr="30" ybr="24" rotation="90"/>'
        '<ellipse label="c" cx="60" cy="24" rx="10" ry="5"/>'
        '<mask label="d" rle="1,2,4,3" left="70" top="40" width="5" height="2"/>'
        '<polygon label="e" points="40.0,5.0;50.0,5.0;50.0,9.0;40.0,9.0"/>'
        '<tag label="poor"/>'
    )
    (found,) = read(cvat(shapes), "x.xml")
    masks = {label: drawn(found, label).mask for label in "abcde"}
    assert np.array_equal(np.argwhere(masks["a"]).min(axis=0), [5, 10])
    assert masks["a"].sum() == 20 * 10
    assert (np.ptp(np.argwhere(masks["b"]), axis=0) + 1).tolist() == [20, 4], "turned upright"
    assert masks["c"].sum() == pytest.approx(np.pi * 50, rel=0.05)
    assert np.argwhere(masks["d"]).tolist() == [[40, 71], [40, 72], [41, 72], [41, 73], [41, 74]]
    assert masks["e"].sum() == 10 * 4
    assert list(drawn(found).areas) == list("abcde")


def test_a_video_of_cvat_has_an_annotation_for_each_of_its_frames(read):
    outline = 'points="20,10;50,10;50,30;20,30"'
    track = (
        f'<track id="0" label="nerve"><polygon frame="1" outside="0" keyframe="1" {outline}/>'
        f'<polygon frame="2" outside="0" keyframe="0" {outline}/><polygon frame="3" outside="1" keyframe="1" {outline}/></track>'
    )
    found = read(video(track), "x.xml")
    assert [(one.image, one.frame, one.size) for one in found] == [
        ("loop.mp4", number, SIZE) for number in (1, 2, 3, 4)
    ]
    assert [drawn(one).mask.sum() for one in found] == [0, 600, 600, 0]
    every_second = "<start_frame>1</start_frame><stop_frame>5</stop_frame><frame_filter>step=2</frame_filter>"
    assert [one.frame for one in read(video(frames=every_second), "x.xml")] == [2, 4, 6]


def test_labels_choose_what_is_nerve_and_all_areas_are_counted(read):
    (found,) = read(
        labelme(
            {"label": "nerve", "points": [[5, 5], [14, 5], [14, 14], [5, 14]]},
            {"label": "vessel", "points": [[30, 5], [34, 5], [34, 9], [30, 9]]},
        )
    )
    assert drawn(found, "nerve").areas == {"nerve": 100, "vessel": 25}
    assert drawn(found, "nerve").mask.sum() == 100
    assert drawn(found).mask.sum() == 125
    assert not drawn(found, "artery").mask.any()


def test_a_file_without_a_size_takes_that_of_the_image(read):
    (found,) = read(labelme(imageHeight=None, imageWidth=None))
    assert drawn(found).mask.shape == SIZE


TWO, LEAVING = [[5, 5], [9, 9]], [[-20, 5], [30, 5], [30, 15], [-20, 15]]
CROSSING = [[5, 5], [30, 30], [30, 5], [5, 30]]
UNKNOWABLE = [
    (labelme({"points": TWO}), "x.json", "its annotation 'nerve' is a polygon of 2 corners"),
    (labelme({"points": [[5, 5], [9, float("nan")], [3, 3]]}), "x.json", "a polygon with a corner that is no number"),
    (labelme({"points": [[5, 5], [1e9, 9], [3, 3]]}), "x.json", "a polygon with a corner far outside of the image"),
    (labelme({"shape_type": "circle", "points": [[5, 5], [1e9, 9]]}), "x.json", "a circle far outside of the image"),
    (labelme({"shape_type": "rectangle", "points": [[5, float("nan")], [7, 9]]}), "x.json", "a rectangle far outside"),
    (of_coco({"segmentation": [[5, 5, 1e12, 9, 3, 3]]}), "x.json", "a polygon with a corner far outside of the image"),
    (labelme({"shape_type": "linestrip", "points": TWO}), "x.json", "a linestrip, which marks no area"),
    (labelme({"shape_type": "point", "points": TWO[:1]}), "x.json", "a point, which marks no area"),
    (of_coco({"segmentation": [[5, 5, 9, 9]]}), "x.json", "a polygon of 2 corners"),
    (of_coco({"segmentation": [[5, 5, 9, 9, 7]]}), "x.json", "a polygon of 2.5 corners"),
    (of_coco({"segmentation": [], "bbox": [1, 2, 3, 4]}), "x.json", "a box, which marks no area"),
    (supervisely({"geometryType": "line", "points": {"exterior": TWO}}), "x.json", "a line, which marks no area"),
    (cvat('<polygon label="nerve" points="1,2;3,4"/>'), "x.xml", "a polygon of 2 corners"),
    (cvat('<polyline label="nerve" points="1,2;3,4;5,5"/>'), "x.xml", "a polyline, which marks no area"),
]


@pytest.mark.parametrize(("content", "name", "told"), UNKNOWABLE, ids=[told for *_, told in UNKNOWABLE])
def test_an_area_that_nobody_can_know_is_refused(read, content, name, told):
    (found,) = read(content, name)
    with pytest.raises(BadFileError, match=told) as refused:
        drawn(found)
    assert refused.value.remedy == "finish or remove it in the annotation tool"


ODD = [
    (labelme({"points": LEAVING}), "x.json", "'nerve': a polygon leaves the image, and was cut at its edge"),
    (
        labelme({"points": CROSSING}),
        "x.json",
        "'nerve': a polygon crosses itself, so that it may not be what was meant",
    ),
    (
        labelme({"shape_type": "rectangle", "points": [[60, 5], [95, 20]]}),
        "x.json",
        "'nerve': a rectangle leaves the image",
    ),
    (of_coco({"segmentation": [[float(value) for point in LEAVING for value in point]]}), "x.json", "leaves the image"),
    (cvat('<box label="nerve" xtl="70" ytl="5" xbr="95" ybr="15"/>'), "x.xml", "leaves the image"),
    (
        cvat('<mask label="nerve" rle="0,10" left="77" top="40" width="5" height="2"/>'),
        "x.xml",
        "a mask leaves the image",
    ),
]


@pytest.mark.parametrize(("content", "name", "told"), ODD, ids=[f"{name} {told}" for _, name, told in ODD])
def test_an_area_that_may_be_meant_otherwise_is_drawn_and_told(read, content, name, told):
    (found,) = read(content, name)
    assert drawn(found).mask.any()
    assert told in drawn(found).remark


@pytest.mark.parametrize("corners", [[[0, 0], [80, 0], [80, 48], [0, 48]], [[-0.4, 5], [80.4, 5], [40, 48.4]]])
def test_an_outline_along_the_edge_of_the_image_is_not_told(read, corners):
    (found,) = read(labelme({"points": corners}))
    assert drawn(found).remark == ""


@pytest.mark.parametrize("name", ["x.json", "x.xml"])
@pytest.mark.parametrize(
    "content", ["{}", "[]", "3", '{"shapes": []}', "<a/>", "no such thing", "<annotations/>", "\0"]
)
def test_files_of_other_kinds_are_no_annotations(read, content, name):
    assert read(content, name) == []


def png_claiming(width, height):
    """A PNG of this size with no pixels behind its header."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, b"IDAT", b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


BOMB = base64.b64encode(zlib.compress(bytes(2**27))).decode()
DAMAGED = [
    (labelme() | {"shapes": 3}, "x.json"),
    (labelme({"points": [[1, "a"]]}), "x.json"),
    (labelme({"shape_type": "mask", "points": TWO, "mask": "AAAA"}), "x.json"),
    ({"images": [{"id": 1}], "annotations": []}, "x.json"),
    (of_coco({"segmentation": [[1, 2, 3, 4, 5, 6]], "category_id": 9}), "x.json"),
    (of_coco({"segmentation": [[1, 2, 3, 4, 5, 6]], "image_id": 9}), "x.json"),
    (of_coco({"segmentation": {"size": [4, 5], "counts": [20]}}), "x.json"),
    (of_coco({"segmentation": {"size": list(SIZE), "counts": [20]}}), "x.json"),
    (of_coco({"segmentation": {"size": list(SIZE), "counts": "zz"}}), "x.json"),
    (of_coco({"segmentation": {"size": list(SIZE), "counts": "é"}}), "x.json"),
    (of_coco({"segmentation": {"size": [10**6, 10**6], "counts": [10**12]}}, size=(10**6, 10**6)), "x.json"),
    (
        labelme({"shape_type": "mask", "points": TWO, "mask": base64.b64encode(png_claiming(60_000, 60_000)).decode()}),
        "x.json",
    ),
    (supervisely({"geometryType": "bitmap", "bitmap": {"data": BOMB, "origin": [0, 0]}}), "x.json"),
    (supervisely({"geometryType": "bitmap", "bitmap": {"data": "AAAA", "origin": [0, 0]}}), "x.json"),
    (cvat('<box label="nerve" xtl="a"/>'), "x.xml"),
    (cvat('<mask label="nerve" rle="3,4" left="0" top="0" width="5" height="2"/>'), "x.xml"),
    (video(frames="<start_frame>0</start_frame>"), "x.xml"),
    (video().replace("<source>loop.mp4</source>", ""), "x.xml"),
    (video('<track id="0" label="nerve"><polygon frame="9" points="1,2;3,4;5,6"/></track>'), "x.xml"),
]


@pytest.mark.parametrize(("content", "name"), DAMAGED)
def test_a_damaged_file_is_refused_and_says_what_is_wrong(read, content, name):
    with pytest.raises(BadFileError, match=rf"{name}: annotations that cannot be read \(\w+: .+\); export them again"):
        read(content, name)


def test_a_json_nested_too_deeply_is_no_annotation(read):
    assert read("[" * 100_000) == []


@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_run_lengths_are_read_as_pycocotools_writes_them(mask):
    code = coco.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert np.array_equal(from_run_lengths(lengths_of(code), mask.shape[::-1]).T, mask)


def test_what_is_wrong_with_embedded_masks_is_said(read):
    short = of_coco({"segmentation": {"size": list(SIZE), "counts": [20]}})
    large = supervisely({"geometryType": "bitmap", "bitmap": {"data": BOMB, "origin": [0, 0]}})
    claiming = base64.b64encode(png_claiming(60_000, 60_000)).decode()
    wide = labelme({"shape_type": "mask", "points": TWO, "mask": claiming})
    for content, told in (
        (short, "run lengths of 20 pixels in a mask of 48x80"),
        (large, "a deflated image that is too large"),
        (wide, "an image of 60000x60000 pixels"),
    ):
        with pytest.raises(BadFileError, match=told):
            read(content)


def test_an_xml_that_defines_entities_is_not_parsed(read):
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    assert read(bomb + cvat('<tag label="&c;"/>'), "x.xml") == []


def test_paths_of_windows_are_paths(read):
    (found,) = read(labelme(imagePath="..\\images\\x.png"))
    assert found.image == "../images/x.png"


def test_annotations_travel_between_processes(read):
    import pickle

    (found,) = read(labelme({"points": CROSSING}, {"shape_type": "circle", "points": TWO}))
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert np.array_equal(drawn(again).mask, drawn(found).mask)
    assert dataclasses.astuple(again)[1:3] == dataclasses.astuple(found)[1:3]
