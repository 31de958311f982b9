import json

import pytest

from nerveseg.errors import DatasetError, ParamsError
from nerveseg.experiments.sweep_score import score_named
from repositories import make_repository, use_settings

SCORES = {"gan": {"dice_nerve": 0.75, "hd95": None, "used": True}}


@pytest.fixture
def commit(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "metrics.json").write_text(json.dumps(SCORES))
    (tmp_path / "metrics" / "unet_history.csv").write_text("epoch,val_dice\n1,0.25\n2,0.5\n3,0.375\n")
    use_settings(monkeypatch)
    make_repository(tmp_path)
    return "HEAD"


def test_the_score_on_val_is_the_best_of_the_curve(commit):
    score = score_named("val_dice")
    assert score.of(commit) == 0.5
    assert score.on_val
    assert not score.lower_is_better


def test_a_dotted_name_is_a_score_of_the_test_frames(commit):
    score = score_named("gan.dice_nerve")
    assert score.of(commit) == 0.75
    assert not score.on_val


def test_distances_are_better_when_lower(commit):
    assert score_named("gan.hd95").lower_is_better


@pytest.mark.parametrize("name", ["gan.hd95", "adversarial_val_dice"])
def test_a_score_that_a_commit_has_not_is_told(commit, name):
    with pytest.raises(DatasetError, match="commit HEAD"):
        score_named(name).of(commit)


def test_a_name_that_is_no_score_is_told_with_the_nearest(commit):
    with pytest.raises(ParamsError, match=r"--score gan\.dice_nerves is not a score; did you mean gan\.dice_nerve\?"):
        score_named("gan.dice_nerves")


def test_before_the_first_run_any_dotted_name_may_be_a_score(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert score_named("gan.iou").name == "gan.iou"
    with pytest.raises(ParamsError, match="use val_dice"):
        score_named("accuracy")
