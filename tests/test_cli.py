import json
import os
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from command_line import interrupt, nerveseg, stopping_after
from drawn_frames import kaggle_frames, simulated_frame, write_pair
from drawn_models import segmenter
from nerveseg.files.user_folder import RECORD
from nerveseg.invocation import Typed
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.unet.segmenter import Segmenter
from odd_files import dicom, picture
from processes import attempt
from run_lengths import decode_rle


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    segmenter().save(folder)
    return folder


@pytest.fixture(autouse=True)
def _at_the_root(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_check_prints_what_a_good_folder_holds_and_succeeds(kaggle_folder, capsys):
    assert nerveseg("check", kaggle_folder(subjects=[1, 2, 3])) == 0
    out = capsys.readouterr().out
    assert out.startswith("Kaggle layout, 12 pairs, 3 subjects\n")
    assert "50% of the frames show a nerve" in out
    assert "size: 80x48 (12)" in out
    assert "\n0 files cannot be used\n" in out


def test_check_names_each_bad_file_with_its_remedy_and_fails(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "1_1.tif").write_bytes(b"")
    (folder / "2_1_mask.tif").unlink()
    assert nerveseg("check", folder) == 1
    out = capsys.readouterr().out
    assert "3 files cannot be used" in out
    assert "  2_1.tif: its mask is missing; add 2_1_mask (all zero where no nerve is seen)" in out
    assert "  1_1.tif: the file is empty; copy it again from its source" in out


def test_check_names_files_of_other_kinds_and_does_not_fail_for_them(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2, 3])
    (folder / "clip.webp").touch()
    assert nerveseg("check", folder) == 0
    out = capsys.readouterr().out
    assert "1 file left out as neither frame nor mask\n  clip.webp: no image by its name (.webp), expected TIFF" in out


def test_check_ends_with_what_preprocess_would_do(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2, 3, 4, 5])

    def verdict():
        code = nerveseg("check", folder)
        line = capsys.readouterr().out.splitlines()[-1]
        assert code == line.startswith("preprocess would stop")
        return line

    assert (
        verdict()
        == "preprocess would use train 8 frames of 2 subjects, val 4 frames of 1 subject, test 8 frames of 2 subjects"
    )
    for path in folder.glob("[12]_?.tif"):
        path.write_bytes(b"")
    assert verdict().startswith(
        f"preprocess would stop: {folder}: 16 images (40%) cannot be used, more than data.max_quarantined"
    )
    assert "nerveseg check" not in verdict()
    for path in [path for path in folder.iterdir() if path.name[0] not in "34"]:
        path.unlink()
    assert "3 without a frame in common are needed, one each for train, val and test" in verdict()


def test_check_tells_a_machine_the_same_as_json(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "1_1.tif").write_bytes(b"")
    (folder / "note.txt").touch()
    assert nerveseg("check", folder, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["layout"], found["frames"], found["frames_with_nerve"]) == ("Kaggle", 7, 4)
    assert found["prevalence"] == pytest.approx(4 / 7)
    assert 0.01 < found["nerve_area"] < 0.1
    assert found["sizes"] == {"80x48": 7}
    assert found["subjects"][0] == {"subject": "1", "frames": 3, "with_nerve": 2, "prevalence": pytest.approx(2 / 3)}
    assert [item["file"] for item in found["quarantined"]] == ["1_1.tif", "1_1_mask.tif"]
    assert [item["file"] for item in found["foreign"]] == ["note.txt"]
    assert found["verdict"].startswith("preprocess would stop: ")


def test_check_fails_where_one_frame_stands_under_two_subjects(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2, 3, 4])
    (folder / "2_1.tif").write_bytes((folder / "1_1.tif").read_bytes())
    assert nerveseg("check", folder) == 1
    told = capsys.readouterr().out
    assert "1 frame under more than one subject" in told
    assert "give both one subject in subjects.csv" in told
    (folder / "subjects.csv").write_text(
        "frame,subject\n" + "".join(f"{path.stem},{'aacd'[int(path.stem[0]) - 1]}\n" for path in folder.glob("?_?.tif"))
    )
    assert nerveseg("check", folder) == 0


def test_check_of_a_folder_without_a_frame_fails(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert nerveseg("check", tmp_path / "empty") == 1
    out = capsys.readouterr().out
    assert out.startswith("no known layout, 0 pairs, 0 subjects\n")
    assert "no frame; expected S_N.tif and S_N_mask.tif" in out


@pytest.mark.parametrize("files", [{}, {"1_1.tif": b"", "1_1_mask.tif": b""}])
def test_check_of_a_folder_without_a_frame_is_json_too(tmp_path, capsys, files):
    (tmp_path / "none").mkdir()
    for name, content in files.items():
        (tmp_path / "none" / name).write_bytes(content)
    assert nerveseg("check", tmp_path / "none", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["prevalence"], found["nerve_area"]) == (0, None, None)
    assert len(found["quarantined"]) == len(files)


def test_check_of_a_missing_folder_is_one_sentence(tmp_path):
    assert str(nerveseg("check", tmp_path / "none")).startswith("error: ")


def test_predict_writes_a_mask_at_the_size_of_each_frame_and_a_table(kaggle_folder, model, tmp_path):
    folder, out = kaggle_folder(subjects=[1], size=(50, 70)), tmp_path / "out"
    assert nerveseg("predict", folder, "--out", out, "--model", model) == 0
    table = pd.read_csv(out / "predictions.csv", keep_default_na=False)
    assert [path.rsplit("/", 1)[-1] for path in table["file"]] == [f"1_{number}.tif" for number in range(1, 5)]
    for row in table.itertuples():
        mask = cv2.imread(str(out / f"1_{row.Index + 1}_mask.png"), cv2.IMREAD_GRAYSCALE)
        assert mask.shape == (50, 70)
        assert np.array_equal(decode_rle(str(row.pixels), (50, 70)), mask > 0)
        assert (mask > 0).sum() == row.area


def test_predict_reads_all_files_on_one_scale_and_says_which(model, tmp_path, capsys):
    folder, frame = tmp_path / "frames", picture().astype(np.uint16)
    folder.mkdir()
    for name, factor in (("bright", 16), ("dark", 2)):
        cv2.imwrite(str(folder / f"{name}.png"), frame * factor)
    assert nerveseg("predict", folder, "--out", tmp_path / "out", "--model", model) == 0
    assert "2 files: whole numbers, taken as 12 bits: black at 0, white at 4095" in "".join(capsys.readouterr())
    given = ("--grey-range", "0", "1000")
    assert nerveseg("predict", folder, "--out", tmp_path / "other", "--model", model, *given) == 0
    assert "white at 1000, and what lies outside is cut" in "".join(capsys.readouterr())
    given = ("--grey-range", "5", "3")
    code = nerveseg("predict", folder, "--out", tmp_path / "other", "--model", model, *given)
    assert "give the level that is black, then a greater one" in f"{code}{capsys.readouterr()}"


@pytest.mark.slow
def test_predict_takes_an_ensemble_which_says_the_mean_of_its_members(kaggle_folder, model, tmp_path):
    (tmp_path / "ensemble").mkdir()
    Ensemble({"one": Segmenter.load(model), "other": Segmenter.load(model)}).save(tmp_path / "ensemble")
    folder = kaggle_folder(subjects=[1])
    tables = []
    for name in ("model", "ensemble"):
        assert nerveseg("predict", folder, "--out", tmp_path / f"of-{name}", "--model", tmp_path / name) == 0
        tables.append(pd.read_csv(tmp_path / f"of-{name}" / "predictions.csv"))
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.slow
def test_predict_takes_the_config_file_of_a_model_for_its_folder(kaggle_folder, model, tmp_path):
    (tmp_path / "ensemble").mkdir()
    Ensemble({"one": Segmenter.load(model)}).save(tmp_path / "ensemble")
    folder = kaggle_folder(subjects=[1])
    for name in ("model/segmenter.json", "ensemble/ensemble.json"):
        config, out = tmp_path / name, tmp_path / "out"
        assert nerveseg("predict", folder, "--out", out, "--model", config.parent) == 0
        table = (out / "predictions.csv").read_bytes()
        shutil.rmtree(out)
        assert nerveseg("predict", folder, "--out", out, "--model", config) == 0
        assert (out / "predictions.csv").read_bytes() == table


def test_predict_takes_no_other_model_for_a_config_file_that_is_not_there(kaggle_folder, model, tmp_path):
    code = nerveseg(
        "predict", kaggle_folder(subjects=[1]), "--out", tmp_path / "out", "--model", model / "ensemble.json"
    )
    assert f"{model / 'ensemble.json'} was not found; name the folder of a trained model" in str(code)


def test_predict_skips_a_bad_file_does_the_others_and_says_so_in_its_exit_code(kaggle_folder, model, tmp_path, capsys):
    folder, out = kaggle_folder(subjects=[1]), tmp_path / "out"
    (folder / "1_2.tif").write_bytes(b"broken")
    assert nerveseg("predict", folder, "--out", out, "--model", model) == 1
    assert len(pd.read_csv(out / "predictions.csv")) == 3
    assert "skipped: " in capsys.readouterr().err


def test_predict_takes_a_file_once_that_is_named_twice(kaggle_folder, model, tmp_path):
    folder, out = kaggle_folder(subjects=[1]), tmp_path / "out"
    assert nerveseg("predict", folder, folder / "1_1.tif", "--out", out, "--model", model) == 0
    assert len(pd.read_csv(out / "predictions.csv")) == 4


def test_predict_without_a_model_says_what_to_run(kaggle_folder, tmp_path):
    code = nerveseg("predict", kaggle_folder(subjects=[1]), "--out", tmp_path, "--model", tmp_path / "none")
    assert "run `dvc repro`" in str(code)


def loop(folder, name="cine", frames=3, **attributes):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.dcm"
    path.write_bytes(dicom(np.stack([picture(number) for number in range(frames)]), **attributes))
    return path


def test_predict_gives_each_frame_an_overlay_that_differs_from_it_along_the_outline_alone(
    kaggle_folder, model, tmp_path
):
    folder, out = kaggle_folder(subjects=[1]), tmp_path / "out"
    nerveseg("predict", folder, "--out", out, "--model", model)
    drawn = 0
    for path in sorted(folder.glob("1_?.tif")):
        frame = cv2.imread(str(path))
        shown, mask = (cv2.imread(str(out / f"{path.stem}_{kind}.png")) for kind in ("overlay", "mask"))
        changed = (shown != frame).any(axis=2)
        drawn += changed.sum()
        inside = mask[..., 0] > 0
        assert not changed[~ndimage.binary_dilation(inside, iterations=2)].any()
        assert not changed[ndimage.binary_erosion(inside, iterations=2)].any()
    assert drawn > 0


def test_predict_says_where_the_nerve_is_and_how_far_to_trust_it(kaggle_folder, model, tmp_path):
    nerveseg("predict", kaggle_folder(subjects=[1]), "--out", tmp_path / "out", "--model", model)
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert table["presence"].between(0.0, 1.0).all()
    assert table["confidence"].between(0.0, 1.0).all()
    assert table["area"].gt(0).any()
    for row in table.itertuples():
        mask = cv2.imread(str(tmp_path / "out" / f"1_{row.Index + 1}_mask.png"), cv2.IMREAD_GRAYSCALE) > 0
        expected = ndimage.center_of_mass(mask) if mask.any() else (np.nan, np.nan)
        assert (row.centroid_row, row.centroid_column) == pytest.approx(expected, abs=0.005, nan_ok=True)


def test_predict_numbers_the_frames_of_a_loop_and_makes_a_film_of_it_at_its_speed(model, tmp_path):
    path, out = loop(tmp_path / "clinic", FrameTime="80"), tmp_path / "out"
    assert nerveseg("predict", path, "--out", out, "--model", model) == 0
    assert pd.read_csv(out / "predictions.csv")["frame"].tolist() == [1, 2, 3]
    names = {f"cine_{number}_{kind}.png" for number in (1, 2, 3) for kind in ("mask", "overlay")}
    assert {each.name for each in out.iterdir()} == names | {"cine.gif", "predictions.csv", RECORD}
    film = Image.open(out / "cine.gif")
    assert film.n_frames == 3
    for number in range(3):
        film.seek(number)
        assert film.info["duration"] == 80
        overlay = cv2.cvtColor(cv2.imread(str(out / f"cine_{number + 1}_overlay.png")), cv2.COLOR_BGR2RGB)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - overlay).max() <= 1


def test_predict_finds_loops_without_a_suffix_in_a_folder(model, tmp_path):
    loop(tmp_path / "clinic").rename(tmp_path / "clinic" / "IM_0001")
    (tmp_path / "clinic" / "README").write_text("no DICOM")
    assert nerveseg("predict", tmp_path / "clinic", "--out", tmp_path / "out", "--model", model) == 0
    assert len(pd.read_csv(tmp_path / "out" / "predictions.csv")) == 3


def test_predict_writes_a_submission_in_the_format_of_the_challenge_sorted_by_image(kaggle_folder, model, tmp_path):
    folder, test = kaggle_folder(subjects=[1]), tmp_path / "test"
    test.mkdir()
    for source, number in zip(sorted(folder.glob("1_?.tif")), ("10", "9", "2", "1"), strict=True):
        shutil.copy(source, test / f"{number}.tif")
    named = [test / f"{number}.tif" for number in ("9", "10", "1", "2")]
    assert nerveseg("predict", *named, "--out", tmp_path / "out", "--model", model, "--kaggle") == 0
    lines = (tmp_path / "out" / "submission.csv").read_text().splitlines()
    assert lines[0] == "img,pixels"
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "9", "10"]
    for line in lines[1:]:
        number, code = line.split(",")
        mask = cv2.imread(str(tmp_path / "out" / f"{number}_mask.png"), cv2.IMREAD_GRAYSCALE) > 0
        assert np.array_equal(decode_rle(code, mask.shape), mask)


def test_predict_makes_no_submission_of_images_without_a_number(kaggle_folder, model, tmp_path):
    code = nerveseg("predict", kaggle_folder(subjects=[1]), "--out", tmp_path / "out", "--model", model, "--kaggle")
    assert "1_1.tif: a submission to Kaggle names images by their number" in str(code)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_an_interrupted_predict_goes_on_where_it_stopped_and_ends_as_one_that_was_not(
    kaggle_folder, model, tmp_path, monkeypatch
):
    folder = kaggle_folder(subjects=[1, 2])
    assert nerveseg("predict", folder, "--out", tmp_path / "whole", "--model", model) == 0
    interrupt(monkeypatch, "predict", folder, "--out", tmp_path / "out", "--model", model)
    journal = tmp_path / "out" / ".predictions.jsonl"
    journal.write_text(journal.read_text() + '{"file": "cut o')  # as by a crash while it was written
    assert not (tmp_path / "out" / "predictions.csv").exists()
    with monkeypatch.context() as patch:
        seen = stopping_after(patch, None)
        assert nerveseg("predict", folder, "--out", tmp_path / "out", "--model", model) == 0
    assert len(seen) == 5
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == files


@pytest.mark.slow
@pytest.mark.parametrize("change", ["model", "file", "config for its folder"])
def test_an_interrupted_predict_does_again_what_changed_since(kaggle_folder, model, tmp_path, monkeypatch, change):
    folder = kaggle_folder(subjects=[1])
    interrupt(monkeypatch, "predict", folder, "--out", tmp_path / "out", "--model", model)
    if change == "model":
        (model / "note.txt").write_text("another one")
    elif change == "file":
        (folder / "1_2.tif").write_bytes((folder / "1_3.tif").read_bytes() + b"\0")
    with monkeypatch.context() as patch:
        seen = stopping_after(patch, None)
        named = model / "segmenter.json" if change == "config for its folder" else model
        assert nerveseg("predict", folder, "--out", tmp_path / "out", "--model", named) == 0
    assert len(seen) == {"model": 4, "file": 2, "config for its folder": 1}[change]


def test_no_command_prints_the_help_and_version_the_version(capsys):
    assert nerveseg() == 0
    assert "COMMAND" in capsys.readouterr().out
    assert nerveseg("--version") == 0
    assert capsys.readouterr().out.startswith("nerveseg ")


def test_sync_outside_of_a_repository_says_that_it_needs_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert nerveseg("sync").startswith("error: params.yaml was not found; run from the repository's root")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("predct", "there is no command `predct`; did you mean `predict`?"),
        ("chek", "did you mean `check`?"),
        ("CHECK", "did you mean `check`?"),
        ("frobnicate", "there is no command `frobnicate`; the commands are check, predict, "),
    ],
)
def test_a_wrong_command_gets_a_suggestion(capsys, typed, told):
    assert nerveseg(typed) == 2
    assert told in capsys.readouterr().err


def test_commands_run_in_a_folder_of_the_repository_and_take_paths_from_there(
    kaggle_folder, model, tmp_path, monkeypatch, capsys
):
    frames = kaggle_folder(subjects=[1, 2, 3])
    (tmp_path / "dvc.yaml").touch()
    shutil.copytree(model, tmp_path / "models" / "exported")
    below = tmp_path / "notes" / "today"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert nerveseg("check", Path("..", "..", frames.relative_to(tmp_path))) == 0
    monkeypatch.chdir(below)
    assert nerveseg("predict", frames / "1_1.tif", "--out", "here") == 0  # by the model at the root
    assert (below / "here" / "1_1_mask.png").exists()
    assert "notes/today/here" in capsys.readouterr().out
    monkeypatch.chdir(frames)
    assert nerveseg("predict", "1_1.tif", "--out", below / "there", "--model", Path("..", model.name)) == 0
    assert (below / "there" / "1_1_mask.png").exists()


def test_a_command_outside_of_a_repository_says_that_it_needs_one(kaggle_folder, tmp_path, monkeypatch):
    (tmp_path / "params.yaml").unlink()
    assert "params.yaml was not found" in nerveseg("check", kaggle_folder(subjects=[1, 2, 3]))


def test_check_of_many_subjects_and_sizes_tells_the_most_common_and_counts_the_others(tmp_path, capsys):
    folder = tmp_path / "many"
    for subject in range(1, 31):
        kaggle_frames(folder, [subject], 1 + subject % 3, (48, 80 + subject))
    assert nerveseg("check", folder) == 0
    out = capsys.readouterr().out
    assert "and 10 subjects more; frames of a subject: 1 to 3, median 2" in out
    assert "30 sizes: 82x48 (3)" in out
    assert "and 25 more\n" in out
    assert len(out.splitlines()) < 35


def test_check_lists_no_subject_where_none_is_known(tmp_path, capsys):
    for number in range(30):
        write_pair(tmp_path / "set", f"frame{number}", *simulated_frame((48, 80), nerve=True, seed=number))
    assert nerveseg("check", tmp_path / "set") == 0
    out = capsys.readouterr().out
    assert "30 frames without a known subject" in out
    assert len(out.splitlines()) < 8


def test_one_is_no_plural(tmp_path, capsys):
    write_pair(tmp_path / "set", "1_1", *simulated_frame((48, 80), nerve=True, seed=1))
    (tmp_path / "set" / "1_2.tif").touch()
    assert nerveseg("check", tmp_path / "set") == 1
    out = capsys.readouterr().out
    assert out.startswith("Kaggle layout, 1 pair, 1 subject\n")
    assert "1 file cannot be used" in out


def test_a_command_in_a_folder_that_was_deleted_says_so(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert nerveseg("check", "frames") == "error: the current folder was deleted; change to another one and try again"


@pytest.mark.parametrize("limit", ["nan", "1e400", "0", "-1", "large"])
def test_serve_takes_no_limit_that_no_request_can_have(capsys, limit):
    assert nerveseg("serve", "--model", "models:/nerveseg/1", f"--limit={limit}") == 2
    assert f"argument --limit: {limit} is no size in MB" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["~/clinic", "$HOME/clinic", "${HOME}/clinic"])
@pytest.mark.parametrize("command", [["check"], ["predict", "--out", "masks"], ["predict", ".", "--out"], ["watch"]])
def test_a_path_that_no_shell_expanded_is_told_with_the_one_that_is_meant(
    tmp_path, monkeypatch, capsys, command, typed
):
    monkeypatch.setenv("HOME", "/home/ada")
    assert nerveseg(*command, typed) == 2
    assert f"~ and $ in {typed} were not expanded; write /home/ada/clinic" in capsys.readouterr().err
    (tmp_path / typed).mkdir(parents=True)
    assert Typed().path(typed) == Path(typed)


@pytest.mark.parametrize(
    ("typed", "source"),
    [
        ("0", 0),
        ("12", Path("12")),
        ("./12", Path("12")),
        ("./0", Path("0")),
        ("20261130", Path("20261130")),
        ("100", Path("100")),
        ("9" * 5000, Path("9" * 5000)),
        ("²", Path("²")),
    ],
)
def test_watch_takes_a_small_number_for_a_device_unless_a_file_is_called_so(tmp_path, monkeypatch, typed, source):
    (tmp_path / "12").touch()
    monkeypatch.chdir(tmp_path)
    assert Typed().source(typed) == source


def test_watch_says_that_it_reads_no_address(capsys):
    assert nerveseg("watch", "rtsp://ada:secret@127.0.0.1/x") == 2
    assert "rtsp://***@127.0.0.1/x is an address, which is not read; name a video, a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "watch loop.mp4"])
@pytest.mark.parametrize("port", ["99999", "0", "-1", "http", "", "1e3", "²"])
def test_a_port_that_there_is_not_is_refused_with_the_range(capsys, command, port):
    assert nerveseg(*command.split(), f"--port={port}") == 2
    assert f"{port} is no port; give a number from 1 to 65535" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "watch loop.mp4", "predict FRAMES --out out"])
@pytest.mark.parametrize("model", ["http://e.com/x", "runs:/a/x", "s3://bucket/x", "file:///x", "Models:/nerveseg/1"])
def test_an_address_that_no_model_is_read_from_is_told_as_it_was_typed(kaggle_folder, command, model):
    frames = str(kaggle_folder(subjects=[1]))
    message = nerveseg(*command.replace("FRAMES", frames).split(), "--model", model)
    assert message.startswith(f"error: {model} is an address that no model is read from; name a folder")
    assert "models:/NAME@ALIAS" in message


def test_no_setting_of_tqdm_ends_a_command():
    settings = dict.fromkeys(("TQDM_NCOLS", "TQDM_MININTERVAL", "TQDM_FILE", "TQDM_TOTAL"), "abc")
    code = "import nerveseg, tqdm; print(list(tqdm.tqdm([1], desc='checking', disable=False)))"
    done = attempt(sys.executable, "-c", code, env=os.environ | settings)
    assert (done.returncode, done.stdout) == (0, "[1]\n")
    assert "checking" in done.stderr
