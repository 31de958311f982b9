"""Gradients in a fixed order of sums, AdamW (Loshchilov and Hutter 2019) with fused updates, the moving average of weights."""

from collections.abc import Iterable

import tensorflow as tf

from nerveseg.params.networks import UNetParams


class FusedAdamW(tf.keras.optimizers.AdamW):
    """Keras's AdamW, updating each variable with TensorFlow's own Adam kernel in half the time."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle, m=self._momentums[index].handle, v=self._velocities[index].handle,
            beta1_power=tf.pow(self.beta_1, step), beta2_power=tf.pow(self.beta_2, step), lr=self.learning_rate,
            beta1=self.beta_1, beta2=self.beta_2, epsilon=self.epsilon, grad=gradient,
        )  # fmt: skip


def gradients_of(loss: tf.Tensor, variables: Iterable[tf.Variable]) -> list[tf.Tensor]:
    """Return the gradients of a scalar, inside a `tf.function`.

    Where a value is used three times or more, its gradients are added one by one. A `GradientTape` would give them all to
    `AddN`, which starts with any whose memory nothing else needs any more: the sum would depend on which thread is faster.
    """
    pairwise = tf.AggregationMethod.EXPERIMENTAL_TREE
    return list(tf.gradients(loss, list(variables), aggregation_method=pairwise))


def adamw(params: UNetParams, peak_lr: float, steps: int) -> FusedAdamW:
    """Return an optimiser whose learning rate rises linearly over `warmup_share` of the steps and stays at `peak_lr`.

    The rate does not fall towards the end: the average of the weights is kept, and it gains more from steps that still wander
    around the minimum than from small ones (Izmailov et al. 2018; measured in bench/README.md). Biases and normalisations
    do not decay. XLA is off: Keras would use it on GPUs only, if its tools are installed.
    """
    warmup = int(params.warmup_share * steps)
    rising = tf.keras.optimizers.schedules.PolynomialDecay(0.0, warmup, end_learning_rate=peak_lr)
    optimiser = FusedAdamW(rising if warmup else peak_lr, weight_decay=params.weight_decay, jit_compile=False)
    optimiser.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimiser


def update_average(
    averages: Iterable[tf.Variable], variables: Iterable[tf.Variable], steps: tf.Tensor, decay: float
) -> None:
    """Move the averages towards the variables after `steps` steps; in the first steps by more than 1 - `decay`."""
    done = tf.cast(steps, tf.float32)
    forgotten = 1.0 - tf.minimum(decay, done / (done + 9.0))
    for average, variable in zip(averages, variables, strict=True):
        average.assign_sub(forgotten * (average - variable))
