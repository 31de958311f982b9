import ast
import csv

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerveseg.errors import DatasetError
from nerveseg.files.atomic import fresh_folder, read_csv, read_json, write_csv, write_json
from nerveseg.text.foreign_text import in_spreadsheet
from paths import ROOT

TAKEN_FOR_MISSING = ["NA", "N/A", "nan", "NaN", "-nan", "None", "null", "NULL", "<NA>", "#N/A", "n/a", ""]
TAKEN_FOR_NUMBERS = ["007", "1e5", "1_000", "inf", "-1", "0x1f", "1.0", "True", "FALSE", "12345678901234567890"]
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def test_a_folder_appears_when_it_is_whole_and_replaces_the_old_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
        assert (tmp_path / "out" / "old").exists()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_a_link_names_is_filled_where_it_is(tmp_path):
    (tmp_path / "disk" / "out").mkdir(parents=True)
    (tmp_path / "disk" / "out" / "old").touch()
    (tmp_path / "out").symlink_to("disk/out")
    with fresh_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert (tmp_path / "out").is_symlink()
    assert [path.name for path in (tmp_path / "disk" / "out").iterdir()] == ["new"]
    assert {path.name for path in tmp_path.iterdir()} == {"disk", "out"}


def fail(folder):
    (folder / "new").touch()
    raise ValueError("stop")


def test_work_that_fails_keeps_the_old_folder_and_leaves_nothing_of_the_new_one(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(ValueError, match="stop"), fresh_folder(tmp_path / "out") as folder:
        fail(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]


def test_work_that_fails_where_no_folder_was_leaves_none(tmp_path):
    with pytest.raises(ValueError, match="stop"), fresh_folder(tmp_path / "out") as folder:
        fail(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_table_and_json_keep_every_digit_and_leave_no_other_file(tmp_path):
    value = 0.1 + 0.2
    write_csv(tmp_path / "a.csv", pd.DataFrame({"x": [value]}))
    write_json(tmp_path / "a.json", {"x": value})
    assert read_csv(tmp_path / "a.csv")["x"][0] == value
    assert str(value) in (tmp_path / "a.json").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.json"]


def test_json_that_other_programs_cannot_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_a_name_is_no_formula_in_a_spreadsheet_and_is_read_as_it_was_written(tmp_path):
    names = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-x", "\t=1", "'=1", "'quoted", "-3", "a=b"]
    parts = pd.Categorical(["=x", *"bcdefghi"])
    write_csv(tmp_path / "a.csv", pd.DataFrame({"frame": names, "part": parts, "change": -0.5, "text": None}))
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        shown = list(csv.DictReader(file))
    assert [row["frame"] for row in shown] == [
        "'=1+1", "'@SUM(A1)", "'+cmd|' /C calc'!A0", "'-x", "'\t=1", "''=1", "'quoted", "-3", "a=b"
    ]  # fmt: skip
    assert (shown[0]["part"], shown[0]["change"], shown[0]["text"]) == ("'=x", "-0.5", "")
    back = read_csv(tmp_path / "a.csv")
    assert back["frame"].tolist() == names
    assert back["part"].tolist() == list(parts)
    assert back["change"].tolist() == [-0.5] * len(names)


@pytest.mark.parametrize(
    "name", [*TAKEN_FOR_MISSING, *TAKEN_FOR_NUMBERS, " a ", "a\rb", "a\r\nb", '"', "a,b", "\ufeffa"]
)
def test_a_name_is_read_as_it_was_written_whatever_it_looks_like(tmp_path, name):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"frame": [name], "subject": [name], "part": [name], "dice": [0.5]}))
    assert read_csv(tmp_path / "a.csv").to_dict("records") == [
        {"frame": name, "subject": name, "part": name, "dice": 0.5}
    ]


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(allow_nan=False)), min_size=1))
def test_what_a_table_holds_is_what_is_read_and_what_python_reads(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    write_csv(path, pd.DataFrame(rows, columns=["frame", "subject", "x"]))
    assert list(read_csv(path).itertuples(index=False, name=None)) == rows
    with path.open(encoding="utf-8", newline="") as file:
        assert [tuple(row[:2]) for row in csv.reader(file)][1:] == [tuple(map(in_spreadsheet, row[:2])) for row in rows]


def test_a_number_that_is_not_there_is_nan_beside_a_subject_called_nan(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"subject": ["nan", "b"], "hd95": [float("nan"), 1.5]}))
    table = read_csv(tmp_path / "a.csv")
    assert table["subject"].tolist() == ["nan", "b"]
    assert table["hd95"].isna().tolist() == [True, False]


def test_a_table_that_git_gave_other_line_endings_is_read_alike(tmp_path):
    write_csv(tmp_path / "a.csv", pd.DataFrame({"subject": ["NA", "b"], "dice": [0.25, 0.5]}))
    (tmp_path / "b.csv").write_bytes((tmp_path / "a.csv").read_bytes().replace(b"\n", b"\r\n"))
    pd.testing.assert_frame_equal(read_csv(tmp_path / "a.csv"), read_csv(tmp_path / "b.csv"))


def test_nobody_reads_a_table_in_another_way():
    callers = {
        path.relative_to(ROOT).as_posix()
        for folder in ("src", "stages", "bench")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"read_csv", "read_table", "DictReader"}
    }
    assert callers == {"src/nerveseg/files/atomic.py"}


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "a,b\n<<<<<<< HEAD\n1,2\n=======\n1,3\n>>>>>>> other\n", "holds Git's marks of a conflict"),
        ("a.csv", "a;b\n1;2\n", "has semicolons"),
        ("a.csv", "", "is no table .No columns"),
        ("a.csv", 'a,b\n"1,2', "is no table .Error tokenizing data"),
        ("a.csv", "a\tb\n1\t2\n", "has semicolons or tabs"),
        ("a.csv", "a,b\n1,2\n=======\n1,3\n", "holds Git's marks"),
        ("a.json", '{\n<<<<<<< HEAD\n"a": 1\n}', "is no JSON"),
    ],
)
def test_a_result_that_git_or_a_spreadsheet_changed_is_refused_with_the_way_back(tmp_path, name, content, told):
    (tmp_path / name).write_text(content)
    read = read_json if name.endswith("json") else read_csv
    with pytest.raises(DatasetError, match=rf"{name} {told}.*; bring it back with `git checkout HEAD`"):
        read(tmp_path / name)
