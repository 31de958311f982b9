"""The arms of the ablation, and which of them ships."""

import json
from copy import copy
from functools import cache

import numpy as np
import pytest

from drawn_frames import simulated_frame
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.evaluation.test_set import TestSet
from nerveseg.files.checked_folder import list_files
from nerveseg.inference.cutoff_search import search_cutoffs
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.measures.intervals import Interval
from nerveseg.params.file import load_params
from nerveseg.refinement import model_selection
from nerveseg.refinement.ablation_arms import Arms
from nerveseg.refinement.model_selection import choose
from nerveseg.refinement.outcome import Refinement
from nerveseg.refinement.refiner import COPY, POOR, build_refiner, start_from
from nerveseg.training.distribution import make_deterministic
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig
from paths import ROOT

pytestmark = pytest.mark.slow

PARAMS = load_params(ROOT / "params.yaml")
UNET = PARAMS.unet.model_copy(
    update={"encoder": "plain", "encoder_weights": None, "stem": 1, "base_filters": 4, "depth": 2}
)
SEARCH = PARAMS.postprocess.model_copy(
    update={"thresholds": (0.3, 0.5), "min_areas": (0.0,), "presences": (0.0,), "score": "dice_nerve", "flip": False}
)
SPEC = InputSpec(32, 64, 100.0, 40.0)
FRAMES, TRUTHS = zip(*(simulated_frame(SPEC.size, nerve=True, seed=seed) for seed in range(6)), strict=True)
INPUTS = np.stack(FRAMES)


@cache
def built(name):
    """A network and its first weights; what is made of it is set anew by each test."""
    make_deterministic(0)
    network = build_unet(UNET, SPEC) if name == "unet" else build_refiner(UNET, 4, SPEC)
    return network, network.get_weights()


def unet(*, flip=False, bias=0.0):
    """A network that calls bright pixels nerve."""
    network, first = built("unet")
    network.set_weights(first)
    weights = np.random.default_rng(0).normal(size=(1, 1, 4, 1))
    network.get_layer("logits").set_weights([weights, np.full(1, bias)])
    return Segmenter(SegmenterConfig(SPEC, UNET, flip=flip, cutoffs=Cutoffs(0.4, 0.01, 0.1)), network)


def set_refiner(name, unet, bias):
    """To one that holds every frame for poor, and adds this bias to every logit of a U-Net."""
    network, first = built(name)
    network.set_weights(first)
    poor, logits = network.get_layer(POOR), start_from(network, unet).get_layer(COPY).get_layer("logits")
    poor.set_weights([np.zeros_like(poor.get_weights()[0]), np.full(1, 30.0)])
    kernel, before = logits.get_weights()
    logits.set_weights([kernel, before + bias])


@cache
def joined(flip, *names):
    return Arms(unet(flip=flip), {name: built(name)[0] for name in names}, 4, {})


def arms(*, flip=False, bias=0.0, control=-2.0, adversarial=2.0, cutoffs=None):
    """The networks are those of the arms that were made before: these take their place."""
    biases = {name: of for name, of in (("control", control), ("adversarial", adversarial)) if of is not None}
    made, of = copy(joined(flip, *biases)), unet(flip=flip, bias=bias)
    for name, of_refiner in biases.items():
        set_refiner(name, of.unet, of_refiner)
    made.cutoffs = {"unet": of.cutoffs} | dict.fromkeys(biases, cutoffs or of.cutoffs)
    return made


@pytest.mark.parametrize("flip", [False, True])
def test_the_arms_in_one_network_say_what_each_says_as_a_model_of_its_own(flip):
    together = arms(flip=flip)
    said = together.estimates(INPUTS, [truth.shape for truth in TRUTHS])
    assert list(said) == ["unet", "control", "adversarial"]
    for name, estimates in said.items():
        alone = together.segmenter(name).estimates(INPUTS, [truth.shape for truth in TRUTHS])
        for one, other in zip(estimates, alone, strict=True):
            assert np.allclose(one.probability, other.probability, atol=1e-5)
            assert one.presence == pytest.approx(other.presence, abs=1e-5)


def test_saved_arms_say_the_same_after_loading(tmp_path):
    before = arms().tuned(INPUTS, TRUTHS, SEARCH)
    before.save(tmp_path / "arms")
    after = Arms.load(tmp_path / "arms", unet())
    assert after.cutoffs == before.cutoffs
    sizes = [truth.shape for truth in TRUTHS]
    for name, estimates in before.estimates(INPUTS, sizes).items():
        for one, other in zip(estimates, after.estimates(INPUTS, sizes)[name], strict=True):
            assert np.array_equal(one.probability, other.probability)


def test_a_refined_arm_gets_cut_offs_of_its_own_and_the_unet_keeps_its():
    tuned = arms().tuned(INPUTS, TRUTHS, SEARCH)
    assert tuned.cutoffs["unet"] == Cutoffs(0.4, 0.01, 0.1)
    for name in ("control", "adversarial"):
        estimates = tuned.segmenter(name).estimates(INPUTS, [truth.shape for truth in TRUTHS])
        assert tuned.cutoffs[name] == search_cutoffs(estimates, TRUTHS, SEARCH)[0]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"filters": 4, "cutoffs": {"control": {"depth": 1}}}'])
def test_a_damaged_folder_of_arms_says_how_to_make_it_again(tmp_path, content):
    (tmp_path / "arms.json").write_text(content)
    list_files(tmp_path)
    with pytest.raises(ModelError, match=r"arms\.json cannot be used: .*; make it again with `dvc repro train_gan`"):
        Arms.load(tmp_path, unet())


def test_missing_weights_of_an_arm_are_named(tmp_path):
    arms().save(tmp_path / "arms")
    (tmp_path / "arms" / "adversarial.npz").unlink()
    with pytest.raises(ModelError, match=r"adversarial\.npz was not found; make it again with `dvc repro train_gan`"):
        Arms.load(tmp_path / "arms", unet())


def seen(truths=TRUTHS, subjects="aabbcc"):
    return TestSet(INPUTS, truths, [str(n) for n in range(6)], list(subjects), [None] * 6)


def outcome(given, remarks=(), val=None):
    return choose(given, val or seen(), SEARCH, PARAMS.degradation, 0, remarks)


def test_where_no_refiner_gains_on_val_the_unet_ships():
    identity = outcome(arms(control=0.0, adversarial=0.0))
    assert identity.arm == "unet"
    assert not identity.used
    assert len(set(identity.clean.values())) == len(set(identity.degraded.values())) == 1
    harmful = outcome(arms(control=-9.0, adversarial=9.0))
    assert harmful.arm == "unet"
    assert harmful.degraded["unet"] == identity.degraded["unet"]
    assert "Val chose the U-Net" in str(identity)


@pytest.mark.parametrize(("control", "adversarial", "shipped"), [(40.0, 0.0, "control"), (0.0, 40.0, "adversarial")])
def test_the_refiner_that_gains_ships_with_its_scores(control, adversarial, shipped):
    """Over a U-Net that finds nothing, one that calls every pixel nerve has gained."""
    found = outcome(arms(bias=-20.0, control=control, adversarial=adversarial))
    assert found.clean["unet"] == found.degraded["unet"] == 0.0
    assert found.degraded[shipped] > 0.05
    assert found.arm == shipped
    assert found.used
    assert {"control": "without", "adversarial": "against"}[shipped] in found.reason


def refined(control, adversarial):
    """Over a U-Net that finds nothing; what differs between the arms is one logit, or a cut-off."""
    return arms(bias=-20.0, control=control, adversarial=adversarial, cutoffs=Cutoffs(0.4))


def test_a_tie_goes_to_the_refiner_without_a_critic_and_the_reason_says_so():
    tied = outcome(refined(20.0, 20.0))
    assert tied.degraded["adversarial"] == tied.degraded["control"] > 0.05
    assert tied.arm == "control"


def test_a_critic_whose_gain_may_be_chance_does_not_ship_and_the_reason_says_so(monkeypatch):
    monkeypatch.setattr(model_selection, "_gain", lambda *_: (0.01, Interval(-0.01, 0.03)))
    found = outcome(refined(0.0, 20.0))
    assert found.degraded["adversarial"] > found.degraded["control"]
    assert found.arm != "adversarial"
    assert (
        "The critic gained +0.0100 Dice on degraded val frames (95 % -0.0100 to +0.0300), which may be chance"
        in found.reason
    )


def test_a_critic_whose_gain_lies_beyond_chance_ships_and_the_reason_gives_the_gain():
    found = outcome(refined(0.0, 20.0))
    assert found.arm == "adversarial"
    assert "which gained most, +0." in found.reason
    assert "(95 % +" in found.reason


def test_a_critic_that_failed_does_not_ship_whatever_it_gained():
    found = outcome(
        refined(0.0, 20.0), ["The critic was right in 51% of its judgements, no more often than by chance."]
    )
    assert found.arm != "adversarial"
    assert "but failed as remarked, and a tie goes to the arm without" in found.reason
    beside = outcome(refined(0.0, 20.0), ["The control refiner diverged in epoch 2: lower gan.lr."])
    assert beside.arm == "adversarial"


def test_one_val_subject_cannot_tell_that_a_critic_gains():
    found = outcome(refined(19.0, 20.0), val=seen(subjects="aaaaaa"))
    if found.degraded["adversarial"] > found.degraded["control"]:
        assert "(no interval: one subject)" in found.reason
    assert found.arm == "control"


def test_a_gain_in_one_score_is_not_paid_for_with_the_other():
    """Half of the frames show no nerve: a refiner that empties every mask gains in Dice of all frames."""
    truths = [truth & (number % 2 == 0) for number, truth in enumerate(TRUTHS)]
    emptied = arms(bias=20.0, control=-60.0, adversarial=None, cutoffs=Cutoffs(0.5))
    params = SEARCH.model_copy(update={"score": "challenge"})
    found = choose(emptied, seen(truths), params, PARAMS.degradation, 0, ())
    assert found.clean["control"] > found.clean["unet"] + 0.3
    assert found.degraded["control"] > found.degraded["unet"] + 0.3
    assert found.arm == "unet"


def test_a_refinement_comes_back_from_its_file_and_a_damaged_one_says_what_to_do(tmp_path):
    before = outcome(arms(), ["The critic guesses."])
    before.write(tmp_path)
    list_files(tmp_path)
    after = Refinement.read(tmp_path)
    assert (after.arm, after.clean, list(after.remarks)) == (before.arm, before.clean, ["The critic guesses."])
    (tmp_path / "refinement.json").write_text(json.dumps({"arm": "unet"}))
    list_files(tmp_path)
    with pytest.raises(ModelError, match=r"refinement\.json cannot be used: .*`dvc repro train_gan`"):
        Refinement.read(tmp_path)
