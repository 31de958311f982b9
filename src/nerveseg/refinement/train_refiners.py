"""From a trained U-Net to its trained refiners."""

from functools import partial

import pandas as pd
import tensorflow as tf

from nerveseg.params.networks import DegradationParams, GanParams
from nerveseg.refinement.adversarial_training import AdversarialTraining
from nerveseg.refinement.critic import CRITICS
from nerveseg.refinement.degraded_batches import RefinerInputs
from nerveseg.refinement.refiner import build_refiner, learnt, start_from
from nerveseg.training.checkpoints import assign, values_of
from nerveseg.training.distribution import devices_in_words, keras_policy
from nerveseg.training.task import TrainingTask
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter


def train_refiners(
    unet: Segmenter, params: GanParams, strengths: DegradationParams, task: TrainingTask
) -> tuple[dict[str, tf.keras.Model], pd.DataFrame]:
    """Return the refiners by arm with their best weights, in float32, and the history of `AdversarialTraining.fit`."""
    loss, spec = unet.config.unet, task.info.input
    policy = keras_policy(loss.precision)
    print(f"training on {devices_in_words(policy)}", flush=True)
    fast = build_unet(loss, spec, pretrained=False, policy=policy)
    fast.set_weights(unet.unet.get_weights())
    critic = None if params.critic == "none" else partial(CRITICS[params.critic], params.base_filters, spec)
    build = partial(build_refiner, loss, params.base_filters, spec)
    inputs = RefinerInputs(fast, params.corruption, strengths, task.seed)
    training = AdversarialTraining(
        lambda: start_from(build(policy=policy), fast), critic, inputs, params, loss, unet.cutoffs
    )
    history = training.fit(task)
    refiners = {name: start_from(build(), unet.unet) for name in training.arms}
    for name, refiner in refiners.items():
        assign(learnt(refiner), values_of(learnt(training.arms[name].averaged)))
    return refiners, history
