import cv2
import numpy as np
import pandas as pd
import pytest

from nerveseg.cli import main
from nerveseg.data.frames import decode_rle
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


def test_check_prints_what_a_good_folder_holds_and_succeeds(kaggle_folder, capsys):
    assert run("check", kaggle_folder(subjects=[1, 2])) == 0
    out = capsys.readouterr().out
    assert "8 frames of 2 subjects, 4 with a nerve" in out
    assert "sizes: 80x48 (8)" in out


def test_check_names_each_bad_file_and_fails(kaggle_folder, capsys):
    folder = kaggle_folder(subjects=[1, 2])
    (folder / "1_1.tif").write_bytes(b"")
    (folder / "2_1_mask.tif").unlink()
    assert run("check", folder) == 1
    err = capsys.readouterr().err
    assert "not usable: 2_1.tif: its mask 2_1_mask is missing" in err
    assert "1_1.tif: the file is empty" in err


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
