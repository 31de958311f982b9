"""`bench/network_study.py` on a tiny data set, and its losses against what they must be."""

from functools import reduce
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import Record
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.unet.warm_start import network_to_train
from paths import ROOT
from tiny_params import write_params

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        import network_study

        yield network_study


@pytest.fixture(scope="module")
def arms(bench):
    import network_arms

    return network_arms


def masks(seed=0):
    truth = np.zeros((2, 8, 10, 1), np.float32)
    truth[0, 2:6, 3:8], truth[1, 1:4, 1:5] = 1.0, 1.0
    return truth, np.random.default_rng(seed)


def test_the_lovasz_hinge_of_a_set_of_wrong_pixels_is_the_jaccard_loss_of_that_set(arms):
    truth, rng = masks()
    wrong = rng.random(truth.shape) < 0.2
    logits = np.where(wrong, 0.0, np.where(truth > 0.5, 1.0, -1.0)).astype(np.float32)
    expected = np.mean([w.sum() / (w | (t > 0.5)).sum() for w, t in zip(wrong, truth, strict=True)])
    assert float(arms.lovasz_loss(tf.constant(truth), tf.constant(logits))) == pytest.approx(expected, abs=1e-5)


def test_tversky_minds_missed_pixels_more_than_wrong_ones(arms):
    truth, _ = masks()
    sure = 20.0 * (2.0 * truth - 1.0)
    missed, wrong = sure.copy(), sure.copy()
    missed[0, 2, 3:8] *= -1.0
    wrong[0, 6, 3:8] *= -1.0
    perfect, less, more = (float(arms.tversky_loss(truth, logits)) for logits in (sure, wrong, missed))
    assert perfect == pytest.approx(0.0, abs=1e-4)
    assert perfect < less < more


def test_the_boundary_loss_minds_a_wrong_pixel_the_more_the_farther_it_is_from_the_nerve(arms):
    truth, _ = masks()
    logits = 20.0 * (2.0 * truth - 1.0)
    near, far = logits.copy(), logits.copy()
    near[0, 6, 4], far[0, 7, 0] = 20.0, 20.0
    assert float(arms.boundary_loss(truth, tf.constant(near))) < float(arms.boundary_loss(truth, tf.constant(far)))


def test_cross_entropies_of_the_arms_are_zero_for_sure_and_right_logits_but_for_the_smoothed_one(arms):
    truth, _ = masks()
    sure = 20.0 * (2.0 * truth - 1.0)
    for loss in (arms.focal_loss, arms.positive_weighted):
        assert float(loss(truth, tf.constant(sure))) == pytest.approx(0.0, abs=1e-5)
    assert float(arms.smoothed(truth, tf.constant(sure))) == pytest.approx(0.05 * 20, rel=1e-3)


def test_the_params_of_every_arm_are_allowed(bench, tmp_path):
    params = write_params(tmp_path / "params.yaml", {"preprocess": {"width": 128, "height": 96}})
    for arm in bench.ARMS.values():
        replaced = bench.replaced(params, arm, Path("models/unet"))
        for name, value in arm.params.items():
            assert reduce(getattr, name.split("."), replaced) == value


def test_the_worst_third_is_one_of_subjects_however_many_frames_each_has(bench):
    dices = {"1": [0.9], "2": [0.2] * 9 + [1.0], "3": [0.4], "4": [0.8, 0.9]}
    rows = [(subject, dice) for subject, of_subject in dices.items() for dice in of_subject]
    cases = bench.pd.DataFrame(rows, columns=["subject", "expected"])
    assert bench.worst_third(cases) == pytest.approx((0.28 + 0.4) / 2)


def test_the_study_cuts_where_the_pipeline_does(bench):
    probability = np.random.default_rng(0).beta(0.3, 2.0, (40, 50)).astype(np.float32)
    ours = probability >= bench.best_threshold(probability)
    theirs = Cutoffs("expected").mask(Estimate(probability, 1.0))
    assert np.mean(ours != theirs) < 0.005


def test_balanced_batches_hold_as_many_frames_with_a_nerve_as_without_and_as_many_of_each_subject(
    bench, arms, tmp_path
):
    import network_training

    rng, params = np.random.default_rng(0), write_params(tmp_path / "params.yaml")
    params = params.model_copy(update={"augment": params.augment.model_copy(update={"variants": 0})})
    records = []
    for number in range(20):  # one in ten shows a nerve and is of subject 2
        mask = np.zeros((96, 128), np.uint8)
        mask[40:60, 50:80] = 255 * (number % 10 == 0)
        subject = "2" if mask.any() else "1"
        records.append(Record(f"{subject}_{number}", subject, rng.integers(0, 255, (96, 128), np.uint8), mask))
    for balance, share in (("", 0.1), ("presence", 0.5), ("subject", 0.5)):
        given = network_training._batches(arms.Arm(balance=balance), params, records, 1, [])
        seen = [mask.max(axis=(1, 2, 3)) for _, mask in islice(given, 400 // params.unet.batch_size)]
        assert np.mean(seen) == pytest.approx(share, abs=0.08)


def test_what_an_arm_makes_of_grey_levels_takes_the_gain_out_of_them(arms):
    frames = np.random.default_rng(0).uniform(20, 120, (3, 96, 128, 1)).astype(np.float32)
    for levels in (arms.standardised, arms.equalised):
        changes = [np.abs(one(2.0 * frames) - one(frames)).mean() for one in (levels, lambda same: same)]
        assert changes[0] < 0.3 * changes[1]


def test_a_frame_and_its_mask_are_bent_alike_by_about_as_much_as_asked(arms):
    import network_augmentation

    rows, columns = np.indices((96, 128), np.float32)
    given = np.stack([columns, rows])[..., np.newaxis]  # what each pixel shows is where it was
    bent, masks = network_augmentation.bent(given, given, 3.0, np.random.default_rng(0))
    assert np.array_equal(bent, masks)
    shifts = (bent - given)[:, 20:-20, 20:-20]  # the border is mirrored
    assert 1.0 < shifts.std() < 5.0
    assert max(np.abs(np.diff(shifts, axis=axis)).max() for axis in (1, 2)) < 1.0


def test_half_of_the_frames_have_a_hole(arms):
    import network_augmentation

    frames = np.random.default_rng(0).uniform(0, 255, (400, 24, 32, 1)).astype(np.float32)
    changed = (network_augmentation._with_holes(frames, np.random.default_rng(1)) != frames).mean(axis=(1, 2, 3))
    assert np.mean(changed > 0) == pytest.approx(0.5, abs=0.1)
    assert changed[changed > 0].min() > 0.04
    assert changed.max() <= 0.25


def training_of(arm, params):
    import network_training

    params = params.model_copy(update={"unet": params.unet.model_copy(update={"ghost_batches": 1})})
    with network_training.blocks_of(arm):
        tf.keras.utils.set_random_seed(0)
        return network_training.ArmTraining(
            arm, params, lambda: network_to_train(params.unet, InputSpec(32, 64, 100.0, 40.0), "float32"), 9
        )


def test_a_sharpness_aware_gradient_is_that_uphill_and_leaves_the_weights_where_they_were(arms, tiny):
    rng = np.random.default_rng(0)
    frames = tf.constant(rng.uniform(0, 255, (4, 32, 64, 1)), tf.float32)
    truth = tf.cast(frames > 200, tf.float32)
    plain, sharp = (training_of(arms.Arm(sharpness=length), tiny) for length in (0.0, 0.5))
    here, _ = tf.function(plain._gradients)(frames, truth)
    before = sharp.network.trainable_variables[0].numpy()
    found, _ = tf.function(sharp._gradients)(frames, truth)
    assert np.array_equal(sharp.network.trainable_variables[0], before)
    length = 0.5 / tf.linalg.global_norm(here)
    for variable, gradient in zip(plain.network.trainable_variables, here, strict=True):
        variable.assign_add(length * gradient)
    uphill, _ = tf.function(plain._gradients)(frames, truth)
    for one, other in zip(found, uphill, strict=True):
        assert np.allclose(one, other, rtol=1e-2, atol=1e-3)
    assert any(not np.allclose(one, start, rtol=1e-2, atol=1e-3) for one, start in zip(found, here, strict=True))


def test_a_network_with_coordinates_sees_where_a_pixel_is(arms, tiny):
    kernels = [
        next(weight for weight in training_of(arms.Arm(coordinates=given), tiny).network.trainable_weights)
        for given in (False, True)
    ]
    assert [kernel.shape[2] for kernel in kernels] == [1, 3]


def test_an_arm_is_trained_once_and_scored_on_the_subjects_of_its_fold(
    bench, arms, kaggle_folder, tmp_path, monkeypatch
):
    """Also one of all that the others change."""
    monkeypatch.chdir(tmp_path)
    params = write_params(tmp_path / "params.yaml")
    source = kaggle_folder(subjects=range(1, 38), frames=2)
    study = bench.Study(tmp_path / "study", source, 0.01, tmp_path, params)
    changed = ("denoising", "by subject", "mixed", "filtered", "corrected", "equalised", "coordinates", "sharpness")
    usual = vars(arms.Arm())
    of_all = {key: value for name in changed for key, value in vars(bench.ARMS[name]).items() if value != usual[key]}
    assert of_all.keys() == {
        "balance",
        "corrected",
        "coordinates",
        "filtered",
        "levels",
        "mixed",
        "on_the_fly",
        "sharpness",
        "start",
    }
    monkeypatch.setitem(bench.ARMS, "all", arms.Arm(**of_all))
    monkeypatch.setattr(bench, "BEFORE", {})  # as small as the params of the test
    for name in ("plain", "all"):
        study.run(name, 1)
    assert set(study.results["arm"]) == {"plain", "all"}
    assert study.results[["expected", "worst third", "adapted"]].stack().between(0, 1).all()
    assert (study.results["worst third"] <= study.results["expected"]).all()
    cases = bench.pd.read_csv(tmp_path / "study" / f"{source.name}-0.01-minutes" / "plain-1.csv")
    assert sorted(cases["subject"].unique()) == list(range(1, 11))
    assert "plain" in study.report()
    monkeypatch.setattr(bench, "train_arm", lambda *_: pytest.fail("trained again"))
    study.run("plain", 1)


def test_five_folds_are_reported_over_all_their_subjects_once_they_are_all_there(bench, tmp_path):
    study = bench.Study(tmp_path, Path("frames"), 6.0, tmp_path, None)
    folder = tmp_path / "frames-6-minutes"
    folder.mkdir()
    scored = []
    for number, seed in enumerate(bench.FIVE):
        subjects = list(bench.FIVE[seed])
        scored += subjects
        rows = [{"subject": one, "expected": one / 100 if number else 0.9} for one in subjects for _ in range(2)]
        bench.pd.DataFrame(rows).to_csv(folder / f"plain-{seed}.csv", index=False)
        if number == 4:
            with pytest.raises(bench.NervesegError, match=r"holds no result of the arm 'plain'"):
                study.report()
        (folder / f"plain-{seed}.json").write_text(f'{{"arm": "plain", "seed": {seed}}}')
    assert sorted(scored) == list(bench.SUBJECTS)
    others = [one / 100 for one in range(1, 31) if one % 5 != 1]  # all but those of the first fold
    mean, worst = (sum(others) + 6 * 0.9) / 30, sum(sorted(others)[:10]) / 10
    heading, row = study.report().splitlines()
    assert heading.split() == ["arm", "expected", "of", "subjects", "worst", "third", "worst"]
    assert row.split() == ["plain", f"{mean:.3f}", f"{mean:.3f}", f"{worst:.3f}", "0.020"]
