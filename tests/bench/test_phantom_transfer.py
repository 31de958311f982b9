"""`bench/phantom_transfer.py` on tiny sets: what the documented figures rest on."""

import numpy as np
import pandas as pd
import pytest

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from nerveseg.params.fields import FRESH
from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import phantom_transfer

        yield phantom_transfer


@pytest.fixture
def transfer(bench, kaggle_folder, tmp_path, monkeypatch):
    """Over six real subjects, of which 5 and 6 are test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench, "TEST_SUBJECTS", ("5", "6"))
    return bench.Transfer(tmp_path / "work", kaggle_folder(), write_params(tmp_path / "params.yaml"), 10, (40, 16))


def test_each_seed_scores_the_phantom_alone_and_both_starts_on_the_same_frames(transfer, bench, monkeypatch):
    starts = []
    train = bench.train
    monkeypatch.setattr(bench, "train", lambda *args: starts.append(args[1].unet.init_from) or train(*args))
    transfer.run(1, [2, 4])
    rows = transfer.results
    assert rows[["real_subjects", "start"]].to_numpy().tolist() == [
        [0, "phantom alone"], [2, "without the phantom"], [2, "phantom"], [4, "without the phantom"], [4, "phantom"],
    ]  # fmt: skip
    assert starts == [FRESH, FRESH, str(transfer.folder / "unet-1"), FRESH, str(transfer.folder / "unet-1")]
    assert rows["dice_nerve"].between(0, 1).all()
    assert rows["train_frames"].tolist() == [0, 4, 4, 12, 12]
    assert rows["epochs"].tolist() == [0, 4, 4, 1, 1], "16 frames are seen, whatever the number of subjects"

    monkeypatch.setattr(bench, "train", lambda *_: pytest.fail("trained again"))
    transfer.run(1, [2, 4])
    pd.testing.assert_frame_equal(transfer.results, rows)


def test_the_real_subjects_are_drawn_by_the_seed_and_test_is_always_the_same(transfer):
    drawn = {}
    for seed in (1, 2, 3):
        prepared = transfer._prepare_real(seed, 2)
        info = DatasetInfo.read(prepared)
        parts = {part: {record.subject for record in read_records(shards(prepared, part), info)}
                 for part in ("train", "val", "test")}  # fmt: skip
        assert parts["test"] == {"5", "6"}
        assert len(parts["train"]) == len(parts["val"]) == 1
        drawn[seed] = (*parts["train"], *parts["val"])
    assert len(set(drawn.values())) > 1


def test_the_report_has_mean_and_range_over_the_seeds(transfer, bench):
    transfer.folder.mkdir()
    rows = [[seed, 5, "phantom", 4, 4, 0.5, dice, 0.4, 1.0] for seed, dice in ((1, 0.6), (2, 0.8))]
    pd.DataFrame(rows, columns=bench.COLUMNS).to_csv(transfer.folder / "results.csv")
    assert transfer.report().splitlines()[-1].split() == ["5", "phantom", "2", "0.700", "0.600", "0.800"]
    assert np.isclose(transfer.results["dice_nerve"].mean(), 0.7)
