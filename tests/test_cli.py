import json

import cv2
import numpy as np
import pandas as pd
import pytest

from nerveseg.cli import main
from nerveseg.data.mask_codes import decode_rle
from nerveseg.ensemble import Ensemble
from nerveseg.segmenter import Segmenter
from test_segmenter import segmenter


def run(*arguments):
    """The exit code of `nerveseg ARGUMENTS`."""
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


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
    assert run("check", kaggle_folder(subjects=[1, 2])) == 0
    out = capsys.readouterr().out
    assert out.startswith("Kaggle layout, 8 pairs, 2 subjects\n")
    assert "50% of the frames show a nerve" in out
    assert "sizes: 80x48 (8)" in out
    assert out.endswith("0 files cannot be used\n")


def test_check_names_each_bad_file_with_its_remedy_and_fails(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "1_1.tif").write_bytes(b"")
    (folder / "2_1_mask.tif").unlink()
    assert run("check", folder) == 1
    out = capsys.readouterr().out
    assert "3 files cannot be used" in out
    assert "  2_1.tif: its mask is missing; add 2_1_mask (all zero where no nerve is seen)" in out
    assert "  1_1.tif: the file is empty; copy it again from its source" in out


def test_check_names_files_of_other_kinds_and_does_not_fail_for_them(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "clip.webp").touch()
    assert run("check", folder) == 0
    out = capsys.readouterr().out
    assert "1 files are no frames or masks\n  clip.webp: no image by its name (.webp), expected TIFF" in out


def test_check_tells_a_machine_the_same_as_json(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "1_1.tif").write_bytes(b"")
    (folder / "note.txt").touch()
    assert run("check", folder, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["layout"], found["frames"], found["frames_with_nerve"]) == ("Kaggle", 7, 4)
    assert found["prevalence"] == pytest.approx(4 / 7)
    assert 0.01 < found["nerve_area"] < 0.1
    assert found["sizes"] == {"80x48": 7}
    assert found["subjects"][0] == {"subject": "1", "frames": 3, "with_nerve": 2, "prevalence": pytest.approx(2 / 3)}
    assert [item["file"] for item in found["quarantined"]] == ["1_1.tif", "1_1_mask.tif"]
    assert [item["file"] for item in found["foreign"]] == ["note.txt"]


def test_check_fails_where_one_frame_stands_under_two_subjects(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "2_1.tif").write_bytes((folder / "1_1.tif").read_bytes())
    assert run("check", folder) == 1
    assert "1 frames stand under more than one subject" in capsys.readouterr().out


def test_check_of_a_folder_without_a_frame_fails(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run("check", tmp_path / "empty") == 1
    out = capsys.readouterr().out
    assert out.startswith("no known layout, 0 pairs, 0 subjects\n")
    assert "no frame was found; expected S_N.tif with S_N_mask.tif" in out


@pytest.mark.parametrize("files", [{}, {"1_1.tif": b"", "1_1_mask.tif": b""}])
def test_check_of_a_folder_without_a_frame_is_json_too(tmp_path, capsys, files):
    (tmp_path / "none").mkdir()
    for name, content in files.items():
        (tmp_path / "none" / name).write_bytes(content)
    assert run("check", tmp_path / "none", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["prevalence"], found["nerve_area"]) == (0, None, None)
    assert len(found["quarantined"]) == len(files)


def test_check_of_a_missing_folder_is_one_sentence(tmp_path):
    assert str(run("check", tmp_path / "none")).startswith("error: ")


def test_predict_writes_a_mask_at_the_size_of_each_frame_and_a_table(kaggle_folder, model, tmp_path):
    folder, out = kaggle_folder(subjects=[1], size=(50, 70)), tmp_path / "out"
    assert run("predict", folder, "--out", out, "--model", model) == 0
    table = pd.read_csv(out / "predictions.csv", keep_default_na=False)
    assert [path.rsplit("/", 1)[-1] for path in table["file"]] == [f"1_{number}.tif" for number in range(1, 5)]
    for row in table.itertuples():
        mask = cv2.imread(str(out / f"1_{row.Index + 1}_mask.png"), cv2.IMREAD_GRAYSCALE)
        assert mask.shape == (50, 70)
        assert np.array_equal(decode_rle(str(row.pixels), (50, 70)), mask > 0)
        assert (mask > 0).sum() == row.area


def test_predict_takes_an_ensemble_which_says_the_mean_of_its_members(kaggle_folder, model, tmp_path):
    (tmp_path / "ensemble").mkdir()
    Ensemble({"one": Segmenter.load(model), "other": Segmenter.load(model)}).save(tmp_path / "ensemble")
    folder = kaggle_folder(subjects=[1])
    tables = []
    for name in ("model", "ensemble"):
        assert run("predict", folder, "--out", tmp_path / f"of-{name}", "--model", tmp_path / name) == 0
        tables.append(pd.read_csv(tmp_path / f"of-{name}" / "predictions.csv"))
    pd.testing.assert_frame_equal(*tables)


def test_predict_skips_a_bad_file_does_the_others_and_says_so_in_its_exit_code(kaggle_folder, model, tmp_path, capsys):
    folder, out = kaggle_folder(subjects=[1]), tmp_path / "out"
    (folder / "1_2.tif").write_bytes(b"broken")
    assert run("predict", folder, "--out", out, "--model", model) == 1
    assert len(pd.read_csv(out / "predictions.csv")) == 3
    assert "skipped: " in capsys.readouterr().err


def test_predict_refuses_two_images_that_would_overwrite_each_other(kaggle_folder, model, tmp_path):
    folder = kaggle_folder(subjects=[1])
    assert "would overwrite" in str(run("predict", folder, folder / "1_1.tif", "--out", tmp_path, "--model", model))


def test_predict_without_a_model_says_what_to_run(kaggle_folder, tmp_path):
    code = run("predict", kaggle_folder(subjects=[1]), "--out", tmp_path, "--model", tmp_path / "none")
    assert "run `dvc repro`" in str(code)
