"""Which files `predict` segments, what it leaves out and says so, and that it replaces nothing that is not its own."""

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID_dictionary

from command_line import StoppedError, stopping_after
from core_alone import write_threshold_model
from drawn_models import FLOAT, VAL, segmenter
from nerveseg.cli import main
from nerveseg.errors import DatasetError
from nerveseg.file_prediction import prediction_files
from nerveseg.file_prediction.sources import Source, Sources, sources_in
from nerveseg.files.atomic import read_csv
from nerveseg.files.user_folder import RECORD
from nerveseg.imaging.simulated import write_simulated
from nerveseg.inference.predictor import SIMULATED_ONLY
from nerveseg.live_view import live_frames
from nerveseg.preprocessing.layouts import recognise
from nerveseg.saved_models.openvino_export import export
from odd_files import blob, dicom, encoded, picture
from paths import ROOT
from processes import started

FRAME = encoded(picture(), "PNG")
MASK = encoded(blob(), "PNG")
HOLD = """
import sys
from pathlib import Path
from nerveseg.files.atomic import only_writer

with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""
STILL, LOOP = dicom(picture()[np.newaxis]), dicom(np.stack([picture(1), picture(2)]))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    export(segmenter(), folder, FLOAT, VAL, "gan")
    return folder


@pytest.fixture
def folder(tmp_path):
    """Makes files in a folder."""

    def make(files, name="set"):
        for path, content in files.items():
            place = tmp_path / name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        return tmp_path / name

    return make


def predict(*arguments, model):
    with pytest.raises(SystemExit) as end:
        main(["predict", *map(str, arguments), "--model", str(model)])
    return end.value.code


def refusal(*arguments, model):
    """What `nerveseg predict` says where it refuses to begin."""
    told = predict(*arguments, model=model)
    assert str(told).startswith("error: ")
    assert "\n" not in told
    return told


def video(path, frames=5, codec="MJPG"):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 20, (80, 48))
    for number in range(frames):
        writer.write(cv2.cvtColor(picture(number), cv2.COLOR_GRAY2BGR))
    writer.release()
    return path.read_bytes()


def names(root):
    return [source.name for source in sources_in([root]).found]


def without_image(kind):
    """A DICOM file of another kind than images."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    found = pydicom.Dataset()
    found.file_meta, found.SOPClassUID, found.SOPInstanceUID, found.PatientID = meta, kind, "1.2.3", "4711"
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


SR = without_image("1.2.840.10008.5.1.4.1.1.88.11")


def test_dicom_that_is_named_by_uid_is_read_and_keeps_its_whole_name(folder):
    root = folder({"1.2.840.1.1.3": STILL, "1.2.840.1.1.4": STILL, "plain.dcm": STILL, "1.2.840.1.9": b"no DICOM"})
    assert names(root) == ["1.2.840.1.1.3", "1.2.840.1.1.4", "plain"]
    (left,) = sources_in([root]).left_out
    assert left.file.name == "1.2.840.1.9"


@pytest.mark.parametrize("name", ["clip_masked_1_3.png", "mask.png", "no_masks.png", "a_mask_b.png", "mask_1.png"])
def test_mask_is_told_by_the_end_of_the_name_alone(folder, name):
    assert len(names(folder({name: FRAME}))) == 1


def test_masks_are_left_out_of_a_folder_and_of_what_a_shell_wrote_out_and_taken_where_they_are_named_alone(folder):
    root = folder({"x.png": FRAME, "x_mask.png": MASK, "y.tif": FRAME, "y_mask_1.png": MASK, "y_mask_2.png": MASK})
    for paths in ([root], sorted(root.iterdir())):
        found = sources_in(paths)
        assert [source.name for source in found.found] == ["x", "y"]
        assert sorted(item.file.name for item in found.left_out) == ["x_mask.png", "y_mask_1.png", "y_mask_2.png"]
        (told,) = found.told()
        assert told.startswith("left out as a mask: 3 files (")
    assert [source.name for source in sources_in([root / "x_mask.png"]).found] == ["x_mask"]


@pytest.mark.parametrize(
    "name",
    ["x-mask", "x_seg", "mask_x", "x_Segmentation", "x.label", "gt-x", "x_seg_2", "x_masks", "x mask", "label_x"],
)
def test_what_may_be_the_mask_of_a_frame_beside_it_is_neither_frame_nor_mask_and_is_told(folder, name):
    root = folder(
        {"x.png": FRAME, f"{name}.png": MASK, "z.png": FRAME, "z_mask.png": MASK, "a/x_seg.png": FRAME}
    )  # nothing beside the last
    for paths in ([root], [*sorted(root.glob("*.png")), root / "a"]):
        found = sources_in(paths)
        assert {source.path.stem for source in found.found} == {"x", "x_seg", "z"}
        (told,) = [line for line in found.told() if "by its name" in line]
        assert told == (
            f"left out as what may be the mask of a frame beside it, by its name: 1 file ({root / name}.png)"
        )
    assert {path.stem for path in live_frames._images(root, {})} == {"x", "z"}
    refused = {item.file: item for item in recognise(root).quarantined}
    assert refused[f"{name}.png"].reason == "by its name it might be a mask of x.png"
    assert [source.name for source in sources_in([root / f"{name}.png"]).found] == [name]


@pytest.mark.parametrize(
    ("frame", "mask"), [("image", "mask"), ("img_1", "mask_1"), ("x-frame", "x-seg"), ("Image2", "label2")]
)
def test_what_is_called_mask_where_a_frame_is_called_image_may_be_its_mask(folder, frame, mask):
    root = folder({f"{frame}.png": FRAME, f"{mask}.png": MASK, "image_9.png": FRAME, "a/mask.png": FRAME})
    assert sorted(names(root)) == sorted(["a/mask", frame, "image_9"])
    (told,) = sources_in([root]).told()
    assert told.startswith("left out as what may be the mask of a frame beside it, by its name: 1 file (")
    refused = {item.file: item for item in recognise(root).quarantined}
    assert refused[f"{mask}.png"].reason == f"by its name it might be a mask of {frame}.png"


def test_a_folder_that_differs_from_one_of_frames_in_a_word_for_masks_is_left_out_and_alone_it_is_remarked(folder):
    root = folder({f"train_{kind}/p1/1.png": FRAME for kind in ("images", "masks")})
    assert names(root) == ["train_images/p1/1"]
    assert sources_in([root]).told()[0].startswith("left out as a mask: 1 file (")
    for paths in ([root / "train_masks"], [folder({"nerve-masks/p1/1.png": FRAME}, "other")]):
        (told,) = sources_in(paths).told()
        assert told.startswith("taken for frames though their folder is called like one of masks: 1 file (")


@pytest.mark.parametrize("kind", ["SegmentationClass", "SegmentationObject", "gt", "brush", "ann_dir"])
def test_folders_of_masks_as_tools_for_drawing_and_training_call_them_are_left_out_and_counted(folder, kind):
    images = "img_dir" if kind == "ann_dir" else "JPEGImages"
    root = folder({f"{images}/1.png": FRAME, f"{kind}/1.png": MASK, f"{kind}/2.png": MASK})
    assert names(root) == [f"{images}/1"]
    assert sources_in([root]).told()[0].startswith("left out as a mask: 2 files (")
    assert [source.name for source in recognise(root).sources] == ["1"]


def test_what_is_called_like_a_mask_is_a_frame_where_no_frame_stands_beside_it_or_it_has_a_mask_of_its_own(folder):
    root = folder({"y_seg.png": FRAME, "x.png": FRAME, "x-mask.png": FRAME, "x-mask_mask.png": MASK, "gt.png": FRAME})
    assert sorted(names(root)) == ["gt", "x", "x-mask", "y_seg"]


def test_frames_from_a_folder_that_is_called_like_one_of_masks_are_remarked(folder):
    root = folder({"1.png": MASK, "2.png": MASK}, "Masks")
    for paths in ([root], sorted(root.iterdir())):
        (told,) = sources_in(paths).told()
        assert told.startswith("taken for frames though their folder is called like one of masks: 2 files (")


def test_a_frame_that_is_called_like_a_mask_is_known_by_the_mask_of_its_own(folder):
    root = folder({f"face_mask_{n}{end}.png": FRAME for n in (1, 2) for end in ("", "_mask")})
    assert names(root) == ["face_mask_1", "face_mask_2"]
    assert [source.name for source in recognise(root).sources] == ["face_mask_1", "face_mask_2"]


def test_what_other_systems_leave_behind_is_no_frame_and_is_counted(folder):
    root = folder({"1.png": FRAME, "._1.png": b"\0\5\x16\7", ".DS_Store": b"", "Thumbs.db": b"", "desktop.ini": b""})
    found = sources_in([root])
    assert [source.name for source in found.found] == ["1"]
    assert (len(found.left_out), found.unusable) == (4, [])


@pytest.mark.parametrize(
    "kind",
    ["Media Storage Directory Storage", "Basic Text SR Storage", "Grayscale Softcopy Presentation State Storage", "RT Plan Storage",
     "RT Structure Set Storage", "Encapsulated PDF Storage", "Key Object Selection Document Storage", "Raw Data Storage",
     "12-lead ECG Waveform Storage", "1.2.840.113619.4.7"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x", "x.dcm", "DICOMDIR"])
def test_dicom_without_an_image_is_left_out_by_every_command(folder, tiny, kind, name):
    uid = next((uid for uid, entry in UID_dictionary.items() if entry[0] == kind), kind)
    root = folder({"a.dcm": STILL, "a_mask.png": MASK, name: without_image(uid)})
    assert names(root) == ["a"]
    (left,) = recognise(root).quarantined
    assert (left.file, left.reason, left.foreign) == (name, "a DICOM file without an image", True)


def test_a_frame_whose_header_is_cut_is_still_told_to_be_broken(folder):
    root = folder({"a.dcm": STILL, "b.dcm": STILL[:300]})
    assert names(root) == ["a", "b"]


@pytest.mark.parametrize("name", ["loop.avi", "loop.AVI", "deep/loop.avi"])
def test_a_video_is_a_loop(folder, model, tmp_path, name):
    root = folder({"x.png": FRAME, name: video(tmp_path / "made.avi")})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    stem = Path(name).with_suffix("")
    found = [(tmp_path / "out" / stem).with_name(f"loop_{n}_mask.png") for n in range(1, 6)]
    assert all(path.is_file() for path in found)
    assert not (tmp_path / "out" / stem).with_name("loop_6_mask.png").exists()
    assert cv2.imread(str(found[0])).shape == (48, 80, 3)
    assert (tmp_path / "out" / stem).with_name("loop.gif").is_file()


@pytest.mark.parametrize(
    ("frames", "stems"),
    [(1, ["x"]), (9, ["x_1", "x_9"]), (10, ["x_01", "x_10"]), (300, ["x_001", "x_300"])],
)
def test_the_frames_of_a_loop_have_names_that_sort(frames, stems):
    made = Source(Path("x.dcm"), "x", frames).stems
    assert [*dict.fromkeys((made[0], made[-1]))] == stems
    assert made == sorted(made)


def test_a_broken_video_is_named_and_skipped_without_the_words_of_ffmpeg(folder, model, tmp_path, capfd):
    root = folder({"x.png": FRAME, "loop.mp4": b"\0\0\0\x20ftypisom" + b"\0" * 500})
    assert predict(root, "--out", tmp_path / "out", model=model) == 1
    told = capfd.readouterr()
    assert "loop.mp4: no video that can be read here" in told.err
    assert "moov" not in told.err
    assert "1 frame segmented" in told.out
    assert "1 file skipped" in told.out


def test_a_video_that_was_cut_off_is_told(folder, model, tmp_path, capsys):
    whole = video(tmp_path / "made.avi")
    root = folder({"loop.avi": whole[: len(whole) * 8 // 10]})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    told = r"1 file: ends after \d frames and \d.\d\d s, but states \d.\d\d s; copy it again \(.*loop.avi\)"
    assert re.search(told, capsys.readouterr().err)


@pytest.mark.parametrize("name", ["10:15.avi", "data:x.avi", "concat:a|b.avi", "loop_%03d.avi"])
def test_a_video_whose_name_ffmpeg_would_take_for_an_address_is_read(folder, monkeypatch, tmp_path, name):
    monkeypatch.chdir(folder({name: video(tmp_path / "made.avi")}))
    (found,) = sources_in([Path(name)]).found
    assert found.frames == 5


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile b.avi\n", "#EXTM3U\n#EXTINF:1,\nb.avi\n", "v=0\nc=IN IP4 127.0.0.1\n", "# free\n"],
)
def test_a_text_that_names_another_file_is_no_video(folder, model, tmp_path, capsys, text):
    root = folder({"a.avi": text.encode(), "sub/b.avi": b"", "b.avi": video(tmp_path / "made.avi")})
    assert predict(root / "a.avi", "--out", tmp_path / "out", model=model) == 1
    assert "a.avi: no video that can be read here" in capsys.readouterr().err


def test_a_frame_whose_predictions_cannot_be_written_is_told_and_the_others_go_on(folder, model, tmp_path, capsys):
    wide = encoded(np.zeros((1, 70_000), np.uint8) + np.arange(70_000, dtype=np.uint8))
    root, long = folder({"a.png": FRAME, "wide.tif": wide, "z.png": FRAME}), "n" * 245
    (root / f"{long}.png").write_bytes(FRAME)
    assert predict(root, "--out", tmp_path / "out", model=model) == 1
    told = capsys.readouterr()
    assert (
        "wide.tif: claims 70000x1 pixels, expected at most 67,108,864 in all and 65,535 on a side; export it"
        in told.err
    )
    assert f"{long}.png: the names of its predictions are too long; shorten its name" in told.err
    assert "2 frames segmented" in told.out
    assert list(read_csv(tmp_path / "out" / "predictions.csv")["file"]) == [str(root / "a.png"), str(root / "z.png")]
    assert not list((tmp_path / "out").glob(".part*"))


def test_a_frame_that_opencv_cannot_write_is_told_by_its_own_name(folder, model, tmp_path, capsys, monkeypatch):
    root = folder({"a.png": FRAME, "z.png": encoded(picture(size=(50, 80)), "PNG")})
    encode = cv2.imencode

    def failing(suffix, pixels):
        if len(pixels) == 50:
            raise cv2.error("no")
        return encode(suffix, pixels)

    monkeypatch.setattr(cv2, "imencode", failing)
    assert predict(root, "--out", tmp_path / "out", model=model) == 1
    told = capsys.readouterr()
    assert f"skipped: {root / 'z.png'}: 80x50 pixels cannot be written as .png" in told.err
    assert "1 frame segmented" in told.out


def test_a_frame_that_shows_nothing_is_segmented_with_a_remark(folder, model, tmp_path, capsys):
    white, black = (encoded(np.full((48, 80), level, np.uint8), "PNG") for level in (255, 0))
    root = folder({"a.png": FRAME, "b.png": black, "w.png": white, "a_target.png": MASK})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    lines = capsys.readouterr().err.splitlines()
    (told,) = [line for line in lines if line.startswith("2 files: ")]
    assert "of one level, or one that is mostly white" in told
    assert "b.png, " in told
    (told,) = [line for line in lines if line.startswith("1 file: has at most three grey levels, as a mask; ")]
    assert "a_target.png" in told


def test_a_name_that_is_a_command_to_a_terminal_is_escaped_in_the_table(folder, model, tmp_path):
    root = folder({"a\x1b[31m.png": FRAME})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    table = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert rb"a\x1b[31m.png" in table
    assert b"\x1b" not in table


def test_a_file_that_goes_while_others_are_segmented_ends_nothing(folder, model, tmp_path, monkeypatch):
    root = folder({"a.png": FRAME, "b.png": FRAME})
    read = prediction_files.read_frames

    def taken_away(path, grey_range):
        frames = read(path, grey_range)
        path.unlink()
        return frames

    monkeypatch.setattr(prediction_files, "read_frames", taken_away)
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    assert len(read_csv(tmp_path / "out" / "predictions.csv")) == 2


def test_training_leaves_videos_out_and_says_how_to_use_them(folder, tmp_path):
    root = folder({"x.png": FRAME, "x_mask.png": MASK, "loop.avi": video(tmp_path / "made.avi")})
    found = {item.file: item for item in recognise(root).quarantined}
    assert found["loop.avi"].foreign
    assert "add masks called as `nerveseg predict` calls them" in found["loop.avi"].remedy


@pytest.mark.parametrize(
    ("name", "told"),
    [("none", "none was not found"), ("none.dcm", "none.dcm was not found"), ("*.dcm", r"\*.dcm matches no file"),
     ("x.png/y", "y was not found"), ("n" * 300, "was not found")],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_one_sentence(folder, name, told):
    root = folder({"x.png": FRAME})
    with pytest.raises(DatasetError, match=told):
        sources_in([root / "x.png", root / name])


def test_a_folder_without_a_frame_says_what_is_there_instead(folder):
    root = folder({"note.txt": b"", "x_mask.png": MASK, ".hidden": b""})
    with pytest.raises(
        DatasetError, match=r"no frame in .*set; found .*no image by its name \(.txt\).* \(1\).*name files or"
    ):
        sources_in([root])


def test_a_file_that_is_named_and_is_no_image_fails_the_command_where_one_in_a_folder_does_not(
    folder, model, tmp_path, capsys
):
    root = folder({"x.png": FRAME, "note.txt": b""})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    assert "left out as no image by its name (.txt)" in capsys.readouterr().out
    assert predict(root / "x.png", root / "note.txt", "--out", tmp_path / "out", model=model) == 1
    assert "note.txt: no image by its name (.txt)" in capsys.readouterr().err


def test_folders_below_are_gone_through_and_the_predictions_lie_in_folders_of_their_names(folder, model, tmp_path):
    root = folder({"p1/1.png": FRAME, "p2/1.png": FRAME, "p2/deep/1.dcm": LOOP})
    assert predict(root, "--out", tmp_path / "out", model=model) == 0
    found = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*_mask.png")}
    assert found == {"p1/1_mask.png", "p2/1_mask.png", "p2/deep/1_1_mask.png", "p2/deep/1_2_mask.png"}


@pytest.mark.parametrize(("kinds", "told"), [(["real"], True), (["simulated"], False), (["simulated", "real"], True)])
def test_a_model_of_simulated_frames_alone_says_so_unless_all_frames_are_simulated(
    folder, tmp_path, capsys, kinds, told
):
    root = folder({f"{kind}.tif": FRAME for kind in kinds})
    if "simulated" in kinds:
        write_simulated(root / "simulated.tif", picture())
    threshold_model = write_threshold_model(tmp_path / "model", simulated_only=True)
    assert predict(root, "--out", tmp_path / "out", model=threshold_model) == 0
    assert (SIMULATED_ONLY in capsys.readouterr().err.splitlines()) == told


def test_a_file_that_is_gone_is_not_called_simulated(tmp_path):
    assert not Sources([Source(tmp_path / "gone.tif", "gone", 1)], [], []).simulated


def test_a_model_of_real_frames_has_no_remark_on_simulated_ones(folder, model, tmp_path, capsys):
    assert predict(folder({"x.png": FRAME}), "--out", tmp_path / "out", model=model) == 0
    assert "simulated" not in capsys.readouterr().err


def test_the_last_line_counts_the_frames_with_a_nerve_and_those_without_also_of_files_that_were_finished_before(
    folder, tmp_path, capsys, monkeypatch
):
    dark, bright = np.full((48, 80), 20, np.uint8), np.full((48, 80), 20, np.uint8)
    dark[0, 0], bright[10:20, 20:40] = 30, 200
    root = folder({"a.png": encoded(bright, "PNG"), "b.dcm": dicom(np.stack([dark, bright])), "c.png": b""})
    arguments = [root, "--out", tmp_path / "out"]
    threshold_model = write_threshold_model(tmp_path / "model")
    with monkeypatch.context() as stopped:
        stopping_after(stopped, 1)
        with pytest.raises(StoppedError):
            main(["predict", *map(str, arguments), "--model", str(threshold_model)])
    assert predict(*arguments, model=threshold_model) == 1
    told = capsys.readouterr().out
    assert told == f"3 frames segmented into {tmp_path / 'out'}: 2 with a nerve, 1 without, 1 file skipped\n"


COLLISIONS = {
    "a loop and a still that is called like its first frame": {"a.dcm": LOOP, "a_1.png": FRAME},
    "a loop and a still, in another case": {"a.dcm": LOOP, "A_2.png": FRAME},
    "two suffixes": {"a.png": FRAME, "a.tif": FRAME},
    "two cases": {"a.png": FRAME, "A.png": FRAME},
    "two spellings of an accent": {"\xe9.png": FRAME, "e\u0301.png": FRAME},
    "a UID and a file": {"1.2.3": STILL, "1.2.3.png": FRAME},
    "folders in two cases": {"p/a.png": FRAME, "P/a.png": FRAME},
    "a folder of images and one above": {"images/a.png": FRAME, "images/a.jpg": FRAME},
}


@pytest.mark.parametrize("kind", COLLISIONS)
def test_two_files_whose_predictions_would_be_one_file_are_refused_before_anything_is_written(folder, tmp_path, kind):
    root = folder(COLLISIONS[kind])
    assert "would both be written to" in refusal(root, "--out", tmp_path / "out", model=tmp_path / "none")
    assert not (tmp_path / "out").exists()


def test_a_loop_beside_a_still_whose_name_it_does_not_use_is_fine(folder):
    assert names(folder({"a.dcm": LOOP, "a_3.png": FRAME})) == ["a", "a_3"]


def digests(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_nothing_is_written_where_the_pipeline_would_delete_it(folder, tmp_path, monkeypatch):
    root = folder({"x.png": FRAME})
    (tmp_path / "dvc.yaml").write_text("stages: {predict: {outs: [data/predictions]}}")
    monkeypatch.chdir(tmp_path)
    told = refusal(root, "--out", "data/predictions/mine", model=tmp_path / "none")
    assert "the pipeline replaces data/predictions with all files in it; choose another folder for --out" in told
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "taken",
    ["x_mask.png", "x_overlay.png", "cine.gif", "cine_2_mask.png", "predictions.csv", "p/y_mask.png", "submission.csv"],
)
def test_a_file_of_the_user_s_is_never_replaced_and_no_network_runs(folder, tmp_path, taken):
    kaggle = taken == "submission.csv"
    files = {"1.png": FRAME} if kaggle else {"x.png": FRAME, "cine.dcm": LOOP, "p/y.png": FRAME}
    root = folder(files | {taken: MASK})
    before = digests(root)
    told = refusal(root, "--out", root, *["--kaggle"] * kaggle, model=tmp_path / "none")
    assert f"{root / taken} is there already and is not as `nerveseg predict` left it" in told
    assert digests(root) == before


@pytest.mark.parametrize("how", ["edited", "link", "link to nothing", "folder"])
def test_a_prediction_that_somebody_changed_is_theirs(folder, model, tmp_path, how):
    root, out = folder({"x.png": FRAME}), tmp_path / "out"
    assert predict(root, "--out", out, model=model) == 0
    mask = out / "x_mask.png"
    if how == "edited":
        mask.write_bytes(MASK)
    else:
        mask.unlink()
    if how == "folder":
        mask.mkdir()
    elif how == "link":
        mask.symlink_to(root / "x.png")
    elif how == "link to nothing":
        mask.symlink_to(root / "none.png")
    assert "x_mask.png is there already" in refusal(root, "--out", out, model=model)
    assert how != "edited" or mask.read_bytes() == MASK


def test_predict_into_the_frames_folder_may_be_repeated_and_its_files_are_neither_frames_nor_annotations(
    folder, model, capsys
):
    root = folder({"x.png": FRAME, "cine.dcm": LOOP})
    assert predict(root, "--out", root, model=model) == 0
    first = digests(root)
    for paths in ([root], sorted(path for path in root.iterdir() if not path.name.startswith("."))):
        assert predict(*paths, "--out", root, model=model) == 0
        assert "left out as written by nerveseg predict: 8 files" in capsys.readouterr().out
        assert digests(root).keys() == first.keys()
    layout = recognise(root)
    assert layout.sources == []
    reasons = {item.file: item.reason for item in layout.quarantined}
    assert reasons["x_mask.png"] == "written by nerveseg predict"
    assert len([item for item in layout.quarantined if not item.foreign]) == 2, "the frames, which have no masks"


def test_predictions_that_were_moved_or_lie_in_a_folder_of_frames_are_still_known(folder, model, tmp_path):
    root = folder({"p/x.png": FRAME})
    assert predict(root, "--out", root / "predicted", model=model) == 0
    assert names(root) == ["p/x"]
    shutil.move(root / "predicted", root / "p" / "elsewhere")
    assert names(root) == ["p/x"]
    assert names(root / "p") == ["x"]
    with pytest.raises(DatasetError, match=r"written by nerveseg predict \(2\)"):
        sources_in([root / "p" / "elsewhere" / "p"])


def test_another_model_replaces_the_predictions_of_the_first(folder, model, tmp_path):
    root, out = folder({"x.png": FRAME}), tmp_path / "out"
    assert predict(root, "--out", out, model=model) == 0
    other = tmp_path / "other"
    shutil.copytree(model, other)
    (other / "note.txt").touch()
    record = (out / RECORD).read_bytes()
    assert predict(root, "--out", out, model=other) == 0
    assert (out / RECORD).read_bytes() == record, "equal files, an equal record"


def test_predictions_of_another_frame_of_the_same_name_are_not_replaced_while_it_exists(folder, model, tmp_path):
    one, other, out = folder({"x.png": FRAME}, "one"), folder({"x.png": FRAME}, "other"), tmp_path / "out"
    assert predict(one, "--out", out, model=model) == 0
    assert predict(other.parent / "one" / "." / "x.png", "--out", out, model=model) == 0, "the same frame again"
    told = refusal(other, "--out", out, model=model)
    assert f"{out}/x_mask.png shows the prediction of {one}/x.png, which that of {other}/x.png would replace" in told
    shutil.rmtree(one)
    assert predict(other, "--out", out, model=model) == 0, "the frames were moved"


def test_a_file_that_was_written_by_a_run_that_was_killed_may_be_replaced(folder, model, tmp_path):
    root, out = folder({"x.png": FRAME, "y.png": FRAME}), tmp_path / "out"
    assert predict(root, "--out", out, model=model) == 0
    (out / RECORD).write_text((out / RECORD).read_text() + '{"name": "x_mask.png", "sha')
    (out / "predictions.csv").unlink()
    assert predict(root, "--out", out, model=model) == 0


def test_a_submission_names_each_image_once(folder, tmp_path):
    twice = folder({"a/1.png": FRAME, "b/01.png": FRAME})
    assert "have one number" in refusal(twice, "--out", tmp_path / "o", "--kaggle", model=tmp_path / "none")
    loop = folder({"1.dcm": LOOP}, "loop")
    assert "names images by their number" in refusal(loop, "--out", tmp_path / "o", "--kaggle", model="none")


def test_links_into_a_cache_are_frames_and_links_out_of_the_folder_are_told(folder, tmp_path, model, capsys):
    root = folder({"x.png": FRAME})
    for place in ("cache/files/md5/0a", "old/0a", "data/.git/annex/objects/Xx/9z/MD5E-s1--0/"):
        cached = tmp_path / place / ("b" * 30)
        cached.parent.mkdir(parents=True)
        cached.write_bytes(FRAME)
        (root / f"{place.partition('/')[0]}.png").symlink_to(cached)
    (tmp_path / "secret.png").write_bytes(FRAME)
    (root / "out.png").symlink_to(tmp_path / "secret.png")
    assert names(root) == ["cache", "data", "old", "x"]
    assert predict(root, "--out", tmp_path / "o", model=model) == 1
    assert "out.png: a link that leaves the folder; put a copy of the file there" in capsys.readouterr().err
    assert [source.name for source in sources_in([root / "out.png"]).found] == ["out"], "named by itself"


@pytest.mark.parametrize("name", [b"\xff_1.tif", b"\xff.txt", b".\xff", b"p\xff/x.png"])
def test_a_name_that_is_no_utf_8_is_told_whatever_the_file_is_since_dvc_stops_at_it(tmp_path, name):
    place = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - the name is no text
    os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
    os.close(os.open(place, os.O_CREAT))
    (found,) = recognise(tmp_path).quarantined
    assert not found.foreign
    assert found.file == name.decode(errors="backslashreplace")
    assert (found.reason, found.remedy[:24]) == ("its name is no text in UTF-8", "rename it: DVC stops at ")


def test_a_second_predict_into_one_folder_says_who_has_it(folder, model, tmp_path):
    root, out = folder({"x.png": FRAME}), tmp_path / "out"
    line = [sys.executable, "-c", HOLD, str(out)]
    with started(
        line, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert f"another process (PID {other.pid}) is writing {out}; end it or wait" in refusal(
            root, "--out", out, model=model
        )
    assert predict(root, "--out", out, model=model) == 0


def test_watch_takes_the_frames_that_check_takes(folder, model, tmp_path):
    root = folder(
        {"x.png": FRAME, "x_mask.png": MASK, "._x.png": b"", "clip_masked.png": FRAME, "1.2.3": STILL, "SR": SR}
    )
    assert predict(root / "x.png", "--out", root / "p", model=model) == 0
    shutil.copytree(root / "p", root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("x_mask.png"))
    assert [path.name for path in live_frames._images(root, {})] == ["1.2.3", "clip_masked.png", "x.png"]


def test_a_file_is_taken_once_however_its_path_is_spelt(folder, monkeypatch):
    root = folder({"x.png": FRAME, "sub/y.png": FRAME})
    monkeypatch.chdir(root)
    for paths in (["x.png", "./x.png", "sub/../x.png", root / "x.png"], ["sub", "x.png", "./sub/../sub"]):
        found = sources_in([Path(path) for path in paths]).found
        assert len(found) == len({source.path.resolve() for source in found})


@pytest.mark.parametrize("option", [[""], ["x.png", "--out", ""], ["x.png", "--model", ""]])
def test_an_empty_path_of_a_variable_that_is_not_set_is_refused_and_not_this_folder(option, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["predict", "--out", str(tmp_path / "o"), *option])
    assert end.value.code == 2
    assert "the path is empty; name a file or a folder" in capsys.readouterr().err
