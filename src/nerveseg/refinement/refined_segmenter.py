"""A U-Net under a refiner as one trained model.

On disk it is a folder with `refined_segmenter.json` (`RefinedSegmenterConfig`), the refiner's learnt weights in `refiner.npz`,
the U-Net as `Segmenter.save` writes it in `unet/`, and `files.json`, which lists them (`checked_folder`).
"""

from pathlib import Path
from typing import Self

import tensorflow as tf
from pydantic.dataclasses import dataclass

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.inference.model_folder import REFINED_NAME, SEGMENTER_NAME, check_holds, holds
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.inference.predictor import Predictor
from nerveseg.params.networks import Filters
from nerveseg.refinement.refiner import build_refiner, load_learnt, save_learnt, start_from
from nerveseg.unet.segmenter import REMEDY, UNET_FOLDER, Segmenter, estimates_of

REFINER_WEIGHTS = "refiner.npz"


@dataclass(frozen=True, config=STRICT)
class RefinedSegmenterConfig:
    """`filters`: first channels of the refiner. `cutoffs`: found on val with it."""

    filters: Filters
    cutoffs: Cutoffs


class RefinedSegmenter(Predictor):
    """A U-Net and its refiner with their weights, and cut-offs for both together."""

    def __init__(self, config: RefinedSegmenterConfig, segmenter: Segmenter, refiner: tf.keras.Model) -> None:
        self.config, self.segmenter, self.refiner = config, segmenter, refiner
        frames = tf.keras.Input((*segmenter.size, 1), name="frames")
        (estimate,) = estimates_of(frames, segmenter.unet, [refiner], flip=segmenter.config.flip)
        self.network = tf.keras.Model(frames, estimate)
        run = tf.function(self.network, reduce_retracing=True)
        of_unet = (segmenter.learnt_frames, segmenter.grey_range)
        super().__init__(run, segmenter.size, config.cutoffs, *of_unet, simulated_only=segmenter.simulated_only)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a folder that `save` wrote; ModelError if it holds no refined segmenter, or weights that do not fit."""
        folder = CheckedFolder(directory, ModelError, REMEDY)
        config = folder.read(REFINED_NAME, RefinedSegmenterConfig)
        segmenter = Segmenter.load(directory / UNET_FOLDER)
        unet = segmenter.config
        refiner = start_from(build_refiner(unet.unet, config.filters, unet.input), segmenter.unet)
        load_learnt(refiner, folder.file(REFINER_WEIGHTS))
        return cls(config, segmenter, refiner)

    def save(self, directory: Path) -> None:
        """Write into a folder and list what is in it."""
        write_typed(directory / REFINED_NAME, self.config)
        save_learnt(self.refiner, directory / REFINER_WEIGHTS)
        (directory / UNET_FOLDER).mkdir()
        self.segmenter.save(directory / UNET_FOLDER)
        list_files(directory)


def load_training(directory: Path) -> Segmenter | RefinedSegmenter:
    """Read the trained model in a folder, with a refiner or without; ModelError if it holds none."""
    if holds(directory, REFINED_NAME):
        return RefinedSegmenter.load(directory)
    check_holds(directory, SEGMENTER_NAME)
    return Segmenter.load(directory)
