from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import logit
from sklearn.metrics import f1_score, log_loss

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.params.file import load_params
from nerveseg.refinement.critic import CRITICS, FeatureCritic, PatchCritic, SpectralNormAtMostOne
from nerveseg.refinement.refiner import COPY, POOR, build_refiner, learnt, load_learnt, save_learnt, start_from
from nerveseg.training.distribution import make_deterministic
from nerveseg.unet.losses import binary_cross_entropy, dice, presence_loss, segmentation_loss, soft_dice_loss
from nerveseg.unet.network import build_unet
from paths import ROOT

UNET = load_params(ROOT / "params.yaml").unet.model_copy(
    update={"encoder": "plain", "encoder_weights": None, "stem": 1, "base_filters": 4, "depth": 2}
)
GREY = (60.0, 40.0)
SPEC = InputSpec(32, 64, *GREY)
RNG = np.random.default_rng(0)
FRAMES = RNG.uniform(0, 255, (2, 32, 64, 1)).astype(np.float32)


def masks(*squares):
    truth = np.zeros((len(squares), 20, 20, 1), np.float32)
    for i, (start, stop) in enumerate(squares):
        truth[i, start:stop, start:stop] = 1
    return truth


TRUTH = masks((5, 15), (0, 0))


def logits_of(mask, sure=20.0):
    return (mask * 2 - 1) * sure


def weighted(dice_weight, bce_weight, presence_weight=0.0):
    weights = {"dice_weight": dice_weight, "bce_weight": bce_weight, "presence_weight": presence_weight}
    return UNET.model_copy(update=weights)


def test_a_better_mask_has_a_lower_loss():
    good, poor = logits_of(masks((5, 15), (0, 0))), logits_of(masks((8, 18), (0, 5)))
    for loss in (soft_dice_loss, binary_cross_entropy, partial(segmentation_loss, weighted(1.0, 1.0))):
        assert loss(TRUTH, good) < loss(TRUTH, poor)


def test_a_perfect_mask_has_no_loss_and_an_empty_frame_that_is_predicted_empty_neither():
    assert soft_dice_loss(TRUTH, logits_of(TRUTH)).numpy() == pytest.approx(0, abs=1e-5)
    empty = masks((0, 0))
    assert soft_dice_loss(empty, logits_of(empty)).numpy() == pytest.approx(0, abs=1e-5)


def test_the_dice_of_a_loss_is_the_mean_over_the_frames():
    truth, predicted = masks((5, 15), (2, 12)), masks((8, 18), (2, 10))
    expected = np.mean([f1_score(truth[i].ravel(), predicted[i].ravel()) for i in (0, 1)])
    assert soft_dice_loss(truth, logits_of(predicted)).numpy() == pytest.approx(1 - expected, abs=0.003)


@pytest.mark.parametrize(("nerve", "area"), [((5, 15), 100), ((0, 0), 0.03 * 400)])
def test_pixels_called_nerve_in_an_empty_frame_cost_as_in_one_with_a_typical_nerve(nerve, area):
    truth, predicted = masks(nerve, (0, 0)), masks(nerve, (0, 5))
    assert soft_dice_loss(truth, logits_of(predicted)).numpy() == pytest.approx(25 / (25 + area) / 2, abs=1e-3)


def test_the_loss_is_the_weighted_sum_of_its_parts():
    logits = RNG.normal(size=TRUTH.shape).astype(np.float32)
    parts = 0.3 * soft_dice_loss(TRUTH, logits) + 0.7 * binary_cross_entropy(TRUTH, logits)
    assert np.allclose(segmentation_loss(weighted(0.3, 0.7), TRUTH, logits), parts)


def test_the_loss_of_presence_is_the_cross_entropy_of_there_being_a_nerve():
    logits = np.array([[0.7], [-1.2]], np.float32)
    expected = log_loss([1, 0], 1 / (1 + np.exp(-logits[:, 0].astype(float))))
    assert presence_loss(weighted(1.0, 1.0, 0.2), TRUTH, logits).numpy() == pytest.approx(0.2 * expected, rel=1e-5)


def test_dice_and_cross_entropy_agree_with_scikit_learn():
    logits = RNG.normal(size=TRUTH.shape).astype(np.float32)
    expected = [f1_score(t.ravel(), p.ravel() > 0, zero_division=1.0) for t, p in zip(TRUTH, logits, strict=True)]
    assert dice(TRUTH, logits).numpy() == pytest.approx(expected)
    entropy = log_loss(TRUTH.ravel(), 1 / (1 + np.exp(-logits.ravel().astype(float))), labels=[0, 1])
    assert binary_cross_entropy(TRUTH, logits).numpy() == pytest.approx(entropy, rel=1e-5)


def test_empty_against_empty_has_dice_one():
    assert dice(masks((0, 0)), logits_of(masks((0, 0)))).numpy() == [1.0]


def test_an_untrained_unet_expects_few_pixels_of_nerve_at_the_size_of_its_input():
    make_deterministic(0)
    network = build_unet(UNET, SPEC)
    probability = tf.sigmoid(network(FRAMES)["logits"]).numpy()
    assert probability.shape == (2, 32, 64, 1)
    assert 0.01 < np.median(probability) < 0.2


@pytest.mark.parametrize("stem", [1, 2, 4])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_whatever_the_stem_and_the_arithmetic_a_network_gives_float32_logits_and_presence(stem, policy):
    params = UNET.model_copy(update={"stem": stem})
    outputs = build_unet(params, SPEC, policy=policy)(FRAMES)
    assert outputs["logits"].shape == (2, 32, 64, 1)
    assert outputs["presence"].shape == (2, 1)
    assert {output.dtype for output in outputs.values()} == {tf.float32}
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_bfloat16_gives_nearly_the_logits_of_float32():
    make_deterministic(0)
    exact, fast = build_unet(UNET, SPEC), build_unet(UNET, SPEC, policy="mixed_bfloat16")
    fast.set_weights(exact.get_weights())
    logits, nearly = exact(FRAMES)["logits"].numpy(), fast(FRAMES)["logits"].numpy()
    assert 0.0 < np.abs(logits - nearly).max() < 0.1 * np.ptp(logits)
    assert all(weight.dtype == np.float32 for weight in fast.get_weights())


def test_the_normalisation_with_the_statistics_of_train_is_inside_the_network():
    normalise = build_unet(UNET, SPEC).get_layer("normalise")
    assert np.allclose(normalise(FRAMES), (FRAMES - 60.0) / 40.0, atol=1e-4)
    assert len(normalise.output.shape) == 3, "OpenVINO goes through a last axis of one value by value"


def test_one_seed_gives_one_set_of_weights():
    def weights(seed):
        make_deterministic(seed)
        return build_unet(UNET, SPEC).get_weights()

    assert all(np.array_equal(a, b) for a, b in zip(weights(1), weights(1), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(1), weights(2), strict=True))


LOGITS, PRESENCE = RNG.normal(0, 10, FRAMES.shape).astype(np.float32), RNG.normal(size=(2, 1)).astype(np.float32)
MASKS = (FRAMES > 128).astype(np.float32)


DEEP = UNET.model_copy(update={"depth": 4})


def refined_unet(policy="float32"):
    """A U-Net, an untrained refiner of it, and what the U-Net says of the frames."""
    tf.keras.backend.clear_session()
    unet = build_unet(DEEP, SPEC, policy=policy)
    said = unet(FRAMES)
    return start_from(build_refiner(DEEP, 4, SPEC, policy), unet), [FRAMES, said["logits"], said["presence"]]


def held_for_poor(refiner, said):
    """The refiner, with this to say of the quality of every frame."""
    kernel, _ = refiner.get_layer(POOR).get_weights()
    refiner.get_layer(POOR).set_weights([np.zeros_like(kernel), np.full(1, said)])
    return refiner


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_an_untrained_refiner_is_the_identity_and_some_of_its_copy_of_the_unet_learns(policy):
    refiner, given = refined_unet(policy)
    refined = refiner(given)
    assert np.array_equal(refined["logits"], given[1])
    assert np.array_equal(refined["presence"], given[2])
    learning = sum(variable.shape.num_elements() for variable in learnt(refiner))
    assert 0.01 < learning / refiner.count_params() < 0.7


def test_a_refiner_of_the_default_unet_learns_less_than_half_a_million_parameters():
    params = load_params(ROOT / "params.yaml")
    refiner = build_refiner(params.unet, params.gan.base_filters, InputSpec(128, 160, *GREY))
    assert 50_000 < sum(variable.shape.num_elements() for variable in learnt(refiner)) < 500_000


def test_a_frame_that_is_held_for_good_is_left_to_the_unet_to_the_bit_and_a_poor_one_to_the_copy_by_its_probability():
    refiner, given = refined_unet()
    for variable in learnt(refiner):
        variable.assign(variable + RNG.uniform(0.0, 0.1, variable.shape))
    certain, good = (held_for_poor(refiner, said)(given) for said in (40.0, -0.01))
    assert np.array_equal(good["logits"], given[1])
    assert np.array_equal(good["presence"], given[2])
    assert not np.allclose(certain["logits"], given[1], atol=0.1)
    for share in (0.51, 0.75):
        doubtful = held_for_poor(refiner, logit(share))(given)
        for output, from_unet in (("logits", given[1]), ("presence", given[2])):
            assert np.allclose(doubtful[output], from_unet + share * (certain[output] - from_unet), atol=1e-4)


def test_a_refiner_sees_the_frame_and_the_prediction():
    refiner, (frames, _, presence) = refined_unet()
    held_for_poor(refiner, 40.0)
    layer = refiner.get_layer("correction")
    layer.set_weights([RNG.normal(size=weights.shape) for weights in layer.get_weights()])

    def of_copy(frames, logits):
        return refiner([frames, logits, presence])["logits"].numpy()

    plain = of_copy(frames, np.zeros_like(LOGITS))
    assert not np.allclose(plain, of_copy(255 - frames, np.zeros_like(LOGITS)), atol=1e-3)
    assert not np.allclose(plain, of_copy(frames, np.full_like(LOGITS, 3.0)), atol=1e-3)


def test_training_a_refiner_leaves_the_deeper_levels_of_its_copy_alone_and_its_judgement_to_its_own_loss():
    refiner, given = refined_unet()
    with tf.GradientTape() as tape:
        refined = refiner(given, training=True)
        loss = tf.reduce_mean(refined["logits"] ** 2) + tf.reduce_mean(refined["presence"])
    learning = refiner.trainable_variables
    gradients = tape.gradient(loss, learning)
    assert [variable.name for variable, gradient in zip(learning, gradients, strict=True) if gradient is None] == [
        variable.name for layer in refiner.layers for variable in layer.weights if "judge" in layer.name or layer.name == POOR
    ]  # fmt: skip
    kernels = [variable for variable in refiner.get_layer(COPY).weights if len(variable.shape) == 4]
    names = {variable.ref() for variable in learning}
    assert 0 < sum(kernel.ref() in names for kernel in kernels) < len(kernels)


@pytest.mark.slow
def test_what_a_refiner_has_learnt_comes_back_and_else_its_file_is_named(tmp_path):
    refiner, given = refined_unet()
    for variable in learnt(refiner):
        variable.assign(variable + RNG.uniform(0.0, 0.1, variable.shape))
    save_learnt(held_for_poor(refiner, 40.0), tmp_path / "refiner.npz")
    again, _ = refined_unet()
    again.get_layer(COPY).set_weights(refiner.get_layer(COPY).get_weights())
    load_learnt(again, tmp_path / "refiner.npz")
    assert np.array_equal(refiner(given)["logits"], again(given)["logits"])
    other = build_refiner(DEEP, 8, SPEC)
    with pytest.raises(ModelError, match=r"refiner\.npz: weights cannot be loaded"):
        load_learnt(other, tmp_path / "refiner.npz")
    (tmp_path / "refiner.npz").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"refiner\.npz: weights cannot be loaded"):
        load_learnt(again, tmp_path / "refiner.npz")


def test_a_patch_critic_gives_a_score_for_each_patch_and_sees_the_frame_and_the_mask():
    network = PatchCritic(4, SPEC).network
    scores = network([FRAMES, MASKS])
    assert scores.shape == (2, 4, 8, 1)
    assert not np.allclose(scores, network([FRAMES, 1 - MASKS]))
    assert not np.allclose(scores, network([255 - FRAMES, MASKS]))


def test_a_patch_critic_is_judged_by_the_hinge_and_raised_by_the_generator():
    critic = PatchCritic(4, SPEC)
    on_truth, on_predicted = (critic.network([FRAMES, masks]).numpy() for masks in (MASKS, 1 - MASKS))
    judgement = critic.judge(FRAMES, MASKS, 1 - MASKS)
    expected = np.maximum(1 - on_truth, 0).mean() + np.maximum(1 + on_predicted, 0).mean()
    assert judgement.loss.numpy() == pytest.approx(expected, rel=1e-5)
    assert judgement.accuracy.numpy() == pytest.approx(((on_truth > 0).mean() + (on_predicted < 0).mean()) / 2)
    assert critic.generator_loss(FRAMES, MASKS, 1 - MASKS).numpy() == pytest.approx(-on_predicted.mean(), abs=1e-6)


def test_a_patch_critic_is_right_or_wrong_only_where_truth_and_prediction_differ():
    critic = PatchCritic(4, SPEC)
    truth, predicted = np.zeros_like(MASKS), np.zeros_like(MASKS)
    truth[0, 3, 3] = predicted[0, 3, 3] = truth[1, 20, 40] = 1.0
    on_truth, on_predicted = (critic.network([FRAMES, masks]).numpy()[1, 2, 5, 0] for masks in (truth, predicted))
    expected = (float(on_truth > 0) + float(on_predicted < 0)) / 2
    assert critic.judge(FRAMES, truth, predicted).accuracy.numpy() == expected
    assert np.isnan(critic.judge(FRAMES, truth, truth).accuracy)


def test_a_feature_critic_measures_the_distance_between_truth_and_prediction_at_every_scale():
    critic = FeatureCritic(4, SPEC)

    def distance(predicted):
        return float(critic.generator_loss(FRAMES, MASKS, predicted))

    assert distance(MASKS) == 0.0
    assert 0.0 < distance(0.9 * MASKS) < distance(0.5 * MASKS) < distance(1 - MASKS)
    pairs = zip(*(critic.network([FRAMES, masks]) for masks in (MASKS, 1 - MASKS)), strict=True)
    assert distance(1 - MASKS) == pytest.approx(np.mean([np.abs(a - b).mean() for a, b in pairs]), rel=1e-5)
    judgement = critic.judge(FRAMES, MASKS, 1 - MASKS)
    assert judgement.loss.numpy() == pytest.approx(-distance(1 - MASKS))
    assert np.isnan(judgement.accuracy)


@pytest.mark.parametrize("kind", list(CRITICS))
def test_the_slope_of_a_critic_is_bounded_since_its_kernels_are(kind):
    network = CRITICS[kind](4, SPEC).network
    optimiser = tf.keras.optimizers.Adam(1.0)
    variables = network.trainable_variables
    optimiser.apply_gradients((tf.ones_like(variable), variable) for variable in variables)
    kernels = [variable.numpy() for variable in variables if len(variable.shape) == 4]
    norms = [np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), ord=2) for kernel in kernels]
    assert norms == pytest.approx([1.0] * len(norms), abs=1e-3)


def test_a_kernel_of_the_critic_is_divided_by_its_largest_singular_value_where_that_is_above_one():
    kernel = RNG.normal(size=(4, 4, 3, 8)).astype(np.float32)
    largest = np.linalg.norm(kernel.reshape(-1, 8), ord=2)
    assert np.allclose(SpectralNormAtMostOne()(tf.constant(kernel)), kernel / largest, rtol=1e-4)
    small = kernel / largest / 2
    assert np.array_equal(SpectralNormAtMostOne()(tf.constant(small)), small)
