"""One training of a bench: the pipeline's own steps from packed records to scores, without its stages.

`params` are all parameters, with `augment` and `unet.epochs` as the bench needs them. A training depends only on its records,
parameters and seed. If it is interrupted, the same call resumes after its last complete epoch.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml

from nerveseg.augmentation.rounds import write_rounds
from nerveseg.dataset.info import DatasetInfo, shards
from nerveseg.dataset.records import annotated_frames, read_records
from nerveseg.evaluation.thresholds import case_table
from nerveseg.files.fingerprint import EVERYTHING, digest_of
from nerveseg.inference.predictor import Predictor
from nerveseg.params.file import Params
from nerveseg.training.checkpoints import Checkpoint
from nerveseg.training.distribution import keras_policy, make_deterministic, training_strategy
from nerveseg.training.task import TrainingTask, steps_per_epoch
from nerveseg.unet.network import build_unet
from nerveseg.unet.segmenter import Segmenter, SegmenterConfig
from nerveseg.unet.training import SupervisedTraining
from nerveseg.unet.warm_start import network_to_train


def changed(params: Params, values: Mapping[str, Any]) -> Params:
    """Return the params with other values, by dotted name, for example `unet.depth`."""
    content = params.model_dump()
    for name, value in values.items():
        *sections, key = name.split(".")
        (content[sections[0]] if sections else content)[key] = value
    return type(params).model_validate(content)


def asked_changes(changes: Sequence[str]) -> dict[str, Any]:
    """Parse `NAME=VALUE` with values in YAML."""
    return {name: yaml.safe_load(value) for name, value in (change.split("=", 1) for change in changes)}


def use_threads(count: int) -> None:
    """Set the number of threads of TensorFlow. Call it before the first operation."""
    import tensorflow as tf  # nerveseg must come first: it selects the Keras version

    tf.config.threading.set_intra_op_parallelism_threads(count)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def train(prepared: Path, params: Params, seed: int) -> tuple[Segmenter, float]:
    """Train on the train records of `prepared`, from the weights that `unet.init_from` names.

    Returns:
        The segmenter, its cut-offs found on val, and its best Dice on val.
    """
    import tensorflow as tf

    tf.keras.backend.clear_session()
    make_deterministic(seed)
    info, val, unet = DatasetInfo.read(prepared), shards(prepared, "val"), params.unet
    records = list(read_records(shards(prepared, "train"), info))
    settings = {"seed": seed, "lr": params.lr, "unet": unet.model_dump(), "augment": params.augment.model_dump()}
    inputs = [*shards(prepared, "train"), *val, Path(unet.init_from)]
    name = f"bench-{digest_of(settings, inputs, EVERYTHING)}"
    with TemporaryDirectory(dir=prepared) as folder:
        count = min(unet.epochs, params.augment.variants + 1)
        rounds = write_rounds(Path(folder), records, params.augment, seed, count)
        spec = info.input
        build = partial(network_to_train, unet, spec, keras_policy(unet.precision))
        steps = unet.epochs * steps_per_epoch(info, unet.batch_size)
        training = SupervisedTraining(build, unet, params.lr, steps, training_strategy(unet))
        checkpoint = Checkpoint(name)
        history = training.fit(TrainingTask(rounds, val, info, seed, checkpoint, on_epoch=lambda *_: None))
    checkpoint.remove()
    frames, truths = annotated_frames(val, info)
    network = build_unet(unet, spec, pretrained=False)
    network.set_weights(training.averaged.get_weights())
    config = SegmenterConfig(spec, unet)
    segmenter, _ = Segmenter(config, network).tuned(frames, truths, params.postprocess)
    return segmenter, float(history["val_dice"].max())


def score(predictor: Predictor, prepared: Path) -> pd.DataFrame:
    """Return a row for each test frame of `prepared`, scored at its own size, with its `subject`."""
    info = DatasetInfo.read(prepared)
    records = list(read_records(shards(prepared, "test"), info))
    truths = [record.annotated for record in records]
    frames = np.stack([record.frame for record in records])
    cases = case_table(predictor.estimates(frames, (truth.shape for truth in truths)), truths, predictor.cutoffs)
    cases.insert(0, "subject", [record.subject for record in records])
    return cases
