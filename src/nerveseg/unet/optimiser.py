"""AdamW (Loshchilov and Hutter 2019), its update of a variable in one operation instead of a dozen passes over memory."""

import tensorflow as tf

from nerveseg.params.networks import UNetParams


class FusedAdamW(tf.keras.optimizers.AdamW):
    """Keras's AdamW, whose updates TensorFlow's own kernel of Adam computes: half the time of a step's update."""

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        index = self._index_dict[self._var_key(variable)]
        step = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=self.learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def adamw(params: UNetParams, peak_lr: float, steps: int) -> FusedAdamW:
    """With a learning rate that rises in a line over `warmup_share` of the steps, then stays at `peak_lr`.

    Nothing is compiled by XLA, which Keras would do on a GPU alone, where the machine has its tools or not.

    It does not fall towards the end: what is kept is the average of the weights, which gains more from steps that still
    wander about the minimum than from small ones (Izmailov et al. 2018; measured in bench/README.md). Biases and
    normalisations do not decay.
    """
    warmup = int(params.warmup_share * steps)
    rising = tf.keras.optimizers.schedules.PolynomialDecay(0.0, warmup, end_learning_rate=peak_lr)
    optimiser = FusedAdamW(rising if warmup else peak_lr, weight_decay=params.weight_decay, jit_compile=False)
    optimiser.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimiser
