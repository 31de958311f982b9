import numpy as np
import pytest

from nerveseg.data.preparation import MANIFEST_COLUMNS, inspect, pack
from nerveseg.data.records import DatasetInfo, read_records, shards
from nerveseg.errors import DatasetError


@pytest.fixture
def prepared(kaggle_folder, tiny, tmp_path):
    inspection = inspect(kaggle_folder(), tiny.split, tiny.seed)
    folder = tmp_path / "processed"
    folder.mkdir()
    return inspection, pack(inspection, folder, tiny.preprocess), folder


def test_the_manifest_has_a_row_for_each_frame(prepared):
    manifest = prepared[0].manifest
    assert list(manifest.columns) == MANIFEST_COLUMNS
    assert len(manifest) == 24
    assert manifest["has_nerve"].sum() == 12
    assert (manifest.loc[~manifest["has_nerve"], "mask_area"] == 0).all()
    assert set(manifest["height"]) == {48}


def test_no_subject_is_in_two_splits_of_the_records(prepared):
    _, info, folder = prepared
    subjects = {
        split: {record.subject for record in read_records(shards(folder, split), info)} for split in info.frames
    }
    assert sum(map(len, subjects.values())) == len(set.union(*subjects.values())) == 6


def test_the_statistics_are_those_of_train(prepared):
    _, info, folder = prepared
    levels = np.stack([record.frame for record in read_records(shards(folder, "train"), info)])
    assert info.mean == pytest.approx(levels.mean(dtype=np.float64))
    assert info.std == pytest.approx(levels.std(dtype=np.float64))


def test_a_record_keeps_the_mask_as_the_annotator_drew_it(prepared):
    inspection, info, folder = prepared
    areas = inspection.manifest.set_index("frame")["mask_area"]
    for split in info.frames:
        for record in read_records(shards(folder, split), info):
            assert record.annotated.shape == (48, 80)
            assert record.annotated.sum() == areas[record.name]
            assert (record.original is not None) == (split == "test")


def test_the_digest_follows_the_frames(prepared, kaggle_folder, tiny, tmp_path):
    _, info, folder = prepared
    source = kaggle_folder()
    (source / "1_1.tif").write_bytes((source / "1_3.tif").read_bytes())
    other = tmp_path / "other"
    other.mkdir()
    changed = pack(inspect(source, tiny.split, tiny.seed), other, tiny.preprocess)
    assert changed.digest != info.digest
    assert DatasetInfo.read(folder) == info


def test_bad_files_are_told_and_the_rest_is_used(kaggle_folder, tiny):
    folder = kaggle_folder()
    (folder / "3_1.tif").write_bytes(b"")
    (folder / "4_1_mask.tif").unlink()
    inspection = inspect(folder, tiny.split, tiny.seed)
    assert len(inspection.manifest) == 22
    assert {item.file for item in inspection.quarantined} == {"3_1.tif", "4_1.tif"}


def test_a_data_set_in_which_every_frame_shows_a_nerve_is_fine(kaggle_folder, tiny):
    folder = kaggle_folder()
    for path in folder.glob("*_[13]*.tif"):
        path.unlink()
    manifest = inspect(folder, tiny.split, tiny.seed).manifest
    assert manifest["has_nerve"].all()
    assert len(manifest) == 12


def test_a_split_without_a_nerve_is_an_error_that_names_it(kaggle_folder, tiny):
    folder = kaggle_folder()
    for number in (2, 4):
        for name in (f"6_{number}.tif", f"6_{number}_mask.tif"):
            (folder / name).unlink()
    split = tiny.split.model_copy(update={"val_subjects": ("6",)})
    with pytest.raises(DatasetError, match="no frame of the val subjects shows a nerve"):
        inspect(folder, split, tiny.seed)


def test_a_folder_of_broken_files_stops_with_the_first_reason(kaggle_folder, tiny):
    folder = kaggle_folder(subjects=[1])
    for path in folder.glob("*.tif"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"none of 4 pairs can be used; first reason: .*1_1\.tif: the file is empty"):
        inspect(folder, tiny.split, tiny.seed)
