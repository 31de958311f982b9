import re

import numpy as np
import pydicom
import pytest

from nerveseg.dataset.info import shards
from nerveseg.dataset.records import read_records
from nerveseg.preprocessing.audit import take_inventory
from odd_files import blob, dicom, encoded, picture

MASK = encoded(blob())


@pytest.fixture
def taken(tiny, tmp_path):
    """The account of a folder with these DICOM files, each with a mask, and this subjects.csv."""

    def take(files, table=""):
        folder = tmp_path / "frames"
        folder.mkdir()
        for number, (name, content) in enumerate(files.items()):
            if isinstance(content, dict):
                (folder / f"{name}.dcm").write_bytes(dicom(picture(number)[np.newaxis], **content))
            else:
                (folder / f"{name}.png").write_bytes(encoded(picture(number), "PNG"))
            (folder / f"{name}_mask.tif").write_bytes(MASK)
        if table:
            (folder / "subjects.csv").write_text(f"frame,subject\n{table}")
        return take_inventory(folder, tiny.data, tmp_path, (32, 64), clear_names=True)

    return take


def who(patient, issuer="", name="", birth=""):
    return {"patient": patient, "name": name, "PatientBirthDate": birth, "IssuerOfPatientID": issuer}


def groups(inventory):
    """The frames of each subject."""
    manifest = inventory.manifest
    return sorted(sorted(rows) for rows in manifest.groupby("subject")["frame"].agg(list))


def also(patient, *others, issuer=None):
    """The older form without issuers or, with one, the sequence."""
    if issuer is None:
        return who(patient) | {"OtherPatientIDs": list(others) if len(others) != 1 else others[0]}
    items = [pydicom.Dataset() for _ in others]
    for item, number in zip(items, others, strict=True):
        item.PatientID, item.IssuerOfPatientID = number, issuer
    return who(patient) | {"OtherPatientIDsSequence": items}


ONE = {
    "a number with and without its issuer": ({"a": who("77", "H1"), "b": who("77")}, ""),
    "a number in another spelling": ({"a": who("MRN 77"), "b": who("mrn  77", "H1")}, ""),
    "a number in the table": ({"a": who("77", "H1"), "b": None}, "b,77\n"),
    "a number in a file's name": ({"a": who("77"), "77_2": None}, ""),
    "a row of the table beside files of the same patient": ({"a": who("77"), "b": who("77")}, "b,Anna\n"),
    "name and date of birth without a number": (
        {"a": who("77", "H1", "DOE^J", "19700101"), "b": who("", "", "DOE^J", "19700101")}, "",
    ),
    "a name with and without its empty parts, and in two scripts": (
        {"a": who("", "", "DOE^J", "19700101"), "b": who("", "", "Doe^J^^^", "19700101"), "c": who("", "", "doe^j=X^Y", "19700101")}, "",
    ),
    "another number in the older form": ({"a": also("77", "78"), "b": who("78", "H1")}, ""),
    "several other numbers": ({"a": who("79"), "b": also("77", "78", "79")}, ""),
    "another number in the sequence": ({"a": also("77", "MRN 78", issuer="H2"), "b": who("mrn 78", "H2")}, ""),
    "another number that stands in no file's place": ({"a": also("77", "80", issuer=""), "b": also("78", "80")}, ""),
    "another number in the table": ({"a": also("77", "78"), "b": None}, "b,78\n"),
    "a chain": ({"a": who("77", "H1"), "b": who("77"), "c": None}, "c,77\n"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ONE)
def test_one_person_under_several_identities_is_one_subject_and_that_is_told(taken, kind):
    files, table = ONE[kind]
    inventory = taken(files, table)
    assert groups(inventory) == [sorted(files)]
    if "table" in kind:
        assert set(inventory.manifest["subject"]) <= {"Anna", "77", "78"}
    if "empty parts" not in kind:  # these are equal from the start
        assert any("the identity of another one" in told for told in inventory.warnings)


def test_several_patients_in_one_study_are_told_for_a_study_is_of_one_person(taken):
    files = {name: who(f"ANON{name}") | {"StudyInstanceUID": "1.2.3"} for name in "abc"}
    inventory = taken(files | {"d": who("77") | {"StudyInstanceUID": "1.2.4"}}, "b,left\n")
    told = [warning for warning in inventory.warnings if "StudyInstanceUID" in warning]
    assert len(told) == 1
    assert told[0].startswith("one study (StudyInstanceUID) has several patients (p")
    assert len(groups(inventory)) == 4


SEVERAL = {
    "two numbers": ({"a": who("77"), "b": who("78")}, ""),
    "one number of two issuers": ({"a": who("77", "H1"), "b": who("77", "H2")}, ""),
    "another number of another issuer": ({"a": also("77", "78", issuer="H2"), "b": who("78", "H1")}, ""),
    "other numbers that are empty": ({"a": also("77", ""), "b": also("78", "", issuer="")}, ""),
    "a patient whom the owner parts": ({"a": who("77"), "b": who("77")}, "a,left\nb,right\n"),
    "anonymised files whom the owner parts": ({"a": who("ANON"), "b": who("ANON"), "c": who("78")}, "a,1\nb,2\n"),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_subjects_that_share_no_identity_or_that_the_owner_parts_stay_apart(taken, kind):
    files, table = SEVERAL[kind]
    inventory = taken(files, table)
    assert len(groups(inventory)) == len(files)
    assert not any("counted as that" in told for told in inventory.warnings)


def test_one_name_and_date_of_birth_under_several_numbers_is_told_and_joins_nobody(taken):
    named = {name: who(number, "", "DOE^J", "19700101") for name, number in (("a", "MRN 71"), ("b", "MRN 72"))}
    inventory = taken(named)
    assert len(groups(inventory)) == 2
    assert any(re.search(r"several patients. numbers \(p\w+ and p\w+\)", told) for told in inventory.warnings)
    assert not any("DOE" in told or "MRN" in told for told in inventory.warnings)


def test_records_and_manifest_name_the_joined_subject_alike(taken, prepare, tmp_path):
    files = {f"{patient}_{n}": who(patient, "H1" * (n == 1)) for patient in ("71", "72", "73") for n in (1, 2)}
    taken(files)
    inventory, info, output = prepare(tmp_path / "frames")
    assert inventory.manifest["subject"].nunique() == 3
    written = {
        (record.name, record.subject) for split in info.frames for record in read_records(shards(output, split), info)
    }
    assert written == set(inventory.manifest[["frame", "subject"]].itertuples(index=False, name=None))


def test_a_patient_whom_the_owner_parts_is_told(taken):
    files, table = SEVERAL["a patient whom the owner parts"]
    (warning,) = [told for told in taken(files, table).warnings if "count as different people" in told]
    assert "one patient stands under several subjects of subjects.csv (left and right)" in warning
