"""Training: it learns, it repeats to the bit, and it goes on after a stop as if there had been none."""

import os
import shutil
from functools import partial

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from gpu_operations import refused_in, without_kernel_in
from nerveseg.dataset.batches import batches, whole_batches
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.training import checkpoints, distribution
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import is_chief, keras_policy, make_deterministic, training_strategy
from nerveseg.training.task import TrainingTask, steps_per_epoch
from nerveseg.unet.losses import dice, presence_loss, segmentation_loss
from nerveseg.unet.network import build_unet
from nerveseg.unet.training import HISTORY_COLUMNS, SupervisedTraining
from prepared_data import small_data
from summation_order import sums_of_three
from tiny_params import write_params


class StoppedError(Exception):
    pass


def train_unet(data, params, *, epochs=4, stop_after=None, resume=False, lr=1e-2, **changes):
    """Weights and history of a training that may be stopped after an epoch by an exception."""
    if not resume:
        shutil.rmtree(checkpoints.FOLDER, ignore_errors=True)
    rounds, val, info = data
    unet = params.unet.model_copy(update={"epochs": epochs, **changes})
    make_deterministic(params.seed)
    build = partial(build_unet, unet, info.input)
    steps = epochs * steps_per_epoch(info, unet.batch_size)
    training = SupervisedTraining(build, unet, lr, steps, training_strategy(unet))
    seen = []

    def on_epoch(epoch, values):
        seen.append(epoch)
        if epoch == stop_after:
            raise StoppedError

    history = training.fit(TrainingTask(rounds, val, info, params.seed, Checkpoint("unet-test"), on_epoch))
    return training.averaged.get_weights(), history, seen


def mean_val_dice(params, weights, val, info):
    network = build_unet(params.unet, info.input)
    network.set_weights(weights)
    values = [dice(masks, network(frames)["logits"]) for frames, masks in batches(val, info, 3)]
    return np.concatenate(values).mean()


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Weights and history of a training that nothing stopped, and the history of a longer one."""
    folder = tmp_path_factory.mktemp("training")
    params = write_params(folder / "params.yaml")
    data = small_data(folder, params)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "FOLDER", folder / "checkpoints")
        weights, history, _ = train_unet(data, params)
        _, longer, _ = train_unet(data, params, epochs=20, warmup_share=0.2)
    return weights, history, longer


@pytest.mark.slow
def test_the_unet_learns_to_find_a_bright_nerve(trained):
    _, _, history = trained
    assert list(history.columns) == HISTORY_COLUMNS
    assert history["epoch"].tolist() == list(range(1, 21))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert history["val_dice"].max() > 0.6


@pytest.mark.slow
def test_the_learning_rate_rises_to_its_peak_and_stays_there(trained):
    _, _, history = trained
    last_steps = 5 * np.arange(1, 21) - 1
    assert history["lr"].to_numpy() == pytest.approx(1e-2 * np.minimum(last_steps / 20, 1.0), rel=1e-5)


@pytest.mark.slow
def test_two_trainings_with_one_seed_are_equal_to_the_bit_also_where_one_was_stopped_and_goes_on(trained, data, tiny):
    weights, history, _ = trained
    with pytest.raises(StoppedError):
        train_unet(data, tiny, stop_after=2)
    resumed_weights, resumed_history, seen = train_unet(data, tiny, resume=True)
    assert seen == [2, 3, 4], "an epoch is told before it is kept: it may be told twice, never lost"
    assert equal(weights, resumed_weights)
    pd.testing.assert_frame_equal(history, resumed_history, check_exact=True)


@pytest.mark.slow
def test_the_network_is_left_with_the_weights_of_its_best_epoch(trained, data, tiny):
    _, val, info = data
    weights, history, _ = trained
    assert mean_val_dice(tiny, weights, val, info) == pytest.approx(history["val_dice"].max(), abs=1e-6)


HISTORY = pd.DataFrame({"epoch": [1.0], "loss": [0.1 + 0.2]})
STATES = {"network": [np.ones((2, 3), np.float32), np.float32([7.0])], "optimiser": [np.int64(12)] * 11}


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    checkpoint = Checkpoint("stage-name")
    checkpoint.save(HISTORY, STATES)
    return checkpoint


def test_a_checkpoint_gives_back_every_bit_in_its_order(saved):
    history, states = saved.restore()
    pd.testing.assert_frame_equal(history, HISTORY, check_exact=True)
    assert states.keys() == STATES.keys()
    for name, state in states.items():
        assert equal(state, STATES[name])
        assert [value.dtype for value in state] == [value.dtype for value in STATES[name]]


def test_a_checkpoint_that_was_being_written_leaves_the_one_before_it(saved):
    ended = 2**31 - 1  # no system counts its processes so far
    saved.path.with_name(f".{saved.path.name}.{ended}.part").write_bytes(saved.path.read_bytes()[:300])
    assert saved.restore() is not None
    saved.remove()
    assert list(saved.path.parent.iterdir()) == []
    assert saved.restore() is None


def test_what_another_process_is_writing_is_left_to_it(saved):
    partial = saved.path.with_name(f".{saved.path.name}.{os.getppid()}.part")
    partial.write_bytes(b"half")
    saved.remove()
    assert list(saved.path.parent.iterdir()) == [partial]


def test_a_queued_experiment_finds_its_checkpoint_in_the_repository_that_it_is_a_copy_of(tmp_path, monkeypatch):
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert Checkpoint("name").path == tmp_path.resolve() / ".nerveseg" / "checkpoints" / "name.npz"


@pytest.mark.parametrize("where", [0.0, 0.3, 0.5, 0.9, 0.99])
def test_a_damaged_checkpoint_is_noticed_and_told(saved, caplog, where):
    content = bytearray(saved.path.read_bytes())
    position = int(where * len(content))
    saved.path.write_bytes(content[:position])
    assert saved.restore() is None
    assert "name.npz is damaged" in caplog.text


def test_a_changed_byte_in_the_weights_is_noticed(saved, caplog):
    content = saved.path.read_bytes()
    saved.path.write_bytes(content.replace(np.float32([7.0]).tobytes(), np.float32([8.0]).tobytes()))
    assert saved.restore() is None
    assert "name.npz is damaged" in caplog.text


def test_a_worker_that_is_not_the_chief_writes_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    Checkpoint("name", writes=False).save(HISTORY, STATES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_training_that_diverges_stops_with_what_to_do(data, tiny):
    with pytest.raises(ModelError, match=r"the loss is nan in epoch 1: training diverged; lower lr"):
        train_unet(data, tiny, lr=1e30)


def test_one_machine_without_gpus_trains_under_the_default_strategy(tiny):
    strategy = training_strategy(tiny.unet)
    assert strategy.num_replicas_in_sync == 1
    assert is_chief(strategy)


@pytest.mark.parametrize("content", ["", " ", "{}", '{"cluster": {}, "task": {}}', '{"environment": "cloud"}'])
def test_a_tf_config_without_a_cluster_means_this_machine_alone_as_for_tensorflow(monkeypatch, tiny, content):
    monkeypatch.setenv("TF_CONFIG", content)
    assert training_strategy(tiny.unet).num_replicas_in_sync == 1


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("workers", "it is no such JSON"),
        ("[]", "it is no such JSON"),
        ('{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}', "it is no such JSON"),
        ('{"cluster": {"worker": ["a:1"]}}', "'task' is missing in it"),
        ('{"cluster": {"chief": ["a:1"]}, "task": {"type": "worker", "index": 0}}', "'worker' is missing in it"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "task 1 is not one of its 1"),
    ],
)
def test_a_tf_config_that_cannot_be_used_is_shown_with_what_was_found_and_what_to_do(monkeypatch, tiny, content, found):
    monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(ModelError, match=rf"TF_CONFIG is .*, but {found}; unset it to .*, or make it JSON like"):
        training_strategy(tiny.unet)


def test_precision_follows_params_and_where_it_is_auto_the_processor(monkeypatch, tmp_path):
    assert keras_policy("float32") == "float32"
    assert keras_policy("bfloat16") == "mixed_bfloat16"
    bfloat16, float32 = "mixed_bfloat16", "float32"
    for flags, policy in (("fpu amx_bf16", bfloat16), ("avx512_bf16 fpu", bfloat16), ("fpu avx512f avx2", float32)):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
        monkeypatch.setattr(distribution, "CPU_INFO", tmp_path / "cpuinfo")
        assert keras_policy("auto") == policy
    monkeypatch.setattr(distribution, "CPU_INFO", tmp_path / "missing")
    assert keras_policy("auto") == "float32"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "ghost_batches", "policy"),
    [("plain", 2, "float32"), ("plain", 4, "mixed_bfloat16"), ("efficientnetlite0", 3, "mixed_bfloat16")],
)
def test_a_step_has_no_operation_that_a_gpu_lacks_or_refuses_and_no_sum_that_depends_on_timing(
    tiny, encoder, ghost_batches, policy
):
    make_deterministic(0)
    unet = tiny.unet.model_copy(update={"encoder": encoder, "ghost_batches": ghost_batches, "stem": 2})
    build = partial(build_unet, unet, InputSpec(32, 64, 80.0, 40.0), policy=policy)
    training = SupervisedTraining(build, unet, 1e-2, 10, training_strategy(unet))
    step, given = training.step, [tf.TensorSpec((12, 32, 64, 1))] * 2
    assert without_kernel_in(step, *given) == []
    assert without_kernel_in(training._score) == []
    refused, seen = refused_in(step, *given)
    assert refused == []
    reducing = {"MaxPoolGrad"} if encoder == "plain" else {"DepthwiseConv2dNativeBackpropFilter"}
    assert {"Conv2DBackpropFilter", "FusedBatchNormGradV3", *reducing} <= seen
    assert sums_of_three(step, *given) == []


@pytest.mark.slow
def test_a_batch_in_parts_steps_by_the_mean_of_their_gradients(data, tiny):
    """Adam's first moments after a first step are a tenth of the gradients."""
    rounds, _, info = data
    unet = tiny.unet.model_copy(update={"weight_decay": 0.0, "warmup_share": 0.0})
    make_deterministic(0)
    build = partial(build_unet, unet, info.input)
    training = SupervisedTraining(build, unet, 1e-2, 10, training_strategy(unet))
    reference = build()
    reference.set_weights(training.network.get_weights())
    frames, masks = next(iter(whole_batches(rounds, info, 4, 0, range(1))))
    gradients = []
    for part in (slice(0, 2), slice(2, 4)):
        with tf.GradientTape() as tape:
            outputs = reference(frames[part], training=True)
            loss = segmentation_loss(unet, masks[part], outputs["logits"])
            loss += presence_loss(unet, masks[part], outputs["presence"])
        gradients.append(tape.gradient(loss, reference.trainable_variables))
    training.step(frames, masks)
    for moment, one, two in zip(training.optimiser._momentums, *gradients, strict=True):
        assert np.allclose(10 * moment, (one + two) / 2, rtol=1e-3, atol=1e-5)
