import json
from dataclasses import asdict

import numpy as np
import pytest
import tensorflow as tf

from drawn_frames import simulated_frame
from drawn_models import member
from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import list_files
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.saved_models.ensemble import Ensemble, median_cutoffs
from nerveseg.saved_models.loading import load_predictor
from nerveseg.training.distribution import make_deterministic
from nerveseg.unet.segmenter import Segmenter
from summation_order import sums_of_three

pytestmark = pytest.mark.slow

FRAMES = [simulated_frame(size, nerve=True, seed=1)[0] for size in ((48, 80), (32, 64))]


def test_an_ensemble_says_the_mean_of_what_its_members_say():
    members = {f"fold-{seed}": member(seed) for seed in range(3)}
    for number, found in enumerate(Ensemble(members).predict(FRAMES)):
        said = [each.predict(FRAMES)[number] for each in members.values()]
        assert np.allclose(found.probability, np.mean([one.probability for one in said], 0), atol=1e-5)
        assert found.presence == pytest.approx(np.mean([one.presence for one in said]), abs=1e-5)
        assert found.mask.shape == FRAMES[number].shape


def test_no_sum_in_an_ensemble_of_five_depends_on_timing():
    make_deterministic(0)
    ensemble = Ensemble({f"fold-{seed}": member(seed) for seed in range(5)})
    assert sums_of_three(tf.function(ensemble.network), tf.zeros((2, *ensemble.size, 1))) == []


def test_members_that_keras_gave_equal_names_make_an_ensemble():
    members = {}
    for seed in range(2):
        tf.keras.backend.clear_session()
        members[f"fold-{seed}"] = member(seed)
    assert members["fold-0"].network.name == members["fold-1"].network.name
    assert len(Ensemble(members).predict(FRAMES)) == len(FRAMES)


def test_a_saved_ensemble_predicts_the_same_after_loading_and_knows_all_frames_of_its_members(tmp_path):
    ensemble = Ensemble({"a": member(1, learnt_frames=["1"]), "b": member(2, learnt_frames=["1", "2"])})
    ensemble.save(tmp_path)
    again = load_predictor(tmp_path)
    assert isinstance(again, Ensemble)
    assert again.learnt_frames == {"1", "2"}
    assert again.cutoffs == ensemble.cutoffs
    for one, other in zip(ensemble.predict(FRAMES), again.predict(FRAMES), strict=True):
        assert np.array_equal(one.probability, other.probability)


@pytest.mark.parametrize("simulated", [(True, True), (True, False), (False, False)])
def test_an_ensemble_has_learnt_from_simulated_frames_alone_if_all_its_members_have(simulated):
    members = {str(seed): member(seed, simulated_only=alone) for seed, alone in enumerate(simulated)}
    assert Ensemble(members).simulated_only == all(simulated)


def test_a_folder_with_one_training_is_loaded_as_that(tmp_path):
    member(1).save(tmp_path)
    assert isinstance(load_predictor(tmp_path), Segmenter)


def test_cut_offs_are_medians_and_the_threshold_is_expected_where_that_of_most_is():
    three = [Cutoffs(0.2, 0.01, 0.5), Cutoffs(0.4, 0.0, 0.7), Cutoffs("expected", 0.003, 0.1)]
    assert asdict(median_cutoffs(three)) == pytest.approx({"threshold": 0.3, "min_area": 0.003, "presence": 0.5})
    assert median_cutoffs([*three[1:], Cutoffs("expected")]).threshold == "expected"


def test_members_of_other_input_sizes_are_named():
    with pytest.raises(ModelError, match=r"one input size, but there are a of 32 x 64, b of 32 x 96"):
        Ensemble({"a": member(1), "b": member(2, width=96)})


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"members": []}', '{"members": [".."]}', '{"members": ["a/b"]}', '{"members": 3}']
)
def test_a_damaged_ensemble_says_how_to_make_it_again(tmp_path, content):
    (tmp_path / "ensemble.json").write_text(content)
    list_files(tmp_path)
    with pytest.raises(ModelError, match=r"ensemble\.json .*make it again with `nerveseg folds`"):
        load_predictor(tmp_path)


def test_a_member_that_is_gone_is_named(tmp_path):
    Ensemble({"a": member(1), "b": member(2)}).save(tmp_path)
    (tmp_path / "members" / "b" / "segmenter.json").unlink()
    with pytest.raises(ModelError, match=r"b/segmenter\.json was not found"):
        load_predictor(tmp_path)
    assert json.loads((tmp_path / "ensemble.json").read_text())["members"] == ["a", "b"]


def test_a_member_may_be_called_like_the_files_that_list_them(tmp_path):
    Ensemble({"ensemble.json": member(1), "files.json": member(2)}).save(tmp_path)
    assert list(load_predictor(tmp_path).members) == ["ensemble.json", "files.json"]


def test_a_file_is_no_folder_of_a_model(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"file is a file, not the folder of a trained model"):
        load_predictor(tmp_path / "file")
