import numpy as np
import pytest

from conftest import simulated_frame, write_pair
from nerveseg.data.dataset import LoadedPair, Quarantined, find_pairs, load_pairs, natural_key
from nerveseg.errors import DatasetError

FRAME, MASK = simulated_frame((20, 30), nerve=True, seed=1)


def test_pairs_come_in_natural_order_with_their_subject(kaggle_folder):
    pairs, quarantined = find_pairs(kaggle_folder(subjects=[10, 2], frames=11))
    assert [pair.name for pair in pairs[:3]] == ["2_1", "2_2", "2_3"]
    assert [pair.subject for pair in pairs] == ["2"] * 11 + ["10"] * 11
    assert quarantined == []


def test_an_image_without_its_mask_is_quarantined_with_its_name(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    (folder / "1_2_mask.tif").unlink()
    pairs, quarantined = find_pairs(folder)
    assert [pair.name for pair in pairs] == ["1_1", "1_3", "1_4"]
    assert [item.file for item in quarantined] == ["1_2.tif"]
    assert "1_2_mask is missing" in quarantined[0].reason


def test_a_mask_without_its_frame_is_quarantined_with_its_name(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    (folder / "1_2.tif").unlink()
    assert [item.file for item in find_pairs(folder)[1]] == ["1_2_mask.tif"]


def test_a_foreign_name_is_quarantined_and_other_files_are_no_concern(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    (folder / "photo.tif").write_bytes((folder / "1_1.tif").read_bytes())
    (folder / "notes.txt").write_text("thanks")
    assert [item.file for item in find_pairs(folder)[1]] == ["photo.tif"]


def test_two_files_of_one_name_do_not_hide_each_other(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    (folder / "1_1.png").write_bytes((folder / "1_1.tif").read_bytes())
    reasons = {item.file: item.reason for item in find_pairs(folder)[1]}
    assert "1_1.png has the same name" in reasons["1_1.tif"]


def test_a_folder_that_is_missing_says_where_frames_belong(tmp_path):
    with pytest.raises(DatasetError, match=r"none is not a folder.*S_N\.tif.*data\.dir"):
        find_pairs(tmp_path / "none")


def test_a_folder_without_a_pair_says_what_it_holds(tmp_path):
    with pytest.raises(DatasetError, match="holds 0 images but no pair"):
        find_pairs(tmp_path)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_order_does_not_depend_on_the_workers(kaggle_folder, workers):
    pairs, _ = find_pairs(kaggle_folder())
    loaded = list(load_pairs(pairs, workers))
    assert [item.pair for item in loaded if isinstance(item, LoadedPair)] == pairs


def test_a_frame_and_a_mask_of_other_size_are_quarantined_with_both_sizes(tmp_path):
    write_pair(tmp_path, "1_1", FRAME, MASK[:10])
    (found,) = load_pairs(find_pairs(tmp_path)[0])
    assert isinstance(found, Quarantined)
    assert "30x20" in found.reason
    assert "30x10" in found.reason


def test_a_broken_file_is_quarantined_and_the_others_are_read(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    (folder / "1_3.tif").write_bytes(b"II*\x00broken")
    found = list(load_pairs(find_pairs(folder)[0]))
    assert [type(item) for item in found] == [LoadedPair, LoadedPair, Quarantined, LoadedPair]


def test_the_digest_changes_with_frame_or_mask(tmp_path):
    write_pair(tmp_path, "1_1", FRAME, MASK)
    write_pair(tmp_path, "1_2", FRAME, ~MASK)
    write_pair(tmp_path, "1_3", 255 - FRAME, MASK)
    write_pair(tmp_path, "1_4", FRAME, MASK)
    digests = [item.digest for item in load_pairs(find_pairs(tmp_path)[0]) if isinstance(item, LoadedPair)]
    assert len(set(digests)) == 3
    assert digests[0] == digests[3]


def test_reading_leaves_the_originals_untouched(kaggle_folder):
    folder = kaggle_folder(subjects=[1])
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    list(load_pairs(find_pairs(folder)[0]))
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_natural_order_counts_numbers_as_numbers():
    assert sorted(["10_1", "2_10", "2_9", "b", "a2", "a10"], key=natural_key) == [
        "2_9",
        "2_10",
        "10_1",
        "a2",
        "a10",
        "b",
    ]


def test_frames_keep_their_pixels(tmp_path):
    write_pair(tmp_path, "1_1", FRAME, MASK)
    (loaded,) = load_pairs(find_pairs(tmp_path)[0])
    assert isinstance(loaded, LoadedPair)
    assert np.array_equal(loaded.frame, FRAME)
    assert np.array_equal(loaded.mask, MASK)
