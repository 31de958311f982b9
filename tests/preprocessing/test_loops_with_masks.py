"""Loops as videos and as NIfTI: which of their frames are used, with which masks, and what is refused."""

import cv2
import nibabel
import numpy as np
import pytest

from command_line import nerveseg
from core_alone import write_threshold_model
from nerveseg.imaging.video import read_video
from nerveseg.preprocessing.audit import take_inventory
from odd_files import blob, encoded, paged, picture

FRAMES = np.stack([picture(number) for number in range(6)])
MASKS = np.stack([np.roll(blob(), number, axis=1) for number in range(6)])
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.fixture
def root(tmp_path):
    (folder := tmp_path / "set").mkdir()
    return folder


@pytest.fixture
def taken(tiny, tmp_path, root):
    """Takes an inventory, with what was kept of each frame."""

    def take(*labels):
        kept = []
        data = tiny.data.model_copy(update={"nerve_labels": labels})
        return take_inventory(root, data, tmp_path, (32, 64), lambda item, _: kept.append(item), clear_names=True), kept

    return take


def write_video(path, frames=FRAMES):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25.0, frames[0].shape[::-1], isColor=False)
    for frame in frames:
        writer.write(frame)
    writer.release()


def write_volume(path, values, affine=LPS, **header):
    volume = nibabel.Nifti1Image(values.transpose(*range(values.ndim)[::-1]), affine)
    volume.header.set_xyzt_units(header.get("units", "mm"))
    nibabel.save(volume, path)


def told(inventory):
    return {str(item.file): item.reason for item in inventory.quarantined}


def test_of_a_video_the_frames_that_have_masks_are_used(root, taken):
    write_video(root / "7_loop.avi")
    for number in (2, 5):
        (root / f"7_loop_{number}_mask.png").write_bytes(encoded(MASKS[number - 1], "PNG"))
    found, kept = taken()
    assert str(found).startswith("video layout, 2 pairs")
    assert list(found.manifest["frame"]) == ["7_loop_2", "7_loop_5"]
    assert [item.files for item in kept] == [
        (f"7_loop.avi, frame {number}", f"7_loop_{number}_mask.png, frame {number}") for number in (2, 5)
    ]
    assert set(found.remarks["remark"]) == {"one of 2 frames of a video that have masks"}
    decoded = read_video(root / "7_loop.avi")
    assert [item.pixels for item in kept] == [_digest(decoded[1]), _digest(decoded[4])]


def _digest(frame):
    from nerveseg.preprocessing.annotated_frames import hash_of

    return hash_of(frame).hexdigest()


def test_masks_of_a_video_may_have_leading_zeros_and_lie_in_a_folder_of_masks(root, taken):
    (root / "images").mkdir()
    (root / "masks").mkdir()
    write_video(root / "images/loop.avi")
    (root / "masks/loop_003.png").write_bytes(encoded(MASKS[2], "PNG"))
    found, _ = taken()
    assert list(found.manifest["frame"]) == ["loop_3"]


@pytest.mark.parametrize("name", ["loop_mask.tif", "loop_mask.nii.gz"])
def test_a_file_may_hold_a_mask_for_each_frame_of_a_video(root, taken, name):
    write_video(root / "loop.avi")
    if name.endswith("tif"):
        (root / name).write_bytes(paged(MASKS))
    else:
        write_volume(root / name, (MASKS > 0).astype(np.uint8))
    found, _ = taken()
    assert list(found.manifest["frame"]) == [f"loop_{number}" for number in range(1, 7)]
    assert set(found.manifest["mask_area"]) == {np.count_nonzero(MASKS[0])}
    assert found.remarks.empty


def test_a_file_of_masks_must_have_as_many_as_the_video_has_frames(root, taken):
    write_video(root / "loop.avi")
    (root / "loop_mask.tif").write_bytes(paged(MASKS[:4]))
    assert told(taken()[0])["loop.avi"] == "6 frames, but loop_mask.tif holds 4 masks"


def test_a_video_is_annotated_by_cvat(root, taken):
    write_video(root / "loop.avi")
    box = '<track id="0" label="nerve"><box frame="1" outside="0" keyframe="1" xtl="30" ytl="20" xbr="46" ybr="29"/></track>'
    task = (
        "<start_frame>0</start_frame><stop_frame>2</stop_frame><frame_filter></frame_filter><source>loop.avi</source>"
    )
    size = "<original_size><width>80</width><height>48</height></original_size>"
    (root / "a.xml").write_text(
        f"<annotations><version>1.1</version><meta><task>{task}{size}</task></meta>{box}</annotations>"
    )
    found, _ = taken()
    assert dict(zip(found.manifest["frame"], found.manifest["mask_area"], strict=True)) == {
        "loop_1": 0, "loop_2": 16 * 9, "loop_3": 0,
    }  # fmt: skip
    assert not told(found)


def of_cvat(video, first=0, last=2):
    task = f"<start_frame>{first}</start_frame><stop_frame>{last}</stop_frame><frame_filter></frame_filter><source>{video}</source>"
    size = "<original_size><width>80</width><height>48</height></original_size>"
    return f"<annotations><version>1.1</version><meta><task>{task}{size}</task></meta></annotations>"


def test_a_video_that_is_missing_is_told_once_and_a_frame_in_two_files_is_told(root, taken):
    write_video(root / "loop.avi")
    for name, content in {"a": of_cvat("loop.avi"), "b": of_cvat("loop.avi", 2, 4), "c": of_cvat("gone.avi")}.items():
        (root / f"{name}.xml").write_text(content)
    found, _ = taken()
    assert [(str(item.file), item.reason) for item in found.quarantined] == [
        ("b.xml", "frame 3 of loop.avi is annotated twice"),
        ("c.xml", "its image gone.avi is missing"),
    ]
    assert list(found.manifest["frame"]) == [f"loop_{number}" for number in range(1, 6)]


@pytest.mark.parametrize("number", [0, 7])
def test_a_mask_of_a_frame_that_the_video_does_not_have_is_refused(root, taken, number):
    write_video(root / "loop.avi")
    (root / f"loop_{number}_mask.png").write_bytes(encoded(MASKS[0], "PNG"))
    found, _ = taken()
    assert (
        told(found)["loop.avi"]
        == f"there is a mask of frame {number}, which the video does not have; frames count from 1"
    )


def test_a_video_without_masks_is_left_out_and_its_remedy_says_how_to_add_some(root, taken):
    write_video(root / "loop.avi")
    found, _ = taken()
    (item,) = found.quarantined
    assert (item.reason, item.foreign) == ("a video without masks", True)
    assert "x_7_mask.png is of frame 7 of x.mp4" in item.remedy


def test_what_predict_writes_of_a_video_are_its_masks(root, taken, tmp_path):
    write_video(root / "loop.avi", np.where(MASKS > 0, 250, FRAMES // 4).astype(np.uint8))
    model = write_threshold_model(tmp_path / "model")
    assert nerveseg("predict", root / "loop.avi", "--out", tmp_path / "out", "--model", model) == 0
    for path in (tmp_path / "out").glob("*_mask.png"):
        path.rename(root / path.name)
    found, _ = taken()
    assert list(found.manifest["frame"]) == [f"loop_{number}" for number in range(1, 7)]


def test_a_volume_and_its_masks_are_the_frames_of_a_loop(root, taken):
    write_volume(root / "9_loop.nii.gz", FRAMES, np.diag([-0.1, -0.2, 1.0, 1.0]))
    write_volume(root / "9_loop_mask.nii.gz", (MASKS > 0).astype(np.uint8), np.diag([-0.1, -0.2, 1.0, 1.0]))
    found, kept = taken()
    assert str(found).startswith("NIfTI layout, 6 pairs")
    assert list(found.manifest["frame"]) == [f"9_loop_{number}" for number in range(1, 7)]
    assert [item.pixels for item in kept] == [_digest(frame) for frame in FRAMES]
    assert set(found.manifest["mask_area"]) == {np.count_nonzero(MASKS[0])}
    assert all(item.spacing == pytest.approx((0.2, 0.1)) for item in kept)
    assert found.remarks.empty


def test_nnunets_folders_of_volumes_are_recognised(root, taken):
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir()
    write_volume(root / "imagesTr/p1_0000.nii.gz", FRAMES[0])
    write_volume(root / "labelsTr/p1.nii.gz", (MASKS[0] > 0).astype(np.uint8))
    found, _ = taken()
    assert list(found.manifest["frame"]) == ["p1"]


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
def test_levels_are_taken_as_in_other_files_whatever_their_type(root, taken, kind):
    levels = FRAMES.astype(kind) * (16 if kind == np.int16 else 1)
    write_volume(root / "x.nii", levels)
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8))
    found, kept = taken()
    assert [item.pixels for item in kept] == [_digest(frame) for frame in FRAMES] or kind == np.int16
    assert len(found.manifest) == 6


def test_labels_of_a_volume_are_chosen_by_their_number(root, taken):
    labels = (MASKS > 0).astype(np.uint8)
    labels[:, 2:6, 2:6] = 2
    write_volume(root / "x.nii", FRAMES)
    write_volume(root / "x_mask.nii", labels)
    assert "the masks hold several values: 1 in 6" in taken()[0].unclear
    assert set(taken(2)[0].manifest["mask_area"]) == {16}


def test_axes_that_point_elsewhere_are_told_and_those_of_a_mask_must_agree(root, taken):
    write_volume(root / "x.nii", FRAMES, np.eye(4))
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8), np.eye(4))
    found, _ = taken()
    assert set(found.remarks["remark"]) == {"its axes point to R and A, and it was taken as stored"}
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8), LPS)
    found, _ = taken()
    assert told(found)["x_mask.nii"] == "its axes point to L and P, those of its frames to R and A"


def test_a_mask_of_another_number_of_frames_is_refused(root, taken):
    write_volume(root / "x.nii", FRAMES)
    write_volume(root / "x_mask.nii", (MASKS[:4] > 0).astype(np.uint8))
    assert told(taken()[0])["x.nii"] == "6 frames, but x_mask.nii holds 4 masks"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no volume", "no NIfTI file that can be read"),
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08", "no NIfTI file that"),
    ],
)
def test_a_file_that_is_no_volume_is_refused(root, taken, content, reason):
    (root / "x.nii.gz").write_bytes(content)
    write_volume(root / "x_mask.nii.gz", (MASKS > 0).astype(np.uint8))
    assert told(taken()[0])["x.nii.gz"].startswith(reason)


def test_a_volume_that_was_cut_short_is_refused(root, taken):
    write_volume(root / "x.nii", FRAMES)
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8))
    (root / "x.nii").write_bytes((root / "x.nii").read_bytes()[:-100])
    assert told(taken()[0])["x.nii"].startswith("a NIfTI file that is damaged or cut short")


@pytest.mark.parametrize("shape", [(6, 5, 48, 80), (80,)])
def test_a_volume_of_other_dimensions_is_refused(root, taken, shape):
    write_volume(root / "x.nii", np.zeros(shape, np.uint8))
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8))
    assert told(taken()[0])["x.nii"].startswith(("a volume of ", "no NIfTI file that can be read"))


def test_a_volume_in_colour_is_refused(root, taken):
    colours = np.zeros((80, 48, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, LPS), root / "x.nii")
    write_volume(root / "x_mask.nii", (MASKS > 0).astype(np.uint8))
    assert "expected grey levels" in told(taken()[0])["x.nii"]


def test_predict_takes_a_volume_as_a_loop(root, tmp_path):
    write_volume(root / "x.nii.gz", FRAMES)
    model = write_threshold_model(tmp_path / "model")
    assert nerveseg("predict", root, "--out", tmp_path / "out", "--model", model, "--format", "nifti") == 0
    assert nibabel.load(tmp_path / "out/x_mask.nii.gz").shape == (80, 48, 6)
