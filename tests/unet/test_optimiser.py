import numpy as np
import tensorflow as tf

from nerveseg.params.file import load_params
from nerveseg.unet.optimiser import adamw
from paths import ROOT

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
