import json
from dataclasses import replace

import numpy as np
import pytest

from drawn_models import FRAMES, SPEC, UNET, segmenter
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import list_files
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.params.fields import FRESH
from nerveseg.params.networks import PostprocessParams
from nerveseg.refinement.refined_segmenter import RefinedSegmenter, load_training
from nerveseg.unet.segmenter import Segmenter
from nerveseg.unet.warm_start import network_to_train, nothing_real_behind

pytestmark = pytest.mark.slow


def test_frames_of_any_size_come_back_as_masks_of_that_size():
    for frame, prediction in zip(FRAMES, segmenter().predict(FRAMES), strict=True):
        assert prediction.probability.shape == prediction.mask.shape == frame.shape
        assert prediction.mask.dtype == np.bool_
        assert 0 <= prediction.probability.min() <= prediction.probability.max() <= 1
        assert 0 <= prediction.presence <= 1
        assert prediction.area == prediction.mask.sum()


def test_no_frame_gives_no_prediction():
    assert segmenter().predict([]) == []


def test_a_frame_alone_and_in_a_batch_is_predicted_alike():
    model = segmenter()
    alone = [model.predict([frame])[0].probability for frame in FRAMES * 7]
    together = [prediction.probability for prediction in model.predict(FRAMES * 7)]
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("refiner_filters", [0, 4])
def test_a_saved_segmenter_predicts_the_same_after_loading(tmp_path, refiner_filters):
    model = segmenter(refiner_filters)
    model.save(tmp_path)
    again = load_training(tmp_path)
    assert again.config == model.config
    for one, other in zip(model.predict(FRAMES), again.predict(FRAMES), strict=True):
        assert np.array_equal(one.probability, other.probability)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    model = segmenter(4)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        model.save(tmp_path / name)
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("a", "b")
    )
    assert first == second


def test_a_refiner_takes_part_in_the_prediction(tmp_path):
    plain, refined = segmenter().predict(FRAMES), segmenter(4).predict(FRAMES)
    assert not np.allclose(plain[0].probability, refined[0].probability)


def test_tuning_changes_the_cut_offs_and_nothing_else():
    model = segmenter()
    inputs = np.stack([FRAMES[2]] * 2)
    truths = [next(model.estimates(inputs, [(32, 64)] * 2)).probability >= 0.7] * 2
    params = PostprocessParams(thresholds=(0.5, 0.7), min_areas=(0.0,), presences=(0.0,), score="challenge", flip=False)
    tuned, score = model.tuned(inputs, truths, params)
    assert (tuned.config.cutoffs, score) == (Cutoffs(0.7, 0.0), 1.0)
    assert tuned.unet is model.unet


def test_with_flip_a_frame_and_its_mirror_image_are_predicted_as_mirror_images():
    model = segmenter(4, flip=True)
    frame = FRAMES[2]
    one, other = model.predict([frame, np.ascontiguousarray(frame[:, ::-1])])
    assert np.allclose(one.probability, other.probability[:, ::-1], atol=1e-5)
    assert one.presence == pytest.approx(other.presence, abs=1e-5)
    unet = model.segmenter
    one_way = RefinedSegmenter(model.config, Segmenter(replace(unet.config, flip=False), unet.unet), model.refiner)
    alone, mirrored = one_way.predict([frame, np.ascontiguousarray(frame[:, ::-1])])
    assert not np.allclose(alone.probability, mirrored.probability[:, ::-1], atol=1e-3)
    assert np.allclose(one.probability, (alone.probability + mirrored.probability[:, ::-1]) / 2, atol=1e-5)


def test_presence_is_the_geometric_mean_of_the_head_and_of_the_surest_pixel():
    model = segmenter()
    frame = FRAMES[2]
    prediction = model.predict([frame])[0]
    head = 1 / (1 + np.exp(-model.unet(frame[np.newaxis, ..., np.newaxis].astype(np.float32))["presence"]))
    assert prediction.presence == pytest.approx(np.sqrt(head.item() * prediction.probability.max()), abs=1e-5)
    model.unet.get_layer("presence").set_weights([np.zeros((16, 1)), np.full(1, -20.0)])
    assert Segmenter(model.config, model.unet).predict([frame])[0].presence < 1e-4


def test_a_folder_without_a_model_says_what_to_run(tmp_path):
    with pytest.raises(ModelError, match=r"segmenter\.json was not found; run `dvc repro` or `dvc pull`"):
        Segmenter.load(tmp_path)


def test_weights_that_are_damaged_are_named(tmp_path):
    segmenter().save(tmp_path)
    (tmp_path / "unet.weights.h5").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"unet\.weights\.h5 is damaged or was changed"):
        Segmenter.load(tmp_path)


def test_a_network_goes_on_from_a_trained_one_at_another_size_and_with_its_own_grey_levels(tmp_path):
    trained = segmenter(4)
    trained.save(tmp_path)
    params = UNET.model_copy(update={"init_from": str(tmp_path), "epochs": 3, "batch_size": 2})
    network = network_to_train(params, InputSpec(48, 80, 50.0, 20.0), "float32")
    assert network.input_shape == (None, 48, 80, 1)
    for one, other in zip(network.get_weights(), trained.segmenter.unet.get_weights(), strict=True):
        assert np.array_equal(one, other)
    frame = np.random.default_rng(0).uniform(size=(1, 32, 64, 1)).astype(np.float32)
    same_size = network_to_train(params, InputSpec(32, 64, 50.0, 20.0), "float32")
    ours, theirs = same_size(50.0 + 20.0 * frame), trained.segmenter.unet(100.0 + 40.0 * frame)
    for output in ("logits", "presence"):
        assert np.allclose(ours[output], theirs[output], atol=1e-4)


def test_a_network_of_another_architecture_or_none_at_all_is_no_start(tmp_path):
    with pytest.raises(ModelError, match=r"segmenter\.json was not found"):
        network_to_train(UNET.model_copy(update={"init_from": str(tmp_path)}), SPEC, "float32")
    segmenter().save(tmp_path)
    wider = UNET.model_copy(update={"init_from": str(tmp_path), "base_filters": 8})
    with pytest.raises(ModelError, match=r"has a U-Net with \{'base_filters': 4\}, params ask for .*8"):
        network_to_train(wider, SPEC, "float32")


@pytest.mark.parametrize("simulated_only", [True, False])
@pytest.mark.parametrize("refiner_filters", [0, 4])
def test_a_saved_model_knows_whether_it_has_learnt_from_simulated_frames_alone(
    tmp_path, refiner_filters, simulated_only
):
    segmenter(refiner_filters, simulated_only=simulated_only).save(tmp_path)
    assert load_training(tmp_path).simulated_only == simulated_only
    assert nothing_real_behind(str(tmp_path)) == simulated_only


def test_new_weights_have_learnt_from_no_real_frame_and_what_an_older_model_has_learnt_from_is_not_known(tmp_path):
    assert nothing_real_behind(FRESH)
    segmenter(simulated_only=True).save(tmp_path)
    content = json.loads((tmp_path / "segmenter.json").read_text())
    del content["simulated_only"]
    (tmp_path / "segmenter.json").write_text(json.dumps(content))
    list_files(tmp_path)
    assert not nothing_real_behind(str(tmp_path))


def test_a_description_of_another_version_is_told(tmp_path):
    segmenter().save(tmp_path)
    content = json.loads((tmp_path / "segmenter.json").read_text())
    del content["unet"]
    (tmp_path / "segmenter.json").write_text(json.dumps(content))
    list_files(tmp_path)
    with pytest.raises(ModelError, match=r"segmenter\.json cannot be used: unet: Field required; run `dvc repro`"):
        Segmenter.load(tmp_path)
