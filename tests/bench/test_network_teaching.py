"""Arms of `bench/network_study.py` whose masks come from teachers, whose encoder is slowed down, or whose styles are mixed."""

import numpy as np
import pytest
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import Record
from nerveseg.unet.network import LOGITS
from nerveseg.unet.warm_start import network_to_train
from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow
SIZE = (96, 128)


@pytest.fixture(scope="module", autouse=True)
def _bench_on_the_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        yield


@pytest.fixture
def params(tmp_path):
    params = write_params(tmp_path / "params.yaml")
    few = {
        "augment": params.augment.model_copy(update={"variants": 1}),
        "unet": params.unet.model_copy(update={"ghost_batches": 1}),
    }
    return params.model_copy(update=few)


def record(subject, number=0, seed=0, columns=range(40, 60)):
    frame = np.random.default_rng(seed).integers(0, 255, SIZE, np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[30:50, columns.start : columns.stop] = 255
    return Record(f"{subject}_{number}", str(subject), frame, mask)


def teacher_saying(probability, size=SIZE):
    frames = tf.keras.Input((*size, 1))
    logit = float(np.log(probability / (1 - probability)))
    return tf.keras.Model(frames, {LOGITS: tf.keras.layers.Lambda(lambda x: 0.0 * x + logit)(frames)})


def of(arm, params, records, teachers=(), train=None):
    import network_teaching

    return network_teaching.lessons(arm, params, records, 1, 8.0, teachers, train)


def test_the_share_of_a_mask_that_teachers_get_is_the_mean_of_what_they_say_wherever_the_frame_is(params):
    import network_arms

    arm = network_arms.Arm(teachers=("a", "b"), taught=0.5)
    teachers = [teacher_saying(0.2), teacher_saying(0.6, (64, 64))]
    (first, second), minutes = of(arm, params, [record(1)], teachers)
    (plain, _), _ = of(network_arms.Arm(), params, [record(1)])
    inside = slice(2, -2)  # a frame of the study fills all rows but these
    assert np.abs(first[0].mask - (0.5 * plain[0].mask + 0.5 * 0.4 * 255))[inside].max() <= 1.0
    assert np.array_equal(first[0].frame, plain[0].frame)
    assert len(second) == 1
    assert minutes == 8.0


def test_a_blended_frame_lies_between_two_subjects_and_has_the_mask_that_teachers_see_in_it(params):
    import network_arms

    records = [record(number % 2, number, seed=number) for number in range(20)]
    arm = network_arms.Arm(teachers=("a",), taught=0.0, blended=0.5)
    rounds, _ = of(arm, params, records, [teacher_saying(0.4)])
    plain, _ = of(network_arms.Arm(), params, records)
    frames = {each.name: each.frame for each in plain[0]}
    blended = [each for each in rounds[0] if each.subject == "blend"]
    assert 0 < len(blended) < 20
    for each in rounds[0]:
        assert np.array_equal(each.frame, frames[each.name]) == (each.subject != "blend")
    for each in blended:
        own, seen = frames[each.name].astype(float), each.frame.astype(float)
        subjects = [other for name, other in frames.items() if name[0] != each.name[0]]
        others = [np.linalg.lstsq(np.c_[own.ravel(), other.ravel()], seen.ravel(), rcond=None) for other in subjects]
        weights, error = min(((found[0], float(found[1][0])) for found in others), key=lambda pair: pair[1])
        assert error / seen.size < 0.5, "it is a sum of its own frame and one of the other subject"
        assert 0.29 < weights[0] < 0.71
        assert weights.sum() == pytest.approx(1.0, abs=0.01)
        assert set(np.unique(each.mask)) <= {0, 102}


def test_a_held_out_teacher_has_not_seen_the_subjects_that_it_predicts(params):
    import network_arms

    seen = []

    def train(arm, records, minutes):
        seen.append(({each.subject for each in records}, minutes, arm.held_out))
        return teacher_saying(0.1 * len(seen))

    arm = network_arms.Arm(held_out=2, taught=1.0)
    (first, _), minutes = of(arm, params, [record(number) for number in range(1, 5)], train=train)
    assert seen == [({"2", "4"}, 2.0, 0), ({"1", "3"}, 2.0, 0)]
    said = {each.subject: np.median(each.mask) for each in first}
    assert said == {"1": 26, "3": 26, "2": 51, "4": 51}
    assert minutes == 4.0


def test_subjects_without_labels_are_learnt_as_the_teacher_of_the_labelled_ones_sees_them(params):
    import network_arms

    def train(arm, records, minutes):
        assert (arm.labelled, arm.unlabelled, minutes) == (2, False, 4.0)
        return teacher_saying(0.4)

    arm = network_arms.Arm(labelled=2, unlabelled=True)
    records = [record(number) for number in range(1, 5)]
    (first, _), minutes = of(arm, params, records, train=train)
    assert {each.subject: int(np.median(each.mask)) for each in first} == {"1": 0, "2": 102, "3": 0, "4": 102}
    assert minutes == 4.0
    (known, _), _ = of(network_arms.Arm(labelled=2), params, records)
    assert {each.subject for each in known} == {"1", "3"}


def test_nearly_equal_frames_of_a_subject_share_their_masks(params):
    import network_arms

    same = [record(1, 1), record(1, 2, columns=range(50, 70))]
    others = [record(1, 3, seed=1, columns=range(80, 90)), record(2, 1, columns=range(10, 20))]
    rounds, _ = of(network_arms.Arm(consensus=0.9), params, [*same, *others])
    found = {}
    for each in (one for round_ in rounds for one in round_):
        found.setdefault(each.name, []).append(np.unique(each.mask))
    in_themselves = {name: min(values, key=len).tolist() for name, values in found.items()}
    assert in_themselves == {"1_1": [0, 128, 255], "1_2": [0, 128, 255], "1_3": [0, 255], "2_1": [0, 255]}


def of_lite(arm, params):
    import network_training

    lite = {"encoder": "efficientnetlite0", "encoder_weights": None, "base_filters": 2, "warmup_share": 0.0}
    params = params.model_copy(update={"unet": params.unet.model_copy(update=lite)})
    with network_training.blocks_of(arm):
        tf.keras.utils.set_random_seed(0)
        return network_training.ArmTraining(
            arm, params, lambda: network_to_train(params.unet, InputSpec(32, 64, 100.0, 40.0), "float32"), 4
        )


def moved(training, steps, part):
    """Return how far the first kernel of the encoder or of the decoder went."""
    rng = np.random.default_rng(0)
    kernel = next(
        v
        for v in training.network.trainable_variables
        if v.name.endswith("kernel:0") and v.name.startswith("lite") == (part == "encoder")
    )
    before = kernel.numpy()
    for _ in range(steps):
        frames = rng.uniform(0, 255, (4, 32, 64, 1)).astype(np.float32)
        training.learn(frames, (frames > 200).astype(np.float32), 0.0)
    return float(np.abs(kernel.numpy() - before).mean())


def test_the_encoder_learns_at_its_share_of_the_rate_and_not_before_it_is_thawed(params):
    import network_arms

    arms = {"whole": {}, "half": {"encoder_rate": 0.5}, "frozen": {"frozen": 1.0}, "thawed": {"frozen": 0.5}}
    trainings = {name: of_lite(network_arms.Arm(**changes), params) for name, changes in arms.items()}
    whole, half, frozen, thawed = (moved(training, 2, "encoder") for training in trainings.values())
    assert half == pytest.approx(0.5 * whole, rel=0.1)
    assert frozen < 1e-3 * whole
    assert thawed < 1e-3 * whole
    assert moved(trainings["thawed"], 1, "encoder") > 0.2 * whole
    assert moved(trainings["frozen"], 1, "decoder") > 0.2 * whole


def test_mixed_styles_change_what_training_sees_and_nothing_else(params):
    import network_arms

    features = tf.random.stateless_normal((6, 8, 10, 3), (1, 2)) * [[[[1.0, 5.0, 9.0]]]]
    tf.keras.utils.set_random_seed(1)
    layer = network_arms.MixStyle()
    assert np.array_equal(layer(features), features)
    changed = [layer(features, training=True).numpy() for _ in range(8)]
    shares = [np.mean(np.abs(each - features) > 1e-4) for each in changed]
    assert 0.0 == min(shares) < max(shares)
    standard = [(each - each.mean((1, 2), keepdims=True)) / each.std((1, 2), keepdims=True) for each in changed]
    for each in standard:  # mean and deviation of a channel alone are mixed
        assert np.allclose(each, standard[0], atol=1e-3)
    network = of_lite(network_arms.Arm(mixed_style=True), params).network
    assert sum(isinstance(each, network_arms.MixStyle) for each in network.layers) == 2


def test_amplitudes_are_mixed_at_coarse_scales_and_for_the_asked_share_of_the_frames():
    import network_augmentation

    rng = np.random.default_rng(0)
    frames = rng.uniform(60, 190, (40, 48, 64, 1)).astype(np.float32) * np.linspace(0.4, 1, 40)[:, None, None, None]
    frames = frames.astype(np.float32)
    mixed = network_augmentation._amplitudes_mixed(frames, 0.5, np.random.default_rng(1))
    changed = np.abs(mixed - frames).max(axis=(1, 2, 3)) > 0.5
    assert 0.3 < changed.mean() < 0.7
    fine = [
        each[..., 0] - network_augmentation.cv2.blur(each[..., 0], (9, 9))
        for each in (mixed[changed][0], frames[changed][0])
    ]
    assert np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1] > 0.95
    assert np.array_equal(network_augmentation._amplitudes_mixed(frames, 0.0, rng).round(2), frames.round(2))


def test_a_stretched_frame_takes_its_mask_along_and_keeps_its_centre():
    import network_augmentation

    rows, columns = np.indices((97, 129)).astype(np.float32)
    given = np.stack([columns, rows])[..., np.newaxis]  # what each pixel shows is where it was
    frames, masks = network_augmentation._stretched(given, given, 0.25, np.random.default_rng(3))
    assert np.array_equal(frames[..., 48, 64, 0], [64.0, 48.0])
    assert np.array_equal(frames, masks)
    across = np.abs(np.diff(frames[0, 48, 40:90, 0])).mean()
    assert 0.75 < across < 1.35
    assert across != pytest.approx(1.0, abs=0.01)
