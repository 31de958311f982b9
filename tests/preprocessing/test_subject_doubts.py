"""Signs that subjects are not people, in data sets as they come."""

import re

import cv2
import numpy as np
import pytest

from drawn_frames import write_pair
from nerveseg.preprocessing.audit import take_inventory
from odd_files import blob, dicom, encoded, picture


def resized(frame):
    return cv2.resize(frame, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)


CHANGED = {
    "compressed": lambda frame: cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 70])[1], 0),
    "darker": lambda frame: (0.8 * frame).astype(np.uint8),
    "resized": resized,
}


def bordered(frame):
    """As machines show a small sector: most of the frame is black."""
    return cv2.copyMakeBorder(frame, 10, 60, 20, 80, cv2.BORDER_CONSTANT)


@pytest.fixture
def doubts(tiny, tmp_path):
    """The signs in a folder `frames` with this subjects.csv."""

    def read(table=""):
        if table:
            (tmp_path / "frames" / "subjects.csv").write_text(f"frame,subject\n{table}", encoding="utf-8")
        return take_inventory(tmp_path / "frames", tiny.data, tmp_path, (32, 64)).doubts

    return read


@pytest.fixture
def copy(tmp_path, kaggle_folder):
    """Adds a changed copy of frame 1_2 as frame 9_1, with or without a black border around all frames."""

    def make(change, border=False):
        folder = kaggle_folder()
        for path in folder.glob("*.tif") if border else ():
            cv2.imwrite(str(path), bordered(cv2.imread(str(path), 0)))
        frame, mask = (cv2.imread(str(folder / name), 0) for name in ("1_2.tif", "1_2_mask.tif"))
        frame = CHANGED[change](frame)
        write_pair(folder, "9_1", frame, cv2.resize(mask, frame.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0)
        return folder

    return make


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_copy_under_another_subject_is_told_and_stays_in_the_same_part(prepare, copy, change, border):
    inventory = prepare(copy(change, border), split={"val_fraction": 0.3, "test_fraction": 0.3})[0]
    (told,) = [told for told in inventory.warnings if "nearly the same" in told]
    assert told.startswith("2 frames under more than one subject with nearly the same pixels (1_2 and 9_1)")
    assert inventory.remarks.values.tolist() == [["9_1", "nearly the same pixels as 1_2"]]
    parts = inventory.manifest.groupby("subject")["split"].first()
    assert parts["1"] == parts["9"]


def test_a_changed_copy_of_a_test_frame_is_left_out_of_train(prepare, copy):
    split = {"test_subjects": ("9", "6"), "val_subjects": ("5",)}
    inventory = prepare(copy("compressed"), split=split, max_quarantined=0.0)[0]
    reasons = {item.file: item.reason for item in inventory.quarantined}
    assert reasons == dict.fromkeys(["1_2.tif", "1_2_mask.tif"], "nearly the same pixels as 9_1, a frame of test")


@pytest.mark.parametrize("border", [False, True])
def test_other_frames_of_other_people_raise_no_doubt(doubts, kaggle_folder, border):
    folder = kaggle_folder()
    for path in folder.glob("*.tif") if border else ():
        cv2.imwrite(str(path), bordered(cv2.imread(str(path), 0)))
    assert doubts() == []


def test_twins_without_a_known_subject_are_not_told_one_by_one(doubts, tmp_path):
    for number, name in enumerate(["scan", "other"]):
        frame = cv2.GaussianBlur(picture(), (3, 3), number + 0.1)
        write_pair(tmp_path / "frames", name, frame, blob() > 0)
    assert doubts() == []


def rows(folder, **subjects):
    """The rows of subjects.csv that give all frames of a person in the names a subject."""
    frames = sorted(path.stem for path in folder.glob("*_?.tif"))
    return "".join(
        f"{frame},{subjects[key]}\n" for frame in frames if (key := "s" + frame.partition("_")[0]) in subjects
    )


@pytest.mark.parametrize("rest", [1, 2])
def test_frames_that_subjects_csv_lacks_are_told_where_it_lists_others_of_their_person(doubts, kaggle_folder, rest):
    listed = rows(kaggle_folder(), s1="Ann").splitlines(keepends=True)
    (told,) = doubts("".join(listed[:-rest]))
    lacking = [row.partition(",")[0] for row in listed[-rest:]]
    assert told.startswith(
        f"{rest} frame{'s' * (rest > 1)} not in subjects.csv, which lists others: the subject is taken"
    )
    assert f"({', '.join(lacking)})" in told
    assert doubts("".join(listed)) == []


def test_so_are_frames_where_it_lists_most_others(doubts, kaggle_folder):
    folder = kaggle_folder()
    (told,) = doubts(rows(folder, s1="A", s2="B", s3="C", s4="D"))
    assert "not in subjects.csv" in told
    assert "5_1, " in told


@pytest.mark.parametrize(
    ("one", "other", "shown"),
    [
        ("P1", "p1", "P1 and p1"),
        ("7", "007", "7 and 007"),
        ("7", "7.0", "7 and 7.0"),
        ("M\xfcller", "Mu\u0308ller", r"'M\xfcller' and 'Mu\u0308ller'"),
        ("\uff11", "1", r"'\uff11' and 1"),
        ("A B", "A\xa0B", r"A B and 'A\xa0B'"),
        ("x", "x\u200b", r"x and 'x\u200b'"),
        ("P-1", "P\u20131", r"P-1 and 'P\u20131'"),
        ("P-1", "P\u20111", r"P-1 and 'P\u20111'"),
        ("P-1", "P\u22121", r"P-1 and 'P\u22121'"),
        ("P-1", "P_1", "P-1 and P_1"),
        ("P001", "p 1", "P001 and p 1"),
        ("BP-12", "BP12", "BP-12 and BP12"),
        ("7", '"7,0"', "7 and 7,0"),
    ],
)
def test_subjects_whose_names_differ_only_in_spelling_are_told(doubts, kaggle_folder, one, other, shown):
    (told,) = doubts(rows(kaggle_folder(), s1=one, s2=other))
    assert told.startswith(f"names of subjects differ only in spelling ({shown})")
    assert told.endswith("give all their frames one name in subjects.csv")


@pytest.mark.parametrize(("one", "other"), [("7", "70"), ("1.5", "1.05"), ("1-1", "11"), ("A1", "B1"), ("10", "1.0.0")])
def test_names_that_differ_in_more_are_other_people(doubts, kaggle_folder, one, other):
    assert doubts(rows(kaggle_folder(), s1=one, s2=other)) == []


def dicom_pair(folder, frame, number, **patient):
    (folder / f"{frame}.dcm").write_bytes(
        dicom(picture(number)[np.newaxis], SpecificCharacterSet="ISO_IR 192", **patient)
    )
    (folder / f"{frame}_mask.png").write_bytes(encoded(blob(), "PNG"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"patient": "007"}, {"patient": "7"}),
        ({"patient": "P-1"}, {"patient": "P\u20131"}),
        ({"patient": "", "name": "M\xfcller^A"}, {"patient": "", "name": "Mu\u0308ller^A"}),
    ],
)
def test_patients_whose_numbers_or_names_differ_only_in_spelling_are_told_without_them(doubts, tmp_path, one, other):
    (tmp_path / "frames").mkdir()
    for number, patient in enumerate([one, other, {"patient": "70"}]):
        dicom_pair(tmp_path / "frames", f"f{number}", number, **patient)
    (told,) = doubts()
    assert re.match(r"names of subjects differ only in spelling \(p[0-9a-f]{12} and p[0-9a-f]{12}\), and", told)


def test_so_are_the_names_of_files_of_patients_without_one(doubts, tmp_path):
    (tmp_path / "frames").mkdir()
    for number, name in enumerate(["7_1", "007_2", "8_1"]):
        dicom_pair(tmp_path / "frames", name, number, patient="", name="", PatientBirthDate="")
    (told,) = doubts()
    assert re.match(r"names of subjects differ only in spelling \(p[0-9a-f]{12} and p[0-9a-f]{12}\), and", told)


def numbered(folder, people, series):
    for person in range(people):
        for number in range(1, series + 1):
            place = folder / f"pat{person}" / "images"
            write_pair(place, f"{number}_{person}", picture(100 * person + number), blob() > 0)


def test_series_that_are_numbered_alike_in_a_folder_for_each_person_are_told(doubts, tmp_path):
    numbered(tmp_path / "frames", people=4, series=3)
    (told,) = doubts()
    assert told.startswith("3 of 3 subjects have frames in several folders (pat0, pat1, pat2 and 1 more)")
    table = (f"{number}_{person},pat{person}" for person in range(4) for number in range(1, 4))
    assert doubts("\n".join(table)) == []


def test_folders_with_people_of_their_own_raise_no_doubt(doubts, tmp_path):
    for subject in range(1, 5):
        write_pair(tmp_path / "frames" / f"visit{subject % 2}", f"{subject}_1", picture(subject), blob() > 0)
    assert doubts() == []
