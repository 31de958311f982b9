"""Training: it learns, it repeats to the bit, and it goes on after a stop as if there had been none."""

import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from nerveseg.data.preparation import prepare_dataset
from nerveseg.data.records import batches, read_records, shards, write_records
from nerveseg.errors import ModelError
from nerveseg.models.critic import build_critic
from nerveseg.models.refiner import build_refiner
from nerveseg.models.unet import build_unet
from nerveseg.training import checkpoints
from nerveseg.training.adversarial import HISTORY_COLUMNS as GAN_COLUMNS
from nerveseg.training.adversarial import AdversarialTraining, best_epoch
from nerveseg.training.checkpoints import Checkpoint, digest_of
from nerveseg.training.distribution import make_deterministic, training_strategy
from nerveseg.training.supervised import HISTORY_COLUMNS, compile_network, fit_network


class StoppedError(Exception):
    pass


@pytest.fixture
def data(kaggle_folder, tiny, tmp_path, monkeypatch):
    """Two rounds and the val shards of a small data set; checkpoints go to a temporary place."""
    monkeypatch.setattr(checkpoints, "ROOT", tmp_path / "checkpoints")
    folder = tmp_path / "processed"
    folder.mkdir()
    data = tiny.data.model_copy(update={"dir": str(kaggle_folder(frames=6))})
    _, info = prepare_dataset(folder, data, tiny.split, tiny.preprocess, tiny.seed, tmp_path)
    train = list(read_records(shards(folder, "train"), info))
    rounds = [tmp_path / f"round-{number}.tfrecord" for number in range(2)]
    for path in rounds:
        write_records([path], (record.serialise() for record in train))
    return rounds, shards(folder, "val"), info


def train_unet(data, params, *, epochs=4, stop_after=None, resume=False, lr=1e-2):
    """Weights and history of a training that may be stopped after an epoch by an exception."""
    if not resume:
        shutil.rmtree(checkpoints.ROOT, ignore_errors=True)
    rounds, val, info = data
    unet = params.unet.model_copy(update={"epochs": epochs})
    make_deterministic(params.seed)
    network = build_unet(unet, info.height, info.width, info.mean, info.std)
    compile_network(network, unet, lr, epochs * -(-info.frames["train"] // unet.batch_size))
    checkpoint = Checkpoint("unet-test", network=network, optimiser=network.optimizer)
    seen = []

    def on_epoch(epoch, values):
        seen.append(epoch)
        if epoch == stop_after:
            raise StoppedError

    history = fit_network(network, rounds, val, info, unet, params.seed, checkpoint, on_epoch)
    return network.get_weights(), history, seen


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_unet_learns_to_find_a_bright_nerve(data, tiny):
    _, history, _ = train_unet(data, tiny, epochs=20)
    assert list(history.columns) == HISTORY_COLUMNS
    assert history["epoch"].tolist() == list(range(1, 21))
    assert history["loss"].iloc[-1] < 0.8 * history["loss"].iloc[0]
    assert history["val_dice"].max() > 0.6


def test_the_learning_rate_rises_to_its_peak_and_falls_to_nearly_nothing(data, tiny):
    _, history, _ = train_unet(data, tiny, epochs=10)
    assert history["lr"].max() == pytest.approx(1e-2, rel=0.05)
    assert history["lr"].iloc[-1] < 0.05 * 1e-2


def test_two_trainings_with_one_seed_are_equal_to_the_bit(data, tiny):
    first, second = train_unet(data, tiny), train_unet(data, tiny)
    assert equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1], check_exact=True)


def test_a_stopped_training_goes_on_and_ends_as_if_it_had_not_been_stopped(data, tiny):
    weights, history, _ = train_unet(data, tiny)
    with pytest.raises(StoppedError):
        train_unet(data, tiny, stop_after=2)
    resumed_weights, resumed_history, seen = train_unet(data, tiny, resume=True)
    assert seen == [3, 4]
    assert equal(weights, resumed_weights)
    pd.testing.assert_frame_equal(history, resumed_history, check_exact=True)


def test_the_network_is_left_with_the_weights_of_its_best_epoch(data, tiny):
    _, val, info = data
    weights, history, _ = train_unet(data, tiny)
    network = build_unet(tiny.unet, info.height, info.width, info.mean, info.std)
    compile_network(network, tiny.unet, 1e-3, 10)
    network.set_weights(weights)
    scores = network.evaluate(batches(val, info, tiny.unet.batch_size), return_dict=True, verbose=0)
    assert scores["dice"] == pytest.approx(history["val_dice"].max(), abs=1e-6)


def train_refiner(data, params, unet_weights, *, epochs=3, stop_after=None, resume=False):
    if not resume:
        shutil.rmtree(checkpoints.ROOT, ignore_errors=True)
    rounds, val, info = data
    make_deterministic(params.seed)
    size = (info.height, info.width, info.mean, info.std)
    unet = build_unet(params.unet, *size)
    unet.set_weights(unet_weights)
    refiner, critic = build_refiner(4, *size), build_critic(4, *size)
    gan = params.gan.model_copy(update={"epochs": epochs})
    training = AdversarialTraining(unet, refiner, critic, gan, params.unet)
    checkpoint = Checkpoint(
        "gan-test",
        refiner=refiner,
        critic=critic,
        generator_optimiser=training.generator_optimiser,
        critic_optimiser=training.critic_optimiser,
    )
    seen = []

    def on_epoch(epoch, values):
        seen.append(epoch)
        if epoch == stop_after:
            raise StoppedError

    history = training.fit(rounds, val, info, params.seed, checkpoint, on_epoch)
    return refiner.get_weights(), history, seen, equal(unet.get_weights(), unet_weights)


@pytest.fixture
def unet_weights(data, tiny):
    weights, _, _ = train_unet(data, tiny, epochs=4)
    return weights


def test_the_refiner_starts_as_the_unet_and_its_kept_epoch_is_not_below_it_on_val(data, tiny, unet_weights):
    _, history, _, unet_is_frozen = train_refiner(data, tiny, unet_weights)
    assert list(history.columns) == GAN_COLUMNS
    assert history["epoch"].tolist() == [0, 1, 2, 3]
    assert unet_is_frozen
    _, val, info = data
    unet = build_unet(tiny.unet, info.height, info.width, info.mean, info.std)
    unet.set_weights(unet_weights)
    compile_network(unet, tiny.unet, 1e-3, 10)
    alone = unet.evaluate(batches(val, info, 4), return_dict=True, verbose=0)["dice"]
    assert history["val_dice"].iloc[0] == pytest.approx(alone, abs=1e-6)
    assert history["val_dice"].iloc[best_epoch(history)] >= history["val_dice"].iloc[0]
    assert np.isnan(history["critic_loss"].iloc[1]), "the generator warms up alone"
    assert 0.0 <= history["critic_accuracy"].iloc[2] <= 1.0
    assert np.isfinite(history.loc[2:, "critic_loss"]).all()


def test_two_adversarial_trainings_with_one_seed_are_equal_to_the_bit(data, tiny, unet_weights):
    first = train_refiner(data, tiny, unet_weights)
    second = train_refiner(data, tiny, unet_weights)
    assert equal(first[0], second[0])
    pd.testing.assert_frame_equal(first[1], second[1], check_exact=True)


def test_a_stopped_adversarial_training_goes_on_as_if_it_had_not_been_stopped(data, tiny, unet_weights):
    weights, history, _, _ = train_refiner(data, tiny, unet_weights)
    with pytest.raises(StoppedError):
        train_refiner(data, tiny, unet_weights, stop_after=2)
    resumed_weights, resumed_history, seen, _ = train_refiner(data, tiny, unet_weights, resume=True)
    assert seen == [3]
    assert equal(weights, resumed_weights)
    pd.testing.assert_frame_equal(history, resumed_history, check_exact=True)


def test_the_digest_follows_params_and_inputs(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"one")
    first = digest_of({"lr": 1e-3}, [path])
    assert first == digest_of({"lr": 1e-3}, [path])
    assert first != digest_of({"lr": 1e-4}, [path])
    path.write_bytes(b"two")
    assert first != digest_of({"lr": 1e-3}, [path])


def test_a_half_written_checkpoint_is_not_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "ROOT", tmp_path)
    (tmp_path / "name.part").mkdir()
    assert Checkpoint("name", value=tf.Variable(1.0)).restore() is None


def test_a_checkpoint_survives_a_stop_between_its_two_renames(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "ROOT", tmp_path)
    history = pd.DataFrame({"epoch": [1.0], "loss": [0.1 + 0.2]})
    Checkpoint("name", value=tf.Variable(7.0)).save(history, {"best": [np.ones(3, np.float32)]})
    (tmp_path / "name").rename(tmp_path / "name.old")
    value = tf.Variable(0.0)
    found, kept = Checkpoint("name", value=value).restore()
    assert value.numpy() == 7.0
    pd.testing.assert_frame_equal(found, history, check_exact=True)
    assert np.array_equal(kept["best"][0], np.ones(3))


def test_a_training_that_diverges_stops_with_what_to_do(data, tiny):
    with pytest.raises(ModelError, match=r"the loss is nan in epoch 1: training diverged; lower lr"):
        train_unet(data, tiny, lr=1e30)


def test_one_machine_without_gpus_trains_under_the_default_strategy():
    assert training_strategy().num_replicas_in_sync == 1


def test_several_machines_are_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}}')
    with pytest.raises(ModelError, match=r"TF_CONFIG is .*unset it"):
        training_strategy()


@pytest.mark.parametrize(
    ("clean", "degraded", "better"),
    [
        (0.80, 0.66, True),
        (0.79, 0.66, False),  # below the start on clean frames
        (0.80, 0.6019, False),  # a gain on degraded frames that is noise
        (0.85, 0.64, False),  # a rival was better on degraded frames
    ],
)
def test_an_epoch_of_the_refiner_counts_only_where_it_gains_on_poor_frames_and_loses_nothing_on_clean(
    clean, degraded, better
):
    history = pd.DataFrame({"val_dice": [0.80, 0.81, 0.70, clean], "val_dice_degraded": [0.60, 0.65, 0.90, degraded]})
    assert best_epoch(history) == (3 if better else 1)


def test_a_refiner_that_never_gains_stays_as_it_started():
    assert best_epoch(pd.DataFrame({"val_dice": [0.8, 0.7], "val_dice_degraded": [0.6, 0.9]})) == 0
