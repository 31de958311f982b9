"""One refiner in training, against a critic or without one as the control, and one update of it.

The refiner minimises the U-Net's loss, plus the cross-entropy of the frame being degraded, plus, if it has a critic,
`adversarial_weight` times the critic's loss of its masks. The critic has a learning rate of its own (Heusel et al. 2017,
"GANs trained by a two time-scale update rule"). It is not updated in steps in which its accuracy is above `critic_rest`, so
that it cannot run away. As for the U-Net, an average of the refiner's weights is scored and kept.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from nerveseg.params.networks import GanParams, UNetParams
from nerveseg.refinement.critic import Critic
from nerveseg.refinement.degraded_batches import RefinerBatch
from nerveseg.refinement.refiner import POOR, learnt
from nerveseg.training.checkpoints import assign, values_of
from nerveseg.unet.losses import binary_cross_entropy, presence_loss, segmentation_loss
from nerveseg.unet.network import LOGITS, PRESENCE
from nerveseg.unet.optimiser import gradients_of, update_average
from nerveseg.unet.segmenter import agreed_presence


class RefinerArm:
    """One arm's networks, optimisers and average; `build` makes a refiner, `loss` is the section `unet` of params."""

    def __init__(
        self, build: Callable[[], tf.keras.Model], critic: Critic | None, params: GanParams, loss: UNetParams
    ) -> None:
        self.refiner, self.averaged, self.critic = build(), build(), critic
        self._learnt, self._average = learnt(self.refiner), learnt(self.averaged)
        assign(self._average, values_of(self._learnt))
        self._params, self._loss = params, loss
        self._optimiser = tf.keras.optimizers.Adam(params.lr, beta_1=0.5, jit_compile=False)
        self._optimiser.build(self.refiner.trainable_variables)
        if critic is not None:
            self._critic_optimiser = tf.keras.optimizers.Adam(params.critic_lr, beta_1=0.5, jit_compile=False)
            self._critic_optimiser.build(critic.network.trainable_variables)

    def become(self, other: "RefinerArm") -> None:
        """Copy the other arm's refiner, average and optimiser; critics stay with their arms."""
        for own, theirs in zip(self._of_refiner(), other._of_refiner(), strict=True):  # noqa: SLF001 - of one class
            own.assign(theirs)

    def update(self, given: RefinerBatch) -> dict[str, tf.Tensor]:
        """Update the refiner once, then its critic if it has one; return the losses before."""
        critic = self.critic
        measured = {}
        refined = self.refiner([given.frames, given.logits, given.presence], training=True)
        predicted = tf.sigmoid(refined[LOGITS])
        total = measured["segmentation_loss"] = segmentation_loss(
            self._loss, given.masks, refined[LOGITS]
        ) + presence_loss(self._loss, given.masks, refined[PRESENCE])
        if critic is not None:
            measured["adversarial_loss"] = critic.generator_loss(given.frames, given.masks, predicted)
            total += self._params.adversarial_weight * measured["adversarial_loss"]
        total += binary_cross_entropy(given.poor, refined[POOR])
        variables = self.refiner.trainable_variables
        self._optimiser.apply_gradients(zip(gradients_of(total, variables), variables, strict=True))
        update_average(self._average, self._learnt, self._optimiser.iterations, self._params.ema_decay)
        if critic is not None:
            measured |= self._criticise(critic, given, tf.stop_gradient(predicted))
        return measured

    def _criticise(self, critic: Critic, given: RefinerBatch, predicted: tf.Tensor) -> dict[str, tf.Tensor]:
        variables = critic.network.trainable_variables
        judgement = critic.judge(given.frames, given.masks, predicted)
        gradients = gradients_of(judgement.loss, variables)
        # If the accuracy is NaN, as of a critic without one, it is updated.
        if not judgement.accuracy > self._params.critic_rest:
            self._critic_optimiser.apply_gradients(zip(gradients, variables, strict=True))
        return {"critic_loss": judgement.loss, "critic_accuracy": judgement.accuracy}

    def look(self, given: RefinerBatch) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what the averaged weights predict: probability of nerve (N, H, W, 1) and presence (N, 1), 0..1."""
        refined = self.averaged([given.frames, given.logits, given.presence], training=False)
        return estimate_of(refined[LOGITS], refined[PRESENCE])

    def _of_refiner(self) -> list[tf.Variable]:
        return [*self._learnt, *self._average, *self._optimiser.variables]

    def state(self) -> dict[str, Sequence[tf.Variable]]:
        """Return all variables that an update changes, by name."""
        own: dict[str, Sequence[tf.Variable]] = {"refiner": self._of_refiner()}
        if self.critic is None:
            return own
        return own | {"critic": self.critic.network.weights, "critic_optimiser": self._critic_optimiser.variables}


def estimate_of(logits: tf.Tensor, presence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the probability of nerve (N, H, W, 1) and presence (N, 1), 0..1, from their logits."""
    probability = tf.sigmoid(logits)
    return probability, agreed_presence(tf.sigmoid(presence), probability)
