import numpy as np
import tensorflow as tf

from nerveseg.params.file import load_params
from nerveseg.training.distribution import make_deterministic
from nerveseg.unet.optimiser import adamw, gradients_of
from paths import ROOT
from summation_order import sums_of_three

PARAMS = load_params(ROOT / "params.yaml").unet.model_copy(update={"weight_decay": 0.05})


def test_a_fused_update_is_that_of_the_adamw_of_keras():
    rng = np.random.default_rng(0)
    starts = {"kernel": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}
    ours, theirs = (
        [tf.Variable(value, name=name, dtype=tf.float32) for name, value in starts.items()] for _ in range(2)
    )
    fused = adamw(PARAMS, 0.1, 10)
    reference = tf.keras.optimizers.AdamW(adamw(PARAMS, 0.1, 10)._learning_rate, weight_decay=0.05)
    reference.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    for _ in range(10):
        gradients = [tf.constant(rng.normal(size=value.shape), tf.float32) for value in starts.values()]
        fused.apply_gradients(zip(gradients, ours, strict=True))
        reference.apply_gradients(zip(gradients, theirs, strict=True))
        for one, other in zip(ours, theirs, strict=True):
            assert np.allclose(one, other, rtol=1e-5, atol=1e-5)
    assert not np.allclose(ours[0], starts["kernel"], atol=0.1)


def test_gradients_are_those_of_a_tape_but_no_three_of_them_are_summed_at_once():
    make_deterministic(0)
    x = tf.Variable([0.5, -1.5])

    def used_five_times():
        return tf.reduce_sum(tf.sin(x) + tf.cos(x) + tf.exp(x) * x + x**3)

    @tf.function
    def ours():
        return gradients_of(used_five_times(), [x])

    @tf.function
    def tapes():
        with tf.GradientTape() as tape:
            loss = used_five_times()
        return tape.gradient(loss, [x])

    exact = np.cos(x) - np.sin(x) + np.exp(x) * (1.0 + x.numpy()) + 3 * x.numpy() ** 2
    assert np.allclose(ours()[0], exact, rtol=1e-6)
    assert np.allclose(tapes()[0], exact, rtol=1e-6)
    assert sums_of_three(ours) == []
    assert sums_of_three(tapes) != []
