import pandas as pd
import pytest

from nerveseg.outputs import fresh_folder, write_csv, write_json


def test_a_folder_appears_when_it_is_whole_and_replaces_the_old_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
        assert (tmp_path / "out" / "old").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_work_that_fails_keeps_the_old_folder_and_leaves_nothing_of_the_new_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()

    def fail(folder):
        (folder / "new").touch()
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"), fresh_folder(tmp_path / "out") as folder:
        fail(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]


def test_a_table_and_json_keep_every_digit_and_leave_no_other_file(tmp_path):
    value = 0.1 + 0.2
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [value]}))
    write_json(tmp_path / "a.json", {"x": value})
    assert pd.read_csv(tmp_path / "a.csv", float_precision="round_trip")["x"][0] == value
    assert str(value) in (tmp_path / "a.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


def test_json_that_other_programs_cannot_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()
