"""`bench/augmentation_study.py` on a tiny data set: what the documented figures rest on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nerveseg.augmentation.variants import variant
from nerveseg.errors import DatasetError
from nerveseg.params.data import AugmentParams
from nerveseg.params.file import load_params
from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import augmentation_study

        yield augmentation_study


def test_each_knob_has_a_strength_and_an_arm_that_turns_it_on_alone_against_its_baseline(bench):
    knobs = set(AugmentParams.model_fields) - {"variants"}
    assert set(bench.STRENGTHS) == knobs
    arms = bench.all_arms(load_params(ROOT / "params.yaml").augment)
    for knob in knobs:
        added = set(arms[knob].knobs.items()) - set(arms[arms[knob].baseline].knobs.items())
        assert added == {(knob, bench.STRENGTHS[knob])}


def test_an_arm_turns_on_its_knobs_and_no_other(bench):
    section = bench.only({"speckle": 2.0}, load_params(ROOT / "params.yaml").augment)
    assert {knob for knob in bench.STRENGTHS if getattr(section, knob)} == {"speckle"}


@pytest.fixture
def study(bench, kaggle_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split = {"test_subjects": ["5", "6"], "val_fraction": 0.2}
    params = write_params(tmp_path / "params.yaml", {"split": split, "augment": {"variants": 3}})
    source = kaggle_folder()
    return lambda minutes=1e-6: bench.Study.open(tmp_path / "study", params, source, minutes)


def test_a_study_takes_up_what_is_done_and_a_training_depends_on_its_arm_and_seed_alone(bench, study, monkeypatch):
    arms = bench.all_arms(study().params.augment)
    bench.run_study(study(), arms, ["nothing", "geometry"], [1])
    first = study().results
    assert first["arm"].tolist() == ["nothing", "geometry"]
    assert first["dice_nerve"].between(0, 1).all()
    assert sorted(path.name for path in study().folder.iterdir()) == ["cases", "prepared", "results.csv", "study.json"]

    monkeypatch.setattr(bench.Study, "run", lambda *_: pytest.fail("trained again"))
    bench.run_study(study(), arms, ["geometry", "nothing"], [1])
    monkeypatch.undo()

    first[first["arm"] == "nothing"].to_csv(study().folder / "results.csv", index=False)
    bench.run_study(study(), arms, ["geometry"], [1])
    again = study().results
    assert again.drop(columns="minutes").equals(first.drop(columns="minutes"))


def test_a_training_that_was_stopped_goes_on_from_its_last_whole_epoch(bench, study, monkeypatch):
    import trainings

    arm, fit = bench.Arm("flip", {"flip": 0.5}), trainings.SupervisedTraining.fit
    two_epochs = replace(study(), epochs=2)
    two_epochs.run(arm, 1)

    def stop(*_):
        raise KeyboardInterrupt

    begun = []
    fitting = (trainings.SupervisedTraining, "fit")
    monkeypatch.setattr(*fitting, lambda training, task: fit(training, task._replace(on_epoch=stop)))
    with pytest.raises(KeyboardInterrupt):
        two_epochs.run(arm, 1)
    monkeypatch.setattr(
        *fitting, lambda training, task: fit(training, task._replace(on_epoch=lambda n, _: begun.append(n)))
    )
    two_epochs.run(arm, 1)
    assert begun == [1, 2], "an epoch is told before it is kept"
    whole, resumed = study().results.drop(columns="minutes").to_dict("records")
    assert resumed == whole


def test_a_report_holds_an_arm_against_its_baseline_by_seed_and_by_subject(bench, study):
    arms = bench.all_arms(study().params.augment)
    (study().folder / "cases").mkdir()
    dice = {("nothing", 1): 0.5, ("nothing", 2): 0.6, ("flip", 1): 0.6, ("flip", 2): 0.9}
    rows = []
    for (arm, seed), value in dice.items():
        cases = {"subject": [5, 6], "has_nerve": True, "dice": [value - 0.1, value + 0.1]}
        pd.DataFrame(cases).to_csv(study().folder / "cases" / f"{arm}-{seed}.csv")
        rows.append({"arm": arm, "seed": seed, "knobs": "none" if arm == "nothing" else "flip=0.5"})
    pd.DataFrame(rows).to_csv(study().folder / "results.csv")
    shown = study().report(arms)
    assert shown.splitlines()[-1].split() == [
        "flip",
        "2",
        "0.7500",
        "nothing",
        "0.2000",
        "0.1000",
        "0.3000",
        "2",
        "of",
        "2",
    ]


def test_a_folder_of_another_study_is_refused(study):
    study()
    with pytest.raises(DatasetError, match=r"'minutes': 1e-06.*name another --folder"):
        study(minutes=2.0)


def test_the_arm_nothing_trains_on_the_frames_themselves(bench):
    frame = np.random.default_rng(0).integers(0, 256, (32, 48)).astype(np.uint8)
    section = bench.only({}, load_params(ROOT / "params.yaml").augment)
    assert np.array_equal(variant(frame, frame, section, (1,))[0], frame)
