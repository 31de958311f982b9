"""The arms of the ablation: a U-Net without a refiner and under each one, as one network that runs the U-Net once.

On disk it is a folder with `arms.json` (`ArmsConfig`), the learnt weights of each refiner in `NAME.npz`, and `files.json`,
which lists them (`checked_folder`). The U-Net lies elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.imaging.arrays import Mask, Size
from nerveseg.inference.cutoff_search import search_cutoffs
from nerveseg.inference.postprocessing import Cutoffs, Estimate
from nerveseg.inference.predictor import in_batches, laid_over
from nerveseg.params.fields import Count
from nerveseg.params.networks import PostprocessParams
from nerveseg.refinement.outcome import UNET
from nerveseg.refinement.refined_segmenter import RefinedSegmenter, RefinedSegmenterConfig
from nerveseg.refinement.refiner import build_refiner, load_learnt, save_learnt, start_from
from nerveseg.unet.segmenter import Segmenter, estimates_of

CONFIG_NAME = "arms.json"


@dataclass(frozen=True, config=STRICT)
class ArmsConfig:
    """`filters`: first channels of the refiners. `cutoffs`: those of each refined arm by its name."""

    filters: Count
    cutoffs: dict[str, Cutoffs]


class Arms:
    """The U-Net, called `unet`, and its refiners by name, which have `filters` first channels.

    `cutoffs` has those of each arm; a refined arm for which none are given takes the U-Net's.
    """

    def __init__(
        self, unet: Segmenter, refiners: Mapping[str, tf.keras.Model], filters: int, cutoffs: Mapping[str, Cutoffs]
    ) -> None:
        self.unet, self.refiners, self.filters = unet, dict(refiners), filters
        self.cutoffs = {name: cutoffs.get(name, unet.cutoffs) for name in (UNET, *refiners)}
        frames = tf.keras.Input((*unet.size, 1), name="frames")
        named = [tf.keras.Model(each.input, each.output, name=f"{name}_refiner") for name, each in refiners.items()]
        estimates = estimates_of(frames, unet.unet, [None, *named], flip=unet.config.flip)
        network = tf.keras.Model(frames, dict(zip(self.cutoffs, estimates, strict=True)))
        self._run = tf.function(network, reduce_retracing=True)

    def estimates(self, inputs: NDArray[np.uint8], sizes: Sequence[Size]) -> dict[str, Iterator[Estimate]]:
        """Return each arm's estimates of letterboxed frames, uint8 (N, height, width), at their original `sizes`."""
        outputs = in_batches(self._run, inputs)
        return {name: laid_over([batch[name] for batch in outputs], sizes, self.unet.size) for name in self.cutoffs}

    def tuned(self, inputs: NDArray[np.uint8], truths: Sequence[Mask], params: PostprocessParams) -> Self:
        """Return the same arms, the refined ones with the cut-offs that score best on these frames; the U-Net keeps its own."""
        estimates = self.estimates(inputs, [truth.shape for truth in truths])
        found = {name: search_cutoffs(estimates[name], truths, params)[0] for name in self.refiners}
        same = copy(self)
        same.cutoffs = self.cutoffs | found
        return same

    def segmenter(self, name: str) -> Segmenter | RefinedSegmenter:
        """Return one arm as a model of its own."""
        if name == UNET:
            return self.unet
        config = RefinedSegmenterConfig(self.filters, self.cutoffs[name])
        return RefinedSegmenter(config, self.unet, self.refiners[name])

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        cutoffs = {name: self.cutoffs[name] for name in self.refiners}
        write_typed(directory / CONFIG_NAME, ArmsConfig(self.filters, cutoffs))
        for name, refiner in self.refiners.items():
            save_learnt(refiner, directory / f"{name}.npz")
        list_files(directory)

    @classmethod
    def load(cls, directory: Path, unet: Segmenter, policy: str = "float32") -> Self:
        """Read a folder that `save` wrote, with the U-Net of its refiners, which compute in this Keras policy.

        Raise ModelError if it holds no arms that fit.
        """
        folder = CheckedFolder(directory, ModelError, "make it again with `dvc repro train_gan`")
        stored = folder.read(CONFIG_NAME, ArmsConfig)
        config = unet.config
        refiners = {}
        for name in stored.cutoffs:
            refiners[name] = start_from(build_refiner(config.unet, stored.filters, config.input, policy), unet.unet)
            load_learnt(refiners[name], folder.file(f"{name}.npz"))
        return cls(unet, refiners, stored.filters, stored.cutoffs)
