"""Channels that a network does without while it trains."""

import numpy as np
import pytest
import tensorflow as tf

from conftest import ROOT
from nerveseg.models.dropout import ChannelDropout
from nerveseg.models.unet import build_unet
from nerveseg.params import load_params

FRAMES = np.random.default_rng(0).integers(0, 256, (8, 6, 10, 1)).astype(np.float32)
FEATURES = tf.ones((8, 3, 5, 400))
UNET = load_params(ROOT / "params.yaml").unet.model_copy(update={"base_filters": 4, "depth": 3, "dropout": 0.2})


def kept(number=0, frames=FRAMES, rate=0.2):
    return ChannelDropout(rate, number)((FEATURES, frames), training=True).numpy()


def test_a_channel_is_left_out_as_a_whole_and_the_mean_stays():
    found = kept()
    assert np.array_equal(found.min((1, 2)), found.max((1, 2)))
    assert set(np.unique(found)) == {0.0, np.float32(1.25)}
    assert found.mean() == pytest.approx(1.0, abs=0.05)
    assert not np.array_equal(found[0], found[1])


def test_the_same_frames_lose_the_same_channels_and_other_frames_or_layers_others():
    assert np.array_equal(kept(), kept())
    assert not np.array_equal(kept(), kept(number=1))
    assert not np.array_equal(kept(), kept(frames=FRAMES + np.float32(1)))


def test_a_network_that_trains_leaves_out_channels_and_one_that_predicts_has_the_same_weights_and_no_such_layer():
    trains, predicts = (build_unet(UNET, 32, 64, 60.0, 40.0, training=training) for training in (True, False))
    dropped = [layer for layer in trains.layers if isinstance(layer, ChannelDropout)]
    assert len(dropped) == 3  # of the levels 0 to 3 the third on the way down and up, and the last
    assert not [layer for layer in predicts.layers if isinstance(layer, ChannelDropout)]
    predicts.set_weights(trains.get_weights())
    frames = np.random.default_rng(1).uniform(0, 255, (2, 32, 64, 1)).astype(np.float32)
    said, theirs = trains(frames, training=False), predicts(frames, training=False)
    assert all(np.array_equal(said[key], theirs[key]) for key in theirs)
    once, again = (trains(frames, training=True)["logits"].numpy() for _ in range(2))
    assert np.array_equal(once, again)


def test_without_dropout_a_network_that_trains_has_no_such_layer():
    network = build_unet(UNET.model_copy(update={"dropout": 0.0}), 32, 64, 60.0, 40.0, training=True)
    assert not [layer for layer in network.layers if isinstance(layer, ChannelDropout)]
