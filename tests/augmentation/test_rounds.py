import numpy as np
import pytest

from drawn_frames import simulated_frame
from nerveseg.augmentation.rounds import round_of, write_rounds
from nerveseg.dataset.info import prepared
from nerveseg.dataset.records import Record
from nerveseg.params.file import load_params
from paths import ROOT

PARAMS = load_params(ROOT / "params.yaml").augment.model_copy(update={"variants": 2})


@pytest.fixture
def train():
    pairs = [simulated_frame((32, 48), nerve=True, seed=seed) for seed in range(9)]
    return [Record(f"1_{i}", "1", frame, mask * np.uint8(255), mask) for i, (frame, mask) in enumerate(pairs)]


def test_a_round_has_every_train_frame_once_in_an_order_of_its_own(train):
    orders = [[record.name for record in round_of(train, number, PARAMS, 5)] for number in range(3)]
    assert all(sorted(order) == [record.name for record in train] for order in orders)
    assert len({tuple(order) for order in orders}) == 3


def test_over_all_rounds_a_frame_is_itself_once_and_else_a_new_variant(train):
    rounds = [{record.name: record for record in round_of(train, number, PARAMS, 5)} for number in range(3)]
    for record in train:
        frames = [made[record.name].frame for made in rounds]
        assert sum(np.array_equal(frame, record.frame) for frame in frames) == 1
        assert len({frame.tobytes() for frame in frames}) == 3


def test_a_round_is_the_same_however_many_were_made_before_it(train):
    alone = list(round_of(train, 2, PARAMS, 5))
    list(round_of(train, 0, PARAMS, 5))
    assert [made.frame.tobytes() for made in round_of(train, 2, PARAMS, 5)] == [made.frame.tobytes() for made in alone]
    assert [made.frame.tobytes() for made in round_of(train, 2, PARAMS, 6)] != [made.frame.tobytes() for made in alone]


def test_a_record_of_a_round_holds_no_truth(train):
    assert all(record.truth is None for record in round_of(train, 1, PARAMS, 5))


@pytest.mark.slow
def test_rounds_written_by_several_processes_are_those_written_by_one(train, tmp_path, monkeypatch):
    monkeypatch.setattr("nerveseg.augmentation.rounds.SHARES", 1)
    written = {}
    for few in (0, 10**6):
        monkeypatch.setattr("nerveseg.augmentation.rounds.FEW", few)
        folder = tmp_path / str(few)
        folder.mkdir()
        written[few] = [path.read_bytes() for path in write_rounds(folder, train, PARAMS, 5, 3)]
        names = [path.name for path in prepared(folder).files()]
        assert names == [f"round-00{number}.tfrecord" for number in range(3)]
    assert written[0] == written[10**6]
    assert len(set(written[0])) == 3
