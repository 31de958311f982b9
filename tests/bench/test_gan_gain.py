"""`bench/gan_gain.py` on a tiny data set."""

import numpy as np
import pandas as pd
import pytest

from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import gan_gain

        yield gan_gain


def test_other_params_of_the_refiner_need_no_new_unet_and_what_was_measured_is_not_again(
    bench, kaggle_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "fresh").mkdir(parents=True)
    source = kaggle_folder()
    params = write_params(tmp_path / "params.yaml", {"unet": {"epochs": 1}})
    first = bench.compare(tmp_path / "results", source, params, 1)
    assert set(first["model"]) == {"unet_untuned", "unet", "control", "adversarial"}
    assert (first["minutes"] > 0).all()
    monkeypatch.setattr(bench, "train", lambda *_: pytest.fail("another U-Net was trained"))
    alone = params.model_copy(update={"gan": params.gan.model_copy(update={"critic": "none"})})
    second = bench.compare(tmp_path / "results", source, alone, 1)
    assert set(second["model"]) == {"unet_untuned", "unet", "control"}
    monkeypatch.setattr(bench, "_refined", lambda *_: pytest.fail("refined again"))
    pd.testing.assert_frame_equal(first, bench.compare(tmp_path / "results", source, params, 1))


def test_out_of_fold_each_train_frame_is_predicted_by_a_unet_that_was_trained_without_its_subject(
    bench, kaggle_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "fresh").mkdir(parents=True)
    source = kaggle_folder(subjects=range(1, 9))
    params = write_params(tmp_path / "params.yaml", {"unet": {"epochs": 1}})
    given = bench.Seed(tmp_path / "seed", source, params, 1)
    trained, really = [], bench.train

    def train(records, *rest):
        info = bench.DatasetInfo.read(records)
        trained.append({record.subject for record in bench.read_records(bench.shards(records, "train"), info)})
        return really(records, *rest)

    monkeypatch.setattr(bench, "train", train)
    given.unet()
    (tmp_path / "rounds").mkdir()
    members = bench._members(given, 2, tmp_path / "rounds")
    seen = []
    for member, learnt in zip(members, trained[1:], strict=True):
        held = {record.subject for record in bench.read_records(member.rounds[:1], member.info)}
        seen.append(held)
        assert not learnt & held
        assert learnt | held == trained[0]
        assert member.info.frames["train"] == 4 * len(held)
    assert not seen[0] & seen[1]
    assert seen[0] | seen[1] == set(given.subjects("train"))
    inputs = bench.OutOfFold(members, 4, given.unet().unet, 0.0, params.degradation, 1)
    batches = list(inputs.train((), 0))
    assert len(batches) == sum(-(-member.info.frames["train"] // 4) for member in members)
    of_first, of_second = (members[n].unet(batches[n].frames)["logits"].numpy() for n in (0, 1))
    assert np.allclose(batches[0].logits, of_first, atol=1e-4)
    assert np.allclose(batches[1].logits, of_second, atol=1e-4)
    assert not np.allclose(batches[1].logits, members[0].unet(batches[1].frames)["logits"], atol=1e-4)


def test_the_summary_is_over_seeds_and_counts_intervals_that_exclude_zero(bench):
    where = {"degradation": "all", "severity": 3}
    of_unet = [
        {"seed": seed, **where, "model": "unet", "dice_nerve": 0.6, "hd95_common": 10.0 + seed} for seed in range(3)
    ]
    rows = [
        {"seed": seed, **where, "model": "control", "dice_nerve": 0.7, "hd95_common": 20.0}
        | {
            "dice_nerve_gain": gain,
            "dice_nerve_low": gain - 0.02,
            "hd95_common_gain": -100 * gain,
            "hd95_common_high": 2 - 100 * gain,
        }
        for seed, gain in enumerate((0.01, 0.03, 0.05))
    ]
    found = bench.summary(pd.DataFrame(of_unet + rows)).loc[("all", 3, "control")]
    assert found["dice_nerve gain"] == pytest.approx(0.03)
    assert found["dice_nerve gain sd"] == pytest.approx(0.02)
    assert found["dice_nerve sure"] == found["hd95_common sure"] == 2
    assert found["hd95_common gain"] == pytest.approx(-3.0)
    assert found["hd95 gain %"] == pytest.approx(-100 * (1 / 10 + 3 / 11 + 5 / 12) / 3)
    assert found["dice_nerve sd"] == 0.0
