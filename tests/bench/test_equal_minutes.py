"""`bench/equal_minutes.py` on a tiny data set."""

import json

import pytest

from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import read_records
from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import equal_minutes

        yield equal_minutes


def subjects(folder, split):
    info = DatasetInfo.read(folder)
    return {int(record.subject) for record in read_records(shards(folder, split), info)}


def test_folds_are_trained_once_and_scored_alone_and_together_on_subjects_that_none_has_seen(
    bench, kaggle_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "fresh").mkdir(parents=True)
    params = write_params(tmp_path / "params.yaml", {"unet": {"epochs": 1}})
    source = kaggle_folder(subjects=range(1, 38), frames=2)
    table = bench.compare(tmp_path / "results", source, params, 1, 2, 2)
    assert table["fold"].tolist() == [0, 1]
    assert table["all minutes"].iloc[-1] == pytest.approx(table["minutes"].sum())
    assert table[["dice_nerve", "ensemble dice_nerve"]].stack().between(0, 1).all()
    assert table["ensemble dice_nerve"].iloc[0] == table["dice_nerve"].iloc[0]
    records = [tmp_path / "results" / f"records-1-{fold}-of-2" for fold in range(2)]
    assert [subjects(folder, "test") for folder in records] == [set(range(31, 38))] * 2
    held = [subjects(folder, "val") for folder in records]
    assert held[0] | held[1] == set(range(1, 31))
    assert not held[0] & held[1]
    monkeypatch.setattr(bench, "train", lambda *_: pytest.fail("trained again"))
    again = bench.compare(tmp_path / "results", source, params, 1, 2, 2)
    assert json.loads(again.to_json()) == json.loads(table.to_json())
