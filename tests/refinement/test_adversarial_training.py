"""Training of the refiners: equal until the critic joins, frozen U-Net, repeatable and resumable to the bit."""

import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.special import expit
from sklearn.metrics import f1_score

from gpu_operations import refused_in, without_kernel_in
from nerveseg.dataset.batches import batches, whole_batches
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import read_records
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.refinement.adversarial_training import HISTORY_COLUMNS, AdversarialTraining, diverged_in, kept_epoch
from nerveseg.refinement.arm_training import RefinerArm
from nerveseg.refinement.critic import CRITICS
from nerveseg.refinement.degraded_batches import RefinerBatch, RefinerInputs
from nerveseg.refinement.refiner import build_refiner, learnt, start_from
from nerveseg.training import checkpoints
from nerveseg.training.checkpoints import Checkpoint, assign, values_of
from nerveseg.training.distribution import make_deterministic
from nerveseg.training.task import TrainingTask
from nerveseg.unet.network import build_unet
from prepared_data import small_data
from summation_order import sums_of_three
from tiny_params import write_params

pytestmark = pytest.mark.slow

AT_HALF = Cutoffs()


class StoppedError(Exception):
    pass


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def unet_of(info, params):
    make_deterministic(params.seed)
    return build_unet(params.unet, info.input)


class Run:
    """One training of the arms: final weights by arm, history, epochs that were trained."""

    def __init__(self, data, params, *, stop_after=None, resume=False, cutoffs=AT_HALF, **changes):
        if not resume:
            shutil.rmtree(checkpoints.FOLDER, ignore_errors=True)
        rounds, val, info = data
        gan = params.gan.model_copy(update={"epochs": 3, **changes})
        self.unet = unet_of(info, params)
        spec = info.input
        critic = None if gan.critic == "none" else partial(CRITICS[gan.critic], 4, spec)

        def build():
            return start_from(build_refiner(params.unet, 4, spec), self.unet)

        inputs = RefinerInputs(self.unet, gan.corruption, params.degradation, params.seed)
        self.training = AdversarialTraining(build, critic, inputs, gan, params.unet, cutoffs)
        self.seen, self.after = [], {}

        def on_epoch(epoch, values):
            self.seen.append(epoch)
            self.after[epoch] = {name: arm.refiner.get_weights() for name, arm in self.training.arms.items()}
            if epoch == stop_after:
                raise StoppedError

        task = TrainingTask(rounds, val, info, params.seed, Checkpoint("gan-test"), on_epoch)
        self.history = self.training.fit(task)
        self.weights = {name: arm.averaged.get_weights() for name, arm in self.training.arms.items()}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained once, for tests that look at what came out."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", folder / "checkpoints")
        params = write_params(folder / "params.yaml")
        return Run(small_data(folder, params), params)


def test_the_arms_are_equal_until_the_critic_joins_and_differ_after_it(run):
    assert equal(run.after[1]["control"], run.after[1]["adversarial"])
    assert not equal(run.after[2]["control"], run.after[2]["adversarial"])
    history = run.history
    assert list(history.columns) == HISTORY_COLUMNS
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert history.loc[:1, "critic_loss"].isna().all()
    assert np.isfinite(history.loc[2:, ["critic_loss", "adversarial_loss"]]).all(axis=None)
    assert history.loc[2:, "critic_accuracy"].between(0.0, 1.0).all()


def test_training_leaves_the_unet_alone(run, data, tiny):
    assert equal(run.unet.get_weights(), unet_of(data[2], tiny).get_weights())


def test_the_first_row_scores_the_unet_as_it_came_at_its_own_cutoffs(data, tiny):
    _, val, info = data
    unet = unet_of(info, tiny)
    probabilities, presences, truths = [], [], []
    for frames, masks in batches(val, info, 4):
        said = unet(frames)
        probabilities += list(expit(said["logits"].numpy()[..., 0]))
        presences += list(expit(said["presence"].numpy()[:, 0]))
        truths += list(masks.numpy()[..., 0] > 0.5)
    agreed = np.sqrt(np.array(presences) * np.max(probabilities, axis=(1, 2)))
    lowest = float(np.median(agreed))
    threshold = float(np.quantile(probabilities, 0.9))
    run = Run(data, tiny, epochs=0, cutoffs=Cutoffs(threshold, presence=lowest))
    expected = [
        f1_score(truth.ravel(), (probability >= threshold).ravel() & (presence >= lowest), zero_division=1.0)
        for truth, probability, presence in zip(truths, probabilities, agreed, strict=True)
    ]
    assert 0.0 < np.mean(agreed >= lowest) < 1.0
    for name in run.training.arms:
        assert run.history.loc[0, f"{name}_val_dice"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_without_a_critic_there_is_the_control_alone_and_it_begins_the_same(run, data, tiny):
    alone = Run(data, tiny, critic="none")
    assert alone.weights.keys() == {"control"}
    assert equal(alone.after[1]["control"], run.after[1]["control"])
    assert alone.history["control_segmentation_loss"].to_numpy() == pytest.approx(
        run.history["control_segmentation_loss"].to_numpy(), rel=1e-2, nan_ok=True
    )
    assert list(alone.history.columns) == HISTORY_COLUMNS
    assert alone.history.filter(regex="adversarial|critic").isna().all(axis=None)


def test_two_trainings_with_one_seed_are_equal_to_the_bit_also_where_one_was_stopped_twice(run, data, tiny):
    for resume, stop_after in ((False, 1), (True, 2)):
        with pytest.raises(StoppedError):
            Run(data, tiny, resume=resume, stop_after=stop_after)
    resumed = Run(data, tiny, resume=True)
    assert resumed.seen == [2, 3], "an epoch is told before it is kept"
    for name, weights in run.weights.items():
        assert equal(weights, resumed.weights[name])
    pd.testing.assert_frame_equal(run.history, resumed.history, check_exact=True)


DEEP = {
    "unet": {"depth": 3},
    "gan": {"critic_rest": 1.0},
}  # the copy's deepest levels do not learn, the critic does not rest


def arm_of(params, critic):
    """One refiner in training, alone or against a critic."""
    spec = InputSpec(32, 64, 80.0, 40.0)
    against = CRITICS[critic](4, spec) if critic else None
    return RefinerArm(partial(build_refiner, params.unet, 4, spec), against, params.gan, params.unet)


@pytest.fixture(scope="module")
def given():
    """A batch."""
    frames, masks = np.random.default_rng(0).uniform(0, 255, (2, 4, 32, 64, 1)).astype(np.float32)
    masks, ones = (masks > 200).astype(np.float32), np.ones((4, 1), np.float32)
    return RefinerBatch(*map(tf.constant, (frames, masks, 4 * masks - 2, ones, ones)))


@pytest.mark.parametrize("critic", [None, *CRITICS])
def test_an_update_has_no_operation_that_a_gpu_lacks_or_refuses_no_sum_that_depends_on_timing_and_repeats_to_the_bit(
    given, tmp_path, critic
):
    make_deterministic(0)
    arm = arm_of(write_params(tmp_path / "params.yaml", DEEP), critic)
    assert len(learnt(arm.refiner)) < len(arm.refiner.weights), "some of its layers are frozen"
    update = tf.function(arm.update)
    refused, seen = refused_in(update, given)
    assert refused == without_kernel_in(update, given) == []
    assert {"Conv2DBackpropFilter", "FusedBatchNormGradV3", "MaxPoolGrad"} <= seen
    assert sums_of_three(update, given) == []
    state, afterwards = arm.state(), []
    first = {name: values_of(variables) for name, variables in state.items()}
    for _ in range(2):
        for name, variables in state.items():
            assign(variables, first[name])
        for _ in range(3):
            update(given)
        afterwards.append({name: values_of(variables) for name, variables in state.items()})
    for name, values in afterwards[0].items():
        assert equal(values, afterwards[1][name])
    assert not any(equal(first[name], afterwards[0][name]) for name in first), "refiner and critic learn"


def test_refiners_learn_to_mend_what_an_untrained_unet_says(data, tiny):
    """Frames are less than half as large as usual, so that degradations in pixels are half as strong."""
    usual = tiny.degradation
    halved = {"blur": tuple(sigma / 2 for sigma in usual.blur)}
    halved |= {key: tuple(max(1.0, by / 2) for by in getattr(usual, key)) for key in ("downsampling", "jpeg")}
    fitting = tiny.model_copy(update={"degradation": usual.model_copy(update=halved)})
    trained = Run(data, fitting, epochs=30, lr=3e-2, ema_decay=0.8)
    history = trained.history
    assert history["control_segmentation_loss"].iloc[-5:].mean() < 0.8 * history["control_segmentation_loss"].iloc[1]
    for name in trained.weights:
        kept = kept_epoch(history, name)
        assert kept > 0
        assert history.loc[kept, f"{name}_val_dice_degraded"] > history.loc[0, f"{name}_val_dice_degraded"] + 0.1


def test_a_critic_that_is_right_too_often_rests(given, tiny):
    arm = arm_of(tiny.model_copy(update={"gan": tiny.gan.model_copy(update={"critic_rest": 1e-9})}), "patch")
    refiner, critic = arm.refiner.get_weights(), arm.critic.network.get_weights()
    assert tf.function(arm.update)(given)["critic_accuracy"] > 0.0
    assert not equal(refiner, arm.refiner.get_weights())
    assert equal(critic, arm.critic.network.get_weights())


def test_an_arm_that_diverges_is_trained_no_further_and_the_other_goes_on(run, data, tiny):
    sound, run = run, Run(data, tiny, adversarial_weight=1e38)
    assert run.seen == [1, 2, 3]
    assert diverged_in(run.history, "adversarial") == 2
    assert diverged_in(run.history, "control") is None
    of_arm = ["adversarial_segmentation_loss", "adversarial_val_dice", "adversarial_val_dice_degraded", "critic_loss"]
    assert run.history.loc[2:, of_arm].isna().all(axis=None)
    assert all(np.isfinite(weights).all() for name in run.weights for weights in run.weights[name])
    assert sound.history["control_val_dice"].to_numpy() == pytest.approx(
        run.history["control_val_dice"].to_numpy(), abs=0.05
    )


def test_training_ends_where_every_arm_has_diverged(data, tiny):
    run = Run(data, tiny, epochs=4, lr=1e30)
    assert run.seen == [1]
    assert {diverged_in(run.history, name) for name in run.weights} == {1}
    assert all(np.isfinite(weights).all() for name in run.weights for weights in run.weights[name])


def test_an_adversarial_arm_keeps_no_epoch_from_before_its_critic():
    history = pd.DataFrame({"epoch": range(5), "critic_loss": [np.nan, np.nan, np.nan, 1.0, 1.0]})
    for name in ("control", "adversarial"):
        history[f"{name}_val_dice"] = 0.8
        history[f"{name}_val_dice_degraded"] = [0.5, 0.6, 0.7, 0.65, 0.6]
    assert kept_epoch(history, "control") == 2
    assert kept_epoch(history, "adversarial") == 3


def test_train_frames_are_degraded_and_a_share_of_predictions_corrupted_by_seeded_draws(data, tiny):
    rounds, _, info = data
    frames = {record.frame.tobytes() for record in read_records([rounds[0]], info)}
    unet = unet_of(info, tiny)

    def given(corruption, epoch):
        inputs = RefinerInputs(unet, corruption, tiny.degradation, tiny.seed)
        return list(inputs.train(whole_batches(rounds, info, 4, 0, range(1)), epoch))

    def differing(one, other):
        pairs = zip(one, other, strict=True)
        return np.concatenate([np.abs(a.logits - b.logits).max(axis=(1, 2, 3)) > 1e-6 for a, b in pairs])

    plain, again, corrupted, later = given(0.0, 1), given(0.0, 1), given(0.5, 1), given(0.0, 2)
    assert not differing(plain, again).any()
    assert 0.2 < differing(plain, corrupted).mean() < 0.8
    assert differing(plain, later).mean() > 0.4
    clean = [frame.numpy().astype(np.uint8).tobytes() in frames for batch in plain for frame in batch.frames]
    assert 0.02 < np.mean(clean) < 0.6
    for batch in plain:
        assert np.allclose(batch.logits, unet(batch.frames)["logits"], atol=1e-4)


def test_val_frames_are_all_degraded_once_and_else_left_as_they_are(data, tiny):
    _, val, info = data
    inputs = RefinerInputs(unet_of(info, tiny), 0.0, tiny.degradation, tiny.seed)
    frames = np.concatenate([batch for batch, _ in batches(val, info, 4)])
    clean = np.concatenate([batch.frames for batch in inputs.val(val, info, 4, degraded=False)])
    poor, again = (np.concatenate([b.frames for b in inputs.val(val, info, 4, degraded=True)]) for _ in range(2))
    assert np.array_equal(clean, frames)
    assert np.array_equal(poor, again)
    assert (np.abs(poor - frames).max(axis=(1, 2, 3)) > 0).all()
