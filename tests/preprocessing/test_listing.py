"""What a folder holds: every file is listed or refused, no name or link breaks the listing, and patients stay unnamed."""

import io
import json
import os
import sys

import numpy as np
import pytest

from nerveseg.cli import main
from nerveseg.errors import DatasetError
from nerveseg.preprocessing.audit import take_inventory
from nerveseg.preprocessing.listing import listing_of, stem_of
from odd_files import blob, dicom, encoded, picture
from tiny_params import write_params

MASK = encoded(blob())
SECRETS = ("doe", "jane", "4711", "1970", "müller")


def refused(folder):
    listing = listing_of(folder)
    return {str(item.file): item.reason for item in listing.refused}


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "a.tif").symlink_to("a.tif")
    assert "leads back to itself" in refused(tmp_path)["a.tif"] or "Too many levels" in refused(tmp_path)["a.tif"]


def test_a_name_that_is_no_text_is_refused(tmp_path):
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff_1.tif", os.O_CREAT))
    (reason,) = refused(tmp_path).values()
    assert reason == "its name is no text in UTF-8"


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may enter everything")
def test_a_folder_that_may_not_be_entered_is_told(tmp_path):
    (tmp_path / "closed" / "set").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    with pytest.raises(DatasetError, match="cannot be entered"):
        listing_of(tmp_path / "closed" / "set")
    (tmp_path / "closed").chmod(0o700)


def test_a_path_that_cannot_be_looked_at_is_told_and_not_a_crash(tmp_path, monkeypatch):
    """As where a folder may be listed but not entered, which the superuser always may."""

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "a.tif").touch()
    monkeypatch.setattr("pathlib.Path.is_symlink", denied)
    assert refused(tmp_path) == {"a.tif": "it cannot be looked at (Permission denied)"}


def test_the_last_number_of_a_uid_is_no_suffix(tmp_path):
    assert (stem_of(tmp_path / "1.2.840.5"), stem_of(tmp_path / "x.tar.TIF")) == ("1.2.840.5", "x.tar")
    (tmp_path / "1.2.840.5").write_bytes(dicom(picture()[np.newaxis]))
    (tmp_path / "1.2.840.6").write_bytes(b"no DICOM")
    listing = listing_of(tmp_path)
    assert ([str(path) for path in listing.images], listing.dicom) == (["1.2.840.5"], True)


def test_a_pipe_in_place_of_the_record_of_predictions_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / ".nerveseg-written.jsonl")
    (tmp_path / "1_1.tif").touch()
    assert [str(path) for path in listing_of(tmp_path).images] == ["1_1.tif"]


def hospital(folder):
    """Exports that tell who was examined, in file names, folder names and headers, good and bad."""
    frames = [picture(seed)[np.newaxis] for seed in range(12)]
    loop = np.concatenate(frames[:3])
    files = {
        "DOE_JANE/1970-01-01.dcm": dicom(frames[0]), "DOE_JANE/1970-01-01_mask.tif": MASK,
        "4711_1.dcm": dicom(frames[1]), "4711_1_mask.tif": MASK,
        "DOE_JANE/alone.dcm": dicom(frames[2]), "DOE_JANE/note.txt": b"Jane Doe",
        "DOE_JANE/b.png": encoded(picture(20), "PNG"), "DOE_JANE/b_mask.png": encoded(blob(), "PNG"),
        "doe_cut.dcm": dicom(frames[3])[:-900], "doe_cut_mask.tif": MASK,
        "doe_head.dcm": dicom(frames[4])[:300], "doe_head_mask.tif": MASK,
        "jane_loop.dcm": dicom(loop), "jane_loop_mask.tif": MASK,
        "jane_two.dcm": dicom(frames[5]), "jane_two_mask.tif": MASK, "jane_two_mask_1.tif": encoded(blob()[:40]),
        "doe_case.dcm": dicom(frames[6]), "DOE_case.dcm": dicom(frames[7]), "doe_case_mask.tif": MASK,
        "Müller.dcm": dicom(frames[8], name="Mu\u0308ller^X", SpecificCharacterSet="ISO_IR 192"), "Müller_mask.tif": MASK,
        "doe_none_1.dcm": dicom(frames[9], patient="", name="", PatientBirthDate=""), "doe_none_1_mask.tif": MASK,
        "doe_twice.dcm": dicom(frames[10]), "doe_twice.png": encoded(picture(21), "PNG"), "doe_twice_mask.tif": MASK,
        "MRN4711_1.dcm": dicom(frames[11], patient="", name="", PatientBirthDate=""), "MRN4711_1_mask.tif": MASK,
        "subjects.csv": b"frame,subject\nDOE_gone,s1\n",
    }  # fmt: skip
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder, files


def test_no_output_tells_who_was_examined(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NERVESEG_SALT", "of this test, so that no digest spells a secret by chance")
    params = write_params(tmp_path / "params.yaml")
    folder, files = hospital(tmp_path / "set")
    records = []
    inventory = take_inventory(folder, params.data, tmp_path, (32, 64), lambda *kept: records.append(kept))
    told = [inventory.manifest.to_csv(), inventory.remarks.to_csv(), inventory.conflicts.to_csv()]
    told += [
        repr(inventory.quarantined),
        repr([frame.files for frame in inventory.frames]),
        repr(inventory.warnings),
        str(inventory),
    ]
    told += [item.name + subject for item, subject in records]
    monkeypatch.chdir(tmp_path)
    for flags in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["check", "set", *flags])
        told.append(capsys.readouterr().out)
    for text in told:
        assert not [secret for secret in SECRETS if secret in text.casefold()]
    accounted = len(inventory.quarantined) + sum(len(frame.files) for frame in inventory.frames)
    assert accounted == len(files) - 1, "all but subjects.csv"
    assert inventory.manifest["subject"].nunique() == 4, "one patient in three files, two unknown, one from a file name"
    assert inventory.manifest["frame"].nunique() == len(inventory.manifest) == 6


def test_the_owner_can_have_the_names_in_clear(tmp_path, monkeypatch, capsys):
    write_params(tmp_path / "params.yaml")
    folder, _ = hospital(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["check", str(folder), "--json", "--clear-names"])
    found = json.loads(capsys.readouterr().out)
    assert "DOE_JANE/alone.dcm" in [item["file"] for item in found["quarantined"]]
    with pytest.raises(SystemExit):
        main(["check", str(folder)])
    assert "`nerveseg check --clear-names` shows them" in capsys.readouterr().out


def test_a_name_with_control_characters_does_not_reach_the_terminal(tmp_path, monkeypatch, capsys):
    write_params(tmp_path / "params.yaml")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "9\x1b[31m_1.tif").write_bytes(encoded(picture()))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["check", "set"])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"9\x1b[31m_1.tif: its mask is missing" in out


def test_a_name_that_is_no_text_is_counted_and_the_rest_is_used(kaggle_folder, tiny, tmp_path, monkeypatch):
    folder = kaggle_folder(subjects=[1])
    for name in (b"\xff_1.tif", b"\xff_1_mask.tif"):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:  # noqa: PTH118, PTH123 - the name is no text
            file.write(MASK)
    inventory = take_inventory(folder, tiny.data, tmp_path, (32, 64))
    assert len(inventory.manifest) == 4
    assert len(inventory.quarantined) == 2
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    print(inventory.quarantined)
