"""Exported models against the trained ones that they were made of, which compute with TensorFlow."""

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import openvino
import pytest
import tensorflow as tf

from drawn_frames import kaggle_frames
from drawn_models import DRAWN, FLOAT, FRAMES, INT8, VAL, segmenter
from nerveseg.errors import ModelError
from nerveseg.measures.overlap import count
from nerveseg.refinement.refiner import POOR
from nerveseg.saved_models.ensemble import Ensemble
from nerveseg.saved_models.loading import load_predictor, load_trained
from nerveseg.saved_models.openvino_export import Export, _converted, _convolutions, _is_int8, export
from nerveseg.saved_models.openvino_predictor import LOGITS, ExportedPredictor
from nerveseg.unet.segmenter import Segmenter
from odd_files import flip_a_bit
from paths import ROOT
from processes import run

pytestmark = pytest.mark.slow

LEVELS = VAL.frames[..., np.newaxis].astype(np.float32)
TOLERANCE = 1e-4  # of probabilities; float32 sums in another order


@pytest.fixture
def exported(tmp_path):
    def exporting(model, params=FLOAT, name="exported"):
        (tmp_path / name).mkdir()
        export(model, tmp_path / name, params, VAL, "gan")
        return load_predictor(tmp_path / name)

    return exporting


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """A model, the folder of its export in each precision, to be read or copied, and what `export` returned."""
    model, folders, facts = segmenter(4), {}, {}
    for params in (FLOAT, INT8):
        folders[params.precision] = tmp_path_factory.mktemp(params.precision)
        facts[params.precision] = export(model, folders[params.precision], params, VAL, "gan")
    return SimpleNamespace(model=model, folders=folders, facts=facts)


@pytest.fixture(scope="module")
def export_of_a_refiner(exports):
    return exports.folders["float32"]


def judging(model: Segmenter, logit: float) -> Segmenter:
    """The same with a judge that calls every frame poor with this logit."""
    layer = model.refiner.get_layer(POOR)
    weights, bias = layer.get_weights()
    layer.set_weights([0 * weights, bias + logit])
    return model


def assert_alike(one, other, frames=FRAMES):
    for ours, theirs in zip(one.predict(frames), other.predict(frames), strict=True):
        assert np.allclose(ours.probability, theirs.probability, atol=TOLERANCE)
        assert ours.presence == pytest.approx(theirs.presence, abs=TOLERANCE)
        assert np.count_nonzero(ours.mask != theirs.mask) <= 2  # pixels at the threshold


@pytest.mark.parametrize(("poor", "flip"), [(None, False), (None, True), (-3.0, True), (0.3, True), (3.0, False)])
def test_in_float32_an_exported_model_says_what_the_trained_one_says(exported, poor, flip):
    model = segmenter(flip=flip) if poor is None else judging(segmenter(4, flip=flip), poor)
    assert_alike(exported(model), model)


def test_poor_frames_of_a_batch_alone_are_refined(exported):
    model = segmenter(4)
    layer = model.refiner.get_layer(POOR)
    weights, _ = layer.get_weights()
    layer.set_weights([np.random.default_rng(1).normal(size=weights.shape), np.zeros(1)])
    levels = LEVELS
    said = model.segmenter.unet(levels, training=False)
    logits = model.refiner([levels, said["logits"], said["presence"]], training=False)[POOR].numpy()
    layer.set_weights([layer.get_weights()[0], -np.array([np.median(logits)])])  # half of them
    frames = [frame for frame, _ in DRAWN]
    found = exported(model)
    plain = exported(model.segmenter, name="plain")
    assert_alike(found, model, frames)
    same = [
        np.array_equal(one.probability, other.probability)
        for one, other in zip(found.predict(frames), plain.predict(frames), strict=True)
    ]
    assert 0 < sum(same) < len(frames)


def test_an_ensemble_is_exported_as_the_mean_of_its_members(exported):
    ensemble = Ensemble({"a": judging(segmenter(4), 2.0), "b": segmenter(flip=True)})
    found = exported(ensemble)
    assert_alike(found, ensemble)
    assert (found.cutoffs, found.learnt_frames, found.size) == (ensemble.cutoffs, ensemble.learnt_frames, ensemble.size)


@pytest.mark.parametrize("simulated_only", [True, False])
def test_an_exported_model_knows_whether_it_has_learnt_from_simulated_frames_alone(exported, simulated_only):
    assert exported(segmenter(simulated_only=simulated_only)).simulated_only == simulated_only


def test_in_int8_dice_on_val_stays_within_what_is_allowed(exports):
    models = exports.model, load_predictor(exports.folders["int8"])
    frames = [frame for frame, _ in DRAWN]
    dices = [
        np.mean([count(truth, each.mask).dice for truth, each in zip(VAL.truths, by.predict(frames), strict=True)])
        for by in models
    ]
    assert dices[1] == pytest.approx(dices[0], abs=INT8.max_difference)


def test_int8_makes_the_u_net_smaller_and_says_how_much_of_it_is(exports):
    small, large = (exports.folders[name] / "member_0" / "unet.bin" for name in ("int8", "float32"))
    assert small.stat().st_size < 0.6 * large.stat().st_size
    assert exports.facts == {"float32": Export("float32", "", 11, 0), "int8": Export("int8", "", 11, 10)}, (
        "all but the first"
    )


def test_layers_go_back_to_float32_where_int8_costs_too_much(tmp_path):
    """Annotated as the network in float32 says: a pixel that int8 changes costs Dice."""
    drawn = segmenter()
    said = drawn.predict([frame for frame, _ in DRAWN])
    own = replace(VAL, truths=[each.mask for each in said])
    found = export(drawn, tmp_path, INT8.model_copy(update={"max_difference": 1e-9}), own, "gan")
    assert found.int8_layers < found.layers - 1, "the first layer is not quantised in any case"


def test_the_layer_that_sees_the_grey_levels_stays_in_float32_and_depthwise_ones_count(exports):
    network = openvino.Core().read_model(exports.folders["int8"] / "member_0" / "unet.xml")
    first, second, *_ = _convolutions(network)
    assert (first.get_friendly_name() == second.get_friendly_name(), _is_int8(first), _is_int8(second)) == (
        False,
        False,
        True,
    )
    frames = tf.keras.Input((32, 64, 1))
    features = tf.keras.layers.DepthwiseConv2D(3)(tf.keras.layers.Conv2D(4, 3)(frames))
    mixed = _converted(tf.keras.Model(frames, {LOGITS: features}), ["frames"], [LOGITS])
    assert [layer.get_type_name() for layer in _convolutions(mixed)] == ["Convolution", "GroupConvolution"]


SCRIPT = """
import sys, pathlib
sys.path[:0] = sys.argv[2:]
import drawn_models
from nerveseg.saved_models.loading import load_trained
from nerveseg.saved_models.openvino_export import export
folder = pathlib.Path(sys.argv[1])
folder.mkdir()
export(load_trained(folder.parent), folder, drawn_models.INT8, drawn_models.VAL, "gan")
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__, [name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


def exported_elsewhere(folder):
    """Export the model that is saved beside this folder in another process; what it prints at its end."""
    return run(sys.executable, "-c", SCRIPT, folder, ROOT / "src", ROOT / "tests" / "support").splitlines()[-1]


@pytest.fixture(scope="module")
def elsewhere(exports, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    exports.model.save(folder)
    return folder, exported_elsewhere(folder / "one")


def test_exported_twice_the_files_are_equal_to_the_bit(elsewhere):
    folder, _ = elsewhere
    exported_elsewhere(folder / "other")
    one, other = (
        {path.relative_to(folder / name): path.read_bytes() for path in (folder / name).rglob("*") if path.is_file()}
        for name in ("one", "other")
    )
    assert len(one) == 8
    assert one == other


def test_predicting_imports_no_tensorflow_and_is_ready_at_once(export_of_a_refiner, tmp_path):
    folder = kaggle_frames(tmp_path / "frames", subjects=[1])
    script = (
        "import sys; from nerveseg import cli\n"
        "try: cli.main()\n"
        "finally: assert not {'tensorflow', 'tf_keras', 'sklearn', 'mlflow'} & set(sys.modules)"
    )
    command = ["predict", str(folder), "--out", str(tmp_path / "masks"), "--model", str(export_of_a_refiner)]
    run(sys.executable, "-c", script, *command, cwd=ROOT)
    assert len(list((tmp_path / "masks").glob("*_mask.png"))) == 4


def test_several_threads_may_ask_at_once(export_of_a_refiner):
    model = load_predictor(export_of_a_refiner)
    alone = [model.predict([frame])[0].probability for frame in FRAMES]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda n: model.predict([FRAMES[n % 3]])[0].probability, range(60)))
    for number, found in enumerate(together):
        assert np.allclose(found, alone[number % 3], atol=TOLERANCE)


def test_what_is_exported_is_loaded_as_such_and_the_trained_one_as_that(exported, tmp_path):
    model = segmenter()
    assert isinstance(exported(model), ExportedPredictor)
    model.save(tmp_path)
    assert isinstance(load_trained(tmp_path), Segmenter)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: (folder / "exported.json").write_text("{}"), r"exported\.json is damaged or was changed"),
        (lambda folder: (folder / "files.json").unlink(), r"files\.json was not found"),
        (lambda folder: shutil.rmtree(folder / "member_0"), r"member_0/.* was not found"),
        (lambda folder: (folder / "member_0" / "refiner.xml").unlink(), r"refiner\.xml was not found"),
        (lambda folder: flip_a_bit(folder / "member_0" / "unet.bin"), r"unet\.bin is damaged or was changed"),
        (lambda folder: (folder / "member_0" / "unet.xml").write_text("<net"), r"unet\.xml is damaged"),
    ],
)
def test_a_damaged_export_says_how_to_make_it_again(export_of_a_refiner, tmp_path, damage, told):
    damage(shutil.copytree(export_of_a_refiner, tmp_path / "exported"))
    with pytest.raises(ModelError, match=told + ".*make it again with `dvc repro export`"):
        load_predictor(tmp_path / "exported")


def test_a_model_with_a_weight_that_is_no_number_is_not_exported_and_predicts_nothing(exported):
    model = segmenter()
    weights = model.unet.get_weights()
    weights[-1].flat[0] = np.nan  # of the last layer: no ReLU follows
    model.unet.set_weights(weights)
    with pytest.raises(ModelError, match=r"some of its weights are NaN\); train the model again"):
        exported(model)
    with pytest.raises(ModelError, match="the model's output is NaN or infinite; restore its files with `dvc pull`"):
        model.predict(FRAMES)


def test_nothing_tells_the_makers_of_the_runtime_what_is_done_with_it(elsewhere):
    _, told = elsewhere
    assert told.split() == ["openvino.tools.ovc.telemetry_stub", "[]"]
