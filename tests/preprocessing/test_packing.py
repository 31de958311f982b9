import re

import numpy as np
import pydicom
import pytest
from PIL import Image

from command_line import nerveseg
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.errors import DatasetError
from nerveseg.imaging.dicom import read_header
from nerveseg.imaging.frame_files import read_frame
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.phantom.simulation import write_phantom
from nerveseg.preprocessing.audit import MANIFEST_COLUMNS, take_inventory
from nerveseg.processes import parallel
from odd_files import blob, dicom, encoded, paged, palette, picture
from tiny_params import write_params


def in_parts(inventory):
    """Frames of each part of the split."""
    return {part: set(rows["frame"]) for part, rows in inventory.manifest.groupby("split")}


def test_the_manifest_has_a_row_for_each_frame(prepare, kaggle_folder):
    manifest = prepare(kaggle_folder())[0].manifest
    assert list(manifest.columns) == MANIFEST_COLUMNS
    assert len(manifest) == 24
    assert manifest["has_nerve"].sum() == 12
    assert (manifest.loc[~manifest["has_nerve"], "mask_area"] == 0).all()
    assert set(manifest["height"]) == {48}


def test_no_subject_is_in_two_splits_of_the_records(prepare, kaggle_folder):
    _, info, folder = prepare(kaggle_folder())
    subjects = {
        split: {record.subject for record in read_records(shards(folder, split), info)} for split in info.frames
    }
    assert sum(map(len, subjects.values())) == len(set.union(*subjects.values())) == 6


def test_the_statistics_are_those_of_train(prepare, kaggle_folder):
    _, info, folder = prepare(kaggle_folder())
    levels = np.stack([record.frame for record in read_records(shards(folder, "train"), info)])
    assert info.input.mean == pytest.approx(levels.mean(dtype=np.float64))
    assert info.input.std == pytest.approx(levels.std(dtype=np.float64))


def test_a_record_keeps_the_mask_as_it_was_drawn_and_of_test_the_frame_as_it_was_read(prepare, kaggle_folder):
    source = kaggle_folder()
    inventory, info, folder = prepare(source)
    areas = inventory.manifest.set_index("frame")["mask_area"]
    for split in info.frames:
        for record in read_records(shards(folder, split), info):
            assert record.annotated.shape == (48, 80)
            assert record.annotated.sum() == areas[record.name]
            assert (record.original is not None) == (split == "test")
            if record.original is not None:
                assert np.array_equal(record.original, read_frame(source / f"{record.name}.tif"))


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_writes_the_same_bytes(prepare, kaggle_folder, workers, monkeypatch):
    monkeypatch.setattr(parallel, "FEW", 100)
    source = kaggle_folder(subjects=range(1, 8), frames=20)
    first, other = prepare(source, workers=1)[2], prepare(source, workers=workers)[2]
    for path in first.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes(), path.name


def test_nothing_is_left_beside_the_records(prepare, kaggle_folder):
    folder = prepare(kaggle_folder())[2]
    assert {path.suffix for path in folder.iterdir()} == {".tfrecord", ".json", ".csv"}
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_the_digest_follows_the_frames(prepare, kaggle_folder):
    source = kaggle_folder()
    _, info, folder = prepare(source)
    (source / "1_1.tif").write_bytes(encoded(picture(77)))
    assert prepare(source)[1].digest != info.digest
    assert DatasetInfo.read(folder) == info


def test_bad_files_are_told_and_the_rest_is_used(prepare, kaggle_folder):
    folder = kaggle_folder()
    (folder / "3_1.tif").write_bytes(b"")
    (folder / "4_1_mask.tif").unlink()
    inventory = prepare(folder)[0]
    assert len(inventory.manifest) == 22
    assert {item.file for item in inventory.quarantined} == {"3_1.tif", "3_1_mask.tif", "4_1.tif"}


def test_too_many_bad_files_stop_with_the_commonest_reasons(prepare, kaggle_folder):
    folder = kaggle_folder()
    for number in range(1, 4):
        (folder / f"{number}_1.tif").write_bytes(b"")
    told = r"6 images \(12%\) cannot be used, more than data\.max_quarantined \(10%\): the file is empty \(3\)"
    with pytest.raises(DatasetError, match=told):
        prepare(folder)
    assert len(prepare(folder, max_quarantined=0.2)[0].manifest) == 21


def test_of_a_loop_each_frame_counts_among_the_bad(prepare, kaggle_folder):
    frames = np.stack([picture(seed) for seed in range(9)] + [np.zeros_like(picture())])
    folder = kaggle_folder(subjects=[1, 2, 3])
    (folder / "9_1.dcm").write_bytes(dicom(frames))
    (folder / "9_1_mask.tif").write_bytes(paged([blob()] * 10))
    inventory = prepare(folder, max_quarantined=0.05)[0]
    assert len(inventory.manifest) == 12 + 9
    assert len(inventory.bad) == 2


def test_files_that_never_claimed_to_be_frames_do_not_count_as_bad(prepare, kaggle_folder):
    folder = kaggle_folder()
    for number in range(40):
        (folder / f"note-{number}.txt").touch()
    assert len(prepare(folder)[0].quarantined) == 40


def test_a_folder_without_a_usable_frame_says_what_is_wrong(prepare, kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    for path in folder.glob("*.tif"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"none of 8 files can be used: the file is empty \(4\)"):
        prepare(folder)


def test_an_empty_folder_says_what_belongs_there(prepare, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"the folder is empty; expected frames S_N\.tif"):
        prepare(tmp_path / "empty")


def test_a_data_set_in_which_every_frame_shows_a_nerve_is_fine(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("*_[13]*.tif"):
        path.unlink()
    manifest = prepare(folder)[0].manifest
    assert manifest["has_nerve"].all()
    assert len(manifest) == 12


def test_a_split_without_a_nerve_is_an_error_that_names_it(prepare, kaggle_folder):
    folder = kaggle_folder()
    for number in (2, 4):
        for name in (f"6_{number}.tif", f"6_{number}_mask.tif"):
            (folder / name).unlink()
    with pytest.raises(DatasetError, match="no frame of the val subjects shows a nerve"):
        prepare(folder, split={"val_subjects": ("6",)})


def test_labels_that_no_mask_holds_are_named_as_the_cause_and_check_agrees(
    prepare, kaggle_folder, tmp_path, monkeypatch, capsys
):
    told = r"no mask shows a nerve; data\.nerve_labels is 7, but the masks hold 255 in 12 of the 12 frames"
    folder = kaggle_folder()
    with pytest.raises(DatasetError, match=told):
        prepare(folder, nerve_labels=(7,))
    write_params(tmp_path / "params.yaml", {"data": {"nerve_labels": [7]}})
    monkeypatch.chdir(tmp_path)
    assert nerveseg("check", folder) == 1
    out = capsys.readouterr().out
    assert re.search(f"error: {told}", out)
    assert out.count("the masks hold") == 1
    assert out.endswith("preprocess would stop: mend the above first\n")


def test_black_around_a_colour_is_background_where_labels_are_named(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("*_mask.tif"):
        entries = np.asarray(Image.open(path)) // 255
        path.unlink()
        path.with_suffix(".png").write_bytes(palette(entries, [(0, 0, 0), (128, 0, 0)]))
    told = r"but the masks hold #800000 in 12 of the 12 frames that mark anything \(100\.0% of the marked pixels\)$"
    with pytest.raises(DatasetError, match=told):
        prepare(folder, nerve_labels=("#00ff00",))


def test_masks_that_are_all_empty_are_an_error_of_check_and_of_preprocess(prepare, kaggle_folder, capsys):
    folder = kaggle_folder()
    for path in folder.glob("*_mask.tif"):
        path.write_bytes(encoded(np.zeros((48, 80), np.uint8)))
    with pytest.raises(DatasetError, match=r"no mask shows a nerve; check that"):
        prepare(folder)
    assert nerveseg("check", folder) == 1
    assert "error: no mask shows a nerve; check that" in capsys.readouterr().out


def test_palette_masks_of_several_colours_may_be_told_by_the_number_of_an_entry(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("*_mask.tif"):
        entries = np.asarray(Image.open(path)) // 255
        entries[:3] = 2
        path.unlink()
        path.with_suffix(".png").write_bytes(palette(entries, [(0, 0, 0), (128, 0, 0), (0, 128, 0)]))
    told = r"data\.nerve_labels: \['#rrggbb', \.\.\.\]; of a palette, the number of an entry will do as well"
    with pytest.raises(DatasetError, match=told):
        prepare(folder)
    inventory, *_ = prepare(folder, nerve_labels=(1,))
    assert inventory.manifest["has_nerve"].sum() == 12


def two_structures(folder):
    """A vessel, 2, beside each nerve, 1."""
    for path in folder.glob("*_mask.tif"):
        mask = np.asarray(Image.open(path)) // 255
        if mask.any():
            mask[:3] = 2
        path.write_bytes(encoded(mask))
    return folder


def test_several_values_are_no_nerve_before_somebody_said_which_and_check_agrees(prepare, kaggle_folder, capsys):
    folder = two_structures(kaggle_folder())
    told = (
        r"the masks hold several values: 1 in 12 of the 12 frames that mark anything \(\d+\.\d% of the marked pixels\); 2 in 12 "
        r"of .*; say in params\.yaml which of them are nerve: data\.nerve_labels: \[NUMBER, \.\.\.\]"
    )
    with pytest.raises(DatasetError, match=told):
        prepare(folder)
    assert nerveseg("check", folder) == 1
    out = capsys.readouterr().out
    assert re.search(f"error: {told}", out)
    assert "% of the frames hold a mark\n" in out
    inventory, *_ = prepare(folder, nerve_labels=(1,))
    assert inventory.warnings == []
    assert not inventory.unclear
    assert inventory.manifest["mask_area"].max() < 48 * 80 / 10


def test_several_values_are_asked_for_also_where_they_fill_the_frame(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("*_mask.tif"):
        path.write_bytes(encoded(np.asarray(Image.open(path)) // 255 + 1))
    with pytest.raises(DatasetError, match=r"several values: 1 in 12 .*; 2 in 12 of the 12"):
        prepare(folder)


def test_a_structure_a_file_is_several_values_too(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("[1-3]_*_mask.tif"):
        path.write_bytes(encoded(np.asarray(Image.open(path)) // 255 * 2))
    with pytest.raises(DatasetError, match=r"several values: 2 in 6 of the 12 .*; 255 in 6 of the 12"):
        prepare(folder)


def test_binary_masks_of_programs_that_write_white_in_other_ways_go_together_and_are_remarked(prepare, kaggle_folder):
    folder = kaggle_folder()
    for path in folder.glob("[1-3]_*_mask.tif"):
        path.write_bytes(encoded(np.asarray(Image.open(path)) // 255))
    assert any("each of these values was taken for nerve: 1 in 6" in told for told in prepare(folder)[0].warnings)


def test_a_label_that_no_mask_holds_is_told_with_what_they_hold(prepare, kaggle_folder):
    (told,) = prepare(two_structures(kaggle_folder()), nerve_labels=(1, 7))[0].warnings
    assert told.startswith("no mask holds 7 of data.nerve_labels; they hold 1 in 12 of the 12")


def test_frames_of_fewer_bits_than_others_share_their_white_and_are_told(prepare, kaggle_folder):
    folder = kaggle_folder()
    wide = picture().astype(np.uint16)
    for number, pixels in enumerate((wide * 257, wide * 16), start=1):
        (folder / f"9_{number}.tif").write_bytes(encoded(pixels))
        (folder / f"9_{number}_mask.tif").write_bytes(encoded(blob()))
    inventory, info, output = prepare(folder)
    told = "whole numbers, taken as 16 bits: black at 0, white at 65535"
    remarks = dict(inventory.remarks.to_numpy().tolist())
    assert remarks == {
        "9_1": told,
        "9_2": f"{told}; nothing in it is brighter than a sixteenth of white: is it of another machine?",
    }
    assert any("1 frame is dark beside others of more than 8 bits" in warning for warning in inventory.warnings)
    assert info == DatasetInfo.read(output)
    assert info.grey_range == GreyRange(integer=(0.0, 65535.0))


def test_rows_of_subjects_csv_without_a_frame_are_told(prepare, kaggle_folder):
    folder = kaggle_folder()
    (folder / "subjects.csv").write_text("frame,subject\n1_2,1\nimages/1_3,1\n")
    assert "1 frame of subjects.csv not among the pairs (images/1_3)" in prepare(folder)[0].warnings[0]


def test_a_row_of_subjects_csv_whose_frame_cannot_be_read_is_not_called_unknown(prepare, kaggle_folder):
    folder = kaggle_folder()
    (folder / "subjects.csv").write_text("frame,subject\n1_2,1\n1_3,1\n")
    (folder / "1_3.tif").write_bytes(b"")
    assert not [told for told in prepare(folder)[0].warnings if "subjects.csv" in told]


@pytest.mark.parametrize(
    "name", ["SUBJECTS.CSV", "subjects.tsv", "Subject.xlsx", "subjects.csv.txt", "lists/subjects.csv"]
)
def test_a_table_of_subjects_that_is_not_read_is_told_even_where_all_subjects_are_known(prepare, kaggle_folder, name):
    path = kaggle_folder() / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("frame,subject\n1_2,Anna\n")
    inventory = prepare(kaggle_folder())[0]
    assert inventory.unknown == 0
    assert f"{name} is not read: subjects come from subjects.csv" in inventory.warnings[0]


@pytest.mark.parametrize("others", [[], [3, 4, 5]])
def test_check_says_that_two_subjects_with_a_nerve_are_too_few(kaggle_folder, tiny, tmp_path, others):
    folder = kaggle_folder(subjects=[1, 2, *others])
    for path in (path for subject in others for path in folder.glob(f"{subject}_*_mask.tif")):
        path.write_bytes(encoded(blob() * 0))
    told = "2 subjects with a nerve in any frame; preprocess needs 3, for train, val and test"
    assert told in take_inventory(folder, tiny.data, tmp_path, (32, 64)).warnings


def test_labels_of_16_bits_can_be_named_as_the_message_says(prepare, kaggle_folder, tmp_path):
    folder = kaggle_folder()
    mask = blob().astype(np.uint16) * 2
    mask[:5, :5] = 300
    for path in folder.glob("*_mask.tif"):
        path.write_bytes(encoded(mask))
    with pytest.raises(
        DatasetError, match=r"300 in .*; say in params\.yaml which of them are nerve: data\.nerve_labels: \[NUMBER"
    ):
        prepare(folder)
    labels = write_params(tmp_path / "labels.yaml", {"data": {"nerve_labels": [300]}}).data.nerve_labels
    assert set(prepare(folder, nerve_labels=labels)[0].manifest["mask_area"]) == {25}


def test_a_part_whose_frames_are_all_copies_of_another_s_says_so(prepare, kaggle_folder):
    folder = kaggle_folder()
    for number in range(1, 5):
        copied(folder, f"6_{number}", f"5_{number}")
    with pytest.raises(DatasetError, match="every frame of the val subjects is left out, as a copy"):
        prepare(folder, split={"test_subjects": ("6",), "val_subjects": ("5",)}, max_quarantined=1.0)


def copied(folder, one, other):
    """Gives frame `other` the pixels of `one`."""
    (folder / f"{other}.tif").write_bytes((folder / f"{one}.tif").read_bytes())


def test_subjects_that_share_a_frame_stay_in_one_part_and_that_is_told(prepare, kaggle_folder, tiny):
    folder = kaggle_folder()
    for subject in (2, 3, 4):
        copied(folder, "1_2", f"{subject}_2")
    inventory = prepare(folder, split={"val_fraction": 0.3, "test_fraction": 0.3})[0]
    parts = inventory.manifest.groupby("subject")["split"].first()
    assert len({parts[subject] for subject in "1234"}) == 1
    assert "1 frame under more than one subject with the same pixels (1_2 and 2_2" in inventory.warnings[0]
    assert "the same pixels as 1_2" in set(inventory.remarks["remark"])


def test_where_the_subjects_of_a_copy_are_named_for_test_the_copy_in_train_is_left_out(prepare, kaggle_folder):
    folder = kaggle_folder()
    copied(folder, "1_2", "6_2")
    inventory = prepare(folder, split={"test_subjects": ("6",), "val_subjects": ("5",)}, max_quarantined=0.0)[0]
    reasons = {item.file: item.reason for item in inventory.quarantined}
    assert reasons == dict.fromkeys(["1_2.tif", "1_2_mask.tif"], "the same pixels as 6_2, a frame of test")
    assert "6_2" in in_parts(inventory)["test"]
    assert "1_2" not in in_parts(inventory)["train"]


def test_contradicting_frames_without_a_nerve_are_left_out_of_train_alone_and_only_on_demand(prepare, kaggle_folder):
    folder = kaggle_folder()
    for subject in (1, 6):
        copied(folder, f"{subject}_2", f"{subject}_1")
    split = {"test_subjects": ("6",), "val_subjects": ("5",)}
    kept = prepare(folder, split=split)[0]
    assert kept.conflicts["frame"].tolist() == ["1_1", "6_1"]
    assert "contradict each other" in kept.warnings[0]
    assert "1_1" in in_parts(kept)["train"]
    dropped, info, output = prepare(folder, split=split, drop_conflicts=True)
    assert "1_1" not in in_parts(dropped)["train"]
    assert "6_1" in in_parts(dropped)["test"]
    names = {record.name for record in read_records(shards(output, "train"), info)}
    assert names == in_parts(dropped)["train"]
    assert info.frames["train"] == len(names) == 15


def test_frames_without_a_known_subject_count_alone_and_that_is_told(prepare, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(8):
        (folder / f"scan-{number}.png").write_bytes(encoded(picture(number), "PNG"))
        (folder / f"scan-{number}_mask.png").write_bytes(encoded(blob(), "PNG"))
    inventory, info = prepare(folder)[:2]
    assert inventory.unknown == 8
    assert "scores may be too good" in inventory.warnings[0]
    assert info.warnings == tuple(inventory.warnings)
    assert (inventory.manifest["subject"] == inventory.manifest["frame"]).all()


def test_loops_of_dicom_are_prepared_frame_by_frame_under_a_digest_of_the_patient(prepare, tmp_path, monkeypatch):
    monkeypatch.delenv("NERVESEG_SALT", raising=False)
    folder = tmp_path / "clinic"
    folder.mkdir()
    for patient in range(4):
        frames = np.stack([picture(10 * patient + number) for number in range(3)])
        (folder / f"loop{patient}.dcm").write_bytes(dicom(frames, patient=f"MRN-{patient}77"))
        (folder / f"loop{patient}_mask.tif").write_bytes(paged([blob()] * 3))
    inventory, info, output = prepare(folder)
    assert str(inventory) == "DICOM layout, 12 pairs, 4 subjects"
    assert sum(info.frames.values()) == 12
    salt = (tmp_path / ".nerveseg-salt").read_text()
    written = b"".join(path.read_bytes() for path in output.iterdir()) + repr(inventory).encode()
    for secret in ("MRN", "DOE", "JANE", "19700101", salt):
        assert secret.encode() not in written
    assert prepare(folder)[0].manifest.equals(inventory.manifest)


def region(row_cm, column_cm, kind=1, unit=3):
    """A region of an ultrasound picture, as machines describe it: 1 is a 2D image, unit 3 centimetres."""
    found = pydicom.Dataset()
    found.RegionSpatialFormat, found.PhysicalUnitsXDirection, found.PhysicalUnitsYDirection = kind, unit, unit
    found.PhysicalDeltaX, found.PhysicalDeltaY = column_cm, row_cm
    return found


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.02)]}, (0.1, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(-0.01, 0.02), region(5.0, 5.0, kind=3, unit=4)]}, (0.1, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.02)], "PixelSpacing": [7.0, 7.0]}, (0.1, 0.2)),
        ({"SequenceOfUltrasoundRegions": [region(0.01, 0.02), region(0.03, 0.02)]}, None),
        ({"PixelSpacing": [0.3, 0.4]}, (0.3, 0.4)),
        ({"PixelSpacing": [0.0, 0.4]}, None),
        ({}, None),
    ],
)
def test_the_size_of_a_pixel_is_what_the_dicom_says_of_its_image_region_or_of_all_pixels(tmp_path, attributes, spacing):
    path = tmp_path / "loop.dcm"
    path.write_bytes(dicom(picture(1)[np.newaxis], **attributes))
    assert read_header(path).spacing == pytest.approx(spacing)


def test_records_know_the_size_of_a_pixel_from_params_unless_their_file_says_it(prepare, tmp_path):
    folder = tmp_path / "clinic"
    folder.mkdir()
    for patient in range(6):
        told = {"PixelSpacing": [0.3, 0.4]} if patient % 2 else {}
        (folder / f"loop{patient}.dcm").write_bytes(dicom(picture(patient)[np.newaxis], patient=f"P{patient}", **told))
        (folder / f"loop{patient}_mask.png").write_bytes(encoded(blob(), "PNG"))
    for given, otherwise in ((None, None), ((0.1, 0.1), (0.1, 0.1))):
        _, info, output = prepare(folder, spacing_mm=given)
        found = [record.spacing for part in info.frames for record in read_records(shards(output, part), info)]
        assert sum(each == pytest.approx((0.3, 0.4)) for each in found if each) == 3
        others = [each for each in found if each is None or each != pytest.approx((0.3, 0.4))]
        assert len(others) == 3
        assert all(each == pytest.approx(otherwise) for each in others)


def test_a_file_that_changes_while_it_is_read_is_noticed(prepare, kaggle_folder, monkeypatch):
    from nerveseg.preprocessing import packing

    folder = kaggle_folder()
    real = packing.assign_splits

    def disturbed(*arguments, **options):
        for path in folder.glob("*_2.tif"):
            path.write_bytes(encoded(picture(99)))
        return real(*arguments, **options)

    monkeypatch.setattr(packing, "assign_splits", disturbed)
    with pytest.raises(DatasetError, match=r"_2\.tif changed while it was being read"):
        prepare(folder)


def test_simulated_frames_are_known_behind_a_link_under_other_names_and_among_others(
    prepare, kaggle_folder, tiny, tmp_path
):
    phantom, linked = tmp_path / "phantom", tmp_path / "clinic"
    write_phantom(phantom, tiny.phantom, 7, workers=1)
    linked.symlink_to(phantom)
    _, info, _ = prepare(linked)
    assert info.simulated == sum(info.frames.values()) == 30
    mixed = kaggle_folder()
    assert prepare(mixed)[1].simulated == 0
    for kind in ("", "_mask"):
        (mixed / f"1_99{kind}.tif").write_bytes((phantom / f"1_1{kind}.tif").read_bytes())
    assert prepare(mixed)[1].simulated == 1
