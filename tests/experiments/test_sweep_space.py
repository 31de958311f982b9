import optuna
import pytest

from nerveseg.errors import ParamsError
from nerveseg.experiments.sweep_space import Choice, Range, Space, read_space
from paths import ROOT

PARAMS = ROOT / "params.yaml"


def space(*given: str) -> Space:
    return read_space(given, PARAMS)


def proposals(found: Space, number: int) -> list[dict[str, str]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return [found.suggest(study.ask()) for _ in range(number)]


def test_values_are_read_as_dvc_reads_them_and_two_dots_make_a_range():
    found = space("lr=1e-4..1e-2", "unet.base_filters=8,16", "unet.epochs=4")
    assert found.varied == {"lr": Range(1e-4, 1e-2), "unet.base_filters": Choice(("8", "16"), (8, 16))}
    assert found.fixed == {"unet.epochs": "4"}
    assert found.params.unet.epochs == 4


def test_lists_and_words_are_choices_too():
    found = space("postprocess.min_areas=[0.0],[0.0,0.01]", "gan.critic=patch,none", "unet.encoder_weights=null")
    assert found.varied["postprocess.min_areas"].values == ([0.0], [0.0, 0.01])
    assert found.varied["gan.critic"].texts == ("patch", "none")
    assert found.params.unet.encoder_weights is None


@pytest.mark.parametrize(
    ("given", "log"), [("lr=1e-4..1e-2", True), ("lr=0.001..0.01", True), ("lr=0.002..0.01", False)]
)
def test_a_range_whose_ends_are_ten_times_apart_is_log_uniform(given, log):
    values = space(given).varied["lr"]
    assert values.log is log
    drawn = sorted(float(one["lr"]) for one in proposals(space(given), 200))
    assert values.low <= drawn[0] < drawn[-1] <= values.high
    middle = (values.low * values.high) ** 0.5 if log else (values.low + values.high) / 2
    assert drawn[100] == pytest.approx(middle, rel=0.25)


def test_a_range_that_holds_zero_or_is_negative_is_uniform():
    assert not space("augment.shadow=0..0.9").varied["augment.shadow"].log


def test_integers_stay_integers_and_both_ends_are_drawn():
    drawn = {one["unet.depth"] for one in proposals(space("unet.depth=2..4"), 60)}
    assert drawn == {"2", "3", "4"}


def test_a_decimal_parameter_between_integers_is_drawn_in_between():
    drawn = [one["augment.rotation"] for one in proposals(space("augment.rotation=1..8"), 5)]
    assert all("." in text for text in drawn)


def test_combinations_are_counted():
    assert space("unet.base_filters=8,16", "unet.depth=2..4").combinations == 6
    assert space("unet.base_filters=8,16", "lr=1e-4..1e-2").combinations == float("inf")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["unet.base_filter=8,16"], "unet.base_filter is not a parameter; did you mean base_filters?"),
        (["lr.peak=1,2"], "lr.peak names no section of params.yaml"),
        (["lr=1e-4..2"], "-S lr=2.0: lr is 2.0; input should be less than or equal to 1"),
        (["lr=1e-2..1e-4"], "write the lower end first"),
        (["lr=1e-4..inf"], "lr is '1e-4..inf'"),
        (["lr=1e-4"], "needs values to choose from"),
        (["lr=1e-4,1e-3", "lr=1e-2"], "names lr more than once"),
        (["lr"], "'lr' is not key=values"),
        (["lr=range(1,3)"], "neither a choice"),
        (["+lr=1,2"], "neither a choice"),
        (["unet.depth=1.5..3"], "unet.depth is 1.5"),
        (["gan.critic=1..3"], "gan.critic is 1"),
        (["preprocess.width=64..128"], "-S preprocess.width=65"),
        (
            ["unet.architecture=unet,linknet"],
            "architecture is linknet, but the efficientnetlite0 encoder makes a unet only",
        ),
        (["unet.batch_size=7,8", "unet.ghost_batches=1,2"], "batch_size is 7 and ghost_batches is 2"),
        (["unet.epochs=0", "lr=1e-4,1e-3"], "unet.epochs is 0"),
    ],
)
def test_what_the_params_refuse_is_told_before_the_first_trial(given, told):
    with pytest.raises(ParamsError) as error:
        space(*given)
    assert told in str(error.value)


def test_a_value_that_is_wrong_alone_may_be_right_beside_a_fixed_one():
    found = space("unet.encoder=resnet34", "unet.architecture=unet,linknet")
    assert found.fixed == {"unet.encoder": "resnet34"}


def test_a_trial_that_is_asked_again_gets_the_same_values():
    study = optuna.create_study()
    trial, found = study.ask(), space("lr=1e-4..1e-2", "unet.depth=2..4", "gan.critic=patch,none")
    assert found.suggest(trial) == found.suggest(trial)
