from dataclasses import replace

import numpy as np
import pytest

from drawn_frames import simulated_frame
from nerveseg.dataset.batches import batches, whole_batches
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import Record, read_records, write_records
from nerveseg.errors import DatasetError
from nerveseg.files.checked_folder import list_files

INFO = DatasetInfo(source="data/raw/clinic", input=InputSpec(24, 32, 90.0, 30.0), frames={"train": 7}, digest="0")


def record(number, *, whole=True):
    frame, mask = simulated_frame((24, 32), nerve=number % 2 == 0, seed=number)
    large, truth = simulated_frame((50, 70), nerve=True, seed=number)
    soft = mask.astype(np.uint8) * 200
    return Record(f"1_{number}", "1", frame, soft, truth if whole else None, large if whole else None)


RECORDS = [record(number) for number in range(7)]


@pytest.fixture
def paths(tmp_path):
    written = [tmp_path / f"train-{shard:02d}.tfrecord" for shard in range(3)]
    assert write_records(written, (record.serialise() for record in RECORDS)) == 7
    return written


def test_records_are_dealt_to_the_shards_in_turn_and_come_back_whole(paths):
    back = list(read_records(paths, INFO))
    assert [item.name for item in back] == ["1_0", "1_3", "1_6", "1_1", "1_4", "1_2", "1_5"]
    for item in back:
        original = RECORDS[int(item.name[2:])]
        for field in ("frame", "mask", "truth", "original"):
            assert np.array_equal(getattr(item, field), getattr(original, field)), field
        assert item.subject == "1"


def test_an_augmented_record_has_no_truth_and_says_so(tmp_path):
    write_records([tmp_path / "round-00.tfrecord"], [record(1, whole=False).serialise()])
    (back,) = read_records([tmp_path / "round-00.tfrecord"], INFO)
    with pytest.raises(DatasetError, match="1_1 holds no annotated mask"):
        _ = back.annotated
    with pytest.raises(DatasetError, match="1_1 holds its frame at the network's size only"):
        _ = back.as_read


def test_the_same_records_give_the_same_bytes(paths, tmp_path):
    again = [tmp_path / f"again-{shard}.tfrecord" for shard in range(3)]
    write_records(again, (record.serialise() for record in RECORDS))
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]


def test_a_write_that_fails_leaves_no_shard_behind(tmp_path):
    def failing():
        yield RECORDS[0].serialise()
        raise DatasetError("stop")

    with pytest.raises(DatasetError, match="stop"):
        write_records([tmp_path / "train-00.tfrecord"], failing())
    assert not list(tmp_path.glob("*.tfrecord"))


def test_batches_hold_grey_levels_and_shares_of_nerve(paths):
    frames, masks = zip(*batches(paths, INFO, 4).as_numpy_iterator(), strict=True)
    assert [batch.shape for batch in frames] == [(4, 24, 32, 1), (3, 24, 32, 1)]
    levels, shares = np.concatenate(frames)[..., 0], np.concatenate(masks)[..., 0]
    ordered = list(read_records(paths, INFO))
    assert np.array_equal(levels, np.stack([item.frame for item in ordered]).astype(np.float32))
    assert np.allclose(shares, np.stack([item.mask for item in ordered]) / 255)


@pytest.fixture
def a_round(tmp_path):
    path = tmp_path / "round-00.tfrecord"
    write_records([path], (item.serialise() for item in RECORDS))
    return path


def drawn(path, seed, epochs=range(1), **shares):
    """Sums of the frames, which tell them apart, by batch."""
    dataset = whole_batches([path], INFO, 4, seed, epochs, **shares)
    return [frames.sum((1, 2, 3)).tolist() for frames, _ in dataset.as_numpy_iterator()]


def test_an_order_depends_on_its_seed_alone(a_round):
    assert drawn(a_round, 1) == drawn(a_round, 1)
    assert drawn(a_round, 1) != drawn(a_round, 2)


def test_the_order_of_an_epoch_does_not_depend_on_the_epochs_before_it(a_round):
    first, second, third = drawn(a_round, 1), drawn(a_round, 1, range(1, 2)), drawn(a_round, 1, range(2, 3))
    assert drawn(a_round, 1, range(3)) == first + second + third
    assert first != second != third


def test_epochs_take_the_rounds_in_turn(a_round, tmp_path):
    other = tmp_path / "round-01.tfrecord"
    write_records([other], (replace(item, frame=255 - item.frame).serialise() for item in RECORDS))
    sums = [
        sorted(frames.sum() for frames, _ in whole_batches([a_round, other], INFO, 1, 1, range(epoch, epoch + 1)).as_numpy_iterator())
        for epoch in range(3)
    ]  # fmt: skip
    assert sums[0] == sums[2] == sorted(float(item.frame.sum()) for item in RECORDS)
    assert sums[1] == sorted(float((255 - item.frame).sum()) for item in RECORDS)


def test_each_record_is_drawn_once_and_some_again_to_fill_the_last_batch(a_round):
    batched = drawn(a_round, 1)
    assert [len(batch) for batch in batched] == [4, 4]
    sums = sorted(float(item.frame.sum()) for item in RECORDS)
    assert len(RECORDS) == 7
    *once, again = [*batched[0], *batched[1]]
    assert sorted(once) == pytest.approx(sums)
    assert again in sums


def test_the_shares_of_several_devices_make_up_the_batches_of_one(a_round):
    whole = drawn(a_round, 3)
    first, second = (drawn(a_round, 3, shares=(2, [share])) for share in (0, 1))
    assert [one + other for one, other in zip(first, second, strict=True)] == whole
    both = drawn(a_round, 3, shares=(2, [0, 1]))
    assert [one + other for one, other in zip(both[::2], both[1::2], strict=True)] == whole


def test_missing_shards_and_a_missing_description_say_what_to_run(tmp_path):
    with pytest.raises(DatasetError, match=r"files\.json was not found; run `dvc repro`"):
        shards(tmp_path, "val")
    list_files(tmp_path)
    with pytest.raises(DatasetError, match=r"no val-\*\.tfrecord; run `dvc repro`"):
        shards(tmp_path, "val")
    with pytest.raises(DatasetError, match=r"dataset\.json was not found"):
        DatasetInfo.read(tmp_path)
    (tmp_path / "dataset.json").write_text('{"height": 3}')
    list_files(tmp_path)
    with pytest.raises(DatasetError, match=r"dataset\.json cannot be used: source: Field required; run `dvc repro`"):
        DatasetInfo.read(tmp_path)


def test_the_description_of_the_data_set_comes_back(tmp_path):
    INFO.write(tmp_path)
    list_files(tmp_path)
    assert DatasetInfo.read(tmp_path) == INFO
