import os

import pytest

from nerveseg.errors import DatasetError
from nerveseg.imaging.dicom import salt_of
from nerveseg.params.file import load_params
from nerveseg.preprocessing.subjects import SubjectRules
from paths import ROOT

PATTERN = load_params(ROOT / "params.yaml").data.subject_pattern


def rules(tmp_path, table=None, pattern=PATTERN):
    if table is not None:
        (tmp_path / "subjects.csv").write_text(table)
    return SubjectRules.read(tmp_path, pattern)


def test_a_row_of_the_table_wins_over_the_patient_and_the_patient_over_the_pattern(tmp_path):
    found = rules(tmp_path, "frame,subject\n12_3.tif,Anna\n")
    assert found.subject("12_3", "12_3", "p123") == "Anna"
    assert found.subject("12_4", "12_4", "p123") == "p123"
    assert found.subject("12_4", "12_4", None) == "12"
    assert found.subject("scan", "scan", None) is None


def test_a_loop_may_be_named_as_a_whole_or_frame_by_frame(tmp_path):
    found = rules(tmp_path, "frame,subject\nloop,A\nloop_2,B\n")
    assert [found.subject("loop", f"loop_{number}", None) for number in (1, 2)] == ["A", "B"]


def test_a_pattern_reads_the_subject_from_the_folder(tmp_path):
    assert rules(tmp_path, pattern="^(.+)/").subject("p1/001", "p1/001", None) == "p1"


@pytest.mark.parametrize("name", ["image_001", "scan", "1", "a_b"])
def test_the_default_pattern_does_not_take_a_running_number_for_a_frame_of_one_subject(tmp_path, name):
    assert rules(tmp_path).subject(name, name, None) is None


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            "frame:subject\n1:2\n",
            "has the columns frame:subject; expected CSV in UTF-8 with the columns frame and subject",
        ),
        ("frame,subject,subject\n1,2,3\n", "has the columns frame, subject, subject; expected .* each once"),
        ("\n", "has the columns of no name"),
        ("frame,subject\n0,1_1,a\n", "line 2: 3 cells, but the first line names 2 columns"),
        ('frame,subject\n1_1,"a\n1_2,a"\n', r"line 3: the subject 'a\\n1_2,a' is no name"),
        ('frame,subject\n1_1,"a"b\n', "cannot be read"),
        ("frame,subject\n1_1,a\0b\n", "line 2: the subject .* is no name"),
        ("frame,subject\n1_1,\n", "line 2: no frame or no subject"),
        ("frame,subject\n1_1,a\n1_1,b\n", "gives frame 1_1 more than one subject"),
        ("", "the file is empty"),
        ('frame,subject\n"1_1,a\n', "cannot be read|line 2"),
        ("\0\1\2", "has the columns|cannot be read"),
    ],
)
def test_a_damaged_table_is_told(tmp_path, table, told):
    with pytest.raises(DatasetError, match=rf"subjects\.csv.*({told})"):
        rules(tmp_path, table)


def test_further_columns_do_not_shift_the_two(tmp_path):
    found = rules(tmp_path, "age,frame,note,subject\n7,1_1,x,a,\n8,1_2,,b\n,,,\n")
    assert found.listed == {"1_1": "a", "1_2": "b"}


@pytest.mark.parametrize(
    "content",
    [
        b"frame,subject\nsub/\xc3\xbc_1,NA\n2.tif,007\n",
        b"\xef\xbb\xbfFrame; Subject \r\nsub/\xc3\xbc_1.PNG; NA\r\n./2;007\r\n",
        "subject\tframe\rNA\tsub/u\u0308_1.dcm\r\r007\t 2 \r".encode("utf-16"),
        '"frame","subject"\n"sub/\u00fc_1","NA"\n"2","007"'.encode(),
    ],
)
def test_a_table_is_read_as_spreadsheets_of_any_country_write_it(tmp_path, content):
    (tmp_path / "subjects.csv").write_bytes(content)
    found = rules(tmp_path)
    assert [found.subject(name, name, None) for name in ("sub/\u00fc_1", "sub/u\u0308_1", "2", " 2")] == [
        "NA",
        "NA",
        "007",
        "007",
    ]


def test_names_that_mean_something_to_programs_stay_as_they_are_written(tmp_path):
    names = ["NA", "nan", "None", "1e5", "007", "true", "-1", "=1+1", "#x", "$(id)", "a;b", "~"]
    found = rules(tmp_path, "frame,subject\n" + "".join(f"{name}_1,{name}\n" for name in names))
    assert [found.subject(f"{name}_1", f"{name}_1", None) for name in names] == names


def test_a_table_that_dvc_tracks_and_nobody_pulled_is_told(tmp_path):
    (tmp_path / "subjects.csv.dvc").touch()
    with pytest.raises(DatasetError, match=r"subjects\.csv is tracked by DVC but is not here; run `dvc pull"):
        rules(tmp_path)


def test_a_pipe_called_like_the_table_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "subjects.csv")
    with pytest.raises(DatasetError, match=r"subjects\.csv: it is no regular file"):
        rules(tmp_path)


def test_a_link_that_leaves_the_folder_or_leads_nowhere_is_told(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "elsewhere.csv").write_text("frame,subject\n1_1,a\n")
    (tmp_path / "set" / "subjects.csv").symlink_to(tmp_path / "elsewhere.csv")
    with pytest.raises(DatasetError, match="a link that leaves the folder"):
        rules(tmp_path / "set")
    (tmp_path / "set" / "subjects.csv").unlink()
    (tmp_path / "set" / "subjects.csv").symlink_to(tmp_path / "set" / "gone.csv")
    with pytest.raises(DatasetError, match="a link to nothing"):
        rules(tmp_path / "set")


def test_a_pattern_that_matches_nothing_knows_no_subject(tmp_path):
    assert rules(tmp_path, pattern=r"^(\d*)").subject("scan", "scan", None) is None


def test_what_a_pattern_finds_in_a_name_becomes_a_digest_where_names_are_kept(tmp_path):
    found = SubjectRules.read(tmp_path, PATTERN, b"salt")
    assert found.subject("4711_1", "4711_1", None) == found.subject("4711_2", "4711_2", None)
    assert "4711" not in str(found.subject("4711_1", "4711_1", None))


def test_frames_of_the_table_that_are_not_there_are_found(tmp_path):
    assert rules(tmp_path, "frame,subject\nb,1\na_2,1\na_10,1\n").without_frame(["b", "c"]) == ["a_2", "a_10"]


def test_bytes_that_are_no_text_are_told(tmp_path):
    (tmp_path / "subjects.csv").write_bytes(b"\xff\xfe\x00frame")
    with pytest.raises(DatasetError, match=r"subjects\.csv"):
        rules(tmp_path)


@pytest.mark.parametrize("content", ["", " ", "\n"])
def test_an_empty_salt_is_no_secret(tmp_path, monkeypatch, content):
    monkeypatch.setenv("NERVESEG_SALT", content)
    with pytest.raises(DatasetError, match=r"NERVESEG_SALT is empty, expected the secret .* unset it"):
        salt_of(tmp_path)
    monkeypatch.delenv("NERVESEG_SALT")
    (tmp_path / ".nerveseg-salt").write_text(content)
    with pytest.raises(DatasetError, match=r"nerveseg-salt is empty, expected the secret .* remove it"):
        salt_of(tmp_path)
    (tmp_path / ".nerveseg-salt").unlink()
    assert len(salt_of(tmp_path)) == 32
    assert salt_of(tmp_path) == salt_of(tmp_path)


def test_a_pipe_in_place_of_the_salt_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.delenv("NERVESEG_SALT", raising=False)
    os.mkfifo(tmp_path / ".nerveseg-salt")
    with pytest.raises(DatasetError, match=r"nerveseg-salt cannot be read or created \(it is no regular file\); set"):
        salt_of(tmp_path)


def test_a_link_into_the_cache_of_dvc_is_read(tmp_path):
    cached = tmp_path / "cache" / "files" / "md5" / "0a" / ("b" * 30)
    cached.parent.mkdir(parents=True)
    cached.write_text("frame,subject\n1_1,a\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "subjects.csv").symlink_to(cached)
    assert rules(tmp_path / "set").listed == {"1_1": "a"}
