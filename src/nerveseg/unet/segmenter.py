"""A trained U-Net with cut-offs: a folder of `segmenter.json` (`SegmenterConfig`), `unet.weights.h5`, `files.json`."""

from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from nerveseg.dataset.input_spec import InputSpec
from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.imaging.arrays import Mask
from nerveseg.imaging.grey_range import GreyRange
from nerveseg.inference.cutoff_search import search_cutoffs
from nerveseg.inference.model_folder import SEGMENTER_NAME
from nerveseg.inference.postprocessing import Cutoffs
from nerveseg.inference.predictor import Predictor
from nerveseg.params.networks import PostprocessParams, UNetParams
from nerveseg.unet.network import LOGITS, PRESENCE, build_unet

UNET_WEIGHTS = "unet.weights.h5"
UNET_FOLDER = "unet"  # in the folder of a refined segmenter
REMEDY = "run `dvc repro` or `dvc pull` to get a trained model"


@dataclass(frozen=True, config=STRICT)
class SegmenterConfig:
    input: InputSpec  # what the network expects of a frame
    unet: UNetParams  # the section of params that it was built from
    flip: bool = False  # whether the mirrored frame is predicted, too
    cutoffs: Cutoffs = field(default_factory=Cutoffs)  # found on val
    learnt_frames: tuple[str, ...] = ()  # keys of the frames that it has learnt from (`leakage`)
    grey_range: GreyRange = field(default_factory=GreyRange)  # of files of its data set that do not say it
    simulated_only: bool = False  # whether all frames that it has learnt from are known to be simulated

    @model_validator(mode="after")
    def _the_network_takes_this_input(self) -> Self:
        for side in ("height", "width"):
            self.unet.check_side(f"input.{side}", getattr(self.input, side))
        return self

    @classmethod
    def read(cls, directory: Path) -> Self:
        return _folder(directory).read(SEGMENTER_NAME, cls)


class Segmenter(Predictor):
    """A U-Net with its weights and cut-offs."""

    def __init__(self, config: SegmenterConfig, unet: tf.keras.Model) -> None:
        self.config, self.unet = config, unet
        frames = tf.keras.Input((*config.input.size, 1), name="frames")
        (estimate,) = estimates_of(frames, unet, [None], flip=config.flip)
        self.network = tf.keras.Model(frames, estimate)
        run = tf.function(self.network, reduce_retracing=True)
        learnt = frozenset(config.learnt_frames)
        super().__init__(
            run, config.input.size, config.cutoffs, learnt, config.grey_range, simulated_only=config.simulated_only
        )

    @classmethod
    def load(cls, directory: Path, policy: str = "float32") -> Self:
        """Read a folder that `save` wrote, to compute in this Keras policy; ModelError if it holds none, or weights that do not fit."""
        folder = _folder(directory)
        config = folder.read(SEGMENTER_NAME, SegmenterConfig)
        unet = build_unet(config.unet, config.input, pretrained=False, policy=policy)
        load_weights(unet, folder.file(UNET_WEIGHTS))
        return cls(config, unet)

    def save(self, directory: Path) -> None:
        """Write into a folder and list what is in it."""
        write_typed(directory / SEGMENTER_NAME, self.config)
        self.unet.save_weights(directory / UNET_WEIGHTS)
        list_files(directory)

    def tuned(
        self, inputs: NDArray[np.uint8], truths: Sequence[Mask], params: PostprocessParams
    ) -> tuple["Segmenter", float]:
        """Return the network with the best cut-offs for these letterboxed frames (N, height, width), and the score."""
        looking = Segmenter(replace(self.config, flip=params.flip), self.unet)
        estimates = looking.estimates(inputs, (truth.shape for truth in truths))
        cutoffs, score = search_cutoffs(estimates, truths, params)
        return Segmenter(replace(looking.config, cutoffs=cutoffs), self.unet), score


def estimates_of(
    frames: tf.Tensor, unet: tf.keras.Model, refiners: Sequence[tf.keras.Model | None], *, flip: bool
) -> list[dict[str, tf.Tensor]]:
    """Return `probability` (N, H, W, 1) and `presence` (N, 1), 0..1, of a U-Net under each refiner, or without if it is None.

    With `flip`, both are means over the frame and its mirror image.
    """

    def look_at(seen: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        said = unet(seen, training=False)
        inputs = [seen, said[LOGITS], said[PRESENCE]]
        refined = [said if refiner is None else refiner(inputs, training=False) for refiner in refiners]
        return [(tf.sigmoid(each[LOGITS]), tf.sigmoid(each[PRESENCE])) for each in refined]

    looks = [look_at(frames)]
    if flip:
        looks.append([(tf.reverse(mirrored, [2]), again) for mirrored, again in look_at(tf.reverse(frames, [2]))])
    estimates = []
    for of_one in zip(*looks, strict=True):
        probability, presence = (tf.add_n(list(same)) / len(looks) for same in zip(*of_one, strict=True))
        estimates.append({"probability": probability, "presence": agreed_presence(presence, probability)})
    return estimates


def agreed_presence(presence: tf.Tensor, probability: tf.Tensor) -> tf.Tensor:
    """Return the geometric mean of the head's presence (N, 1) and the greatest probability in (N, H, W, 1): (N, 1)."""
    return tf.sqrt(presence * tf.reduce_max(probability, (1, 2)))


def load_weights(network: tf.keras.Model, path: Path) -> None:
    """Read weights into a network of the same shape; ModelError if the file is missing, damaged, or of another one."""
    try:
        network.load_weights(path)
    except Exception as error:  # noqa: BLE001 - h5py and Keras raise many kinds for a file of something else
        raise ModelError(f"{path}: weights cannot be loaded ({error}); train again with `dvc repro`") from None


def _folder(directory: Path) -> CheckedFolder:
    return CheckedFolder(directory, ModelError, REMEDY)
