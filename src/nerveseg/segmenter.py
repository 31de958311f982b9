"""A trained model as one object: a U-Net, perhaps a refiner, and their cut-offs.

On disk it is a folder: `segmenter.json` (what was built, on which grey levels, with which cut-offs) beside
`unet.weights.h5` and, for a refined segmenter, `refiner.npz`; `files.json` lists them (`checked_files`).
"""

from collections.abc import Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import Field
from pydantic.dataclasses import dataclass

from nerveseg.checked_files import STRICT, CheckedFolder, list_files, write_typed
from nerveseg.data.grey_range import GreyRange
from nerveseg.data.letterbox import Mask
from nerveseg.errors import ModelError
from nerveseg.evaluation.cutoff_search import search_cutoffs
from nerveseg.evaluation.postprocessing import Cutoffs
from nerveseg.loading import SEGMENTER_NAME
from nerveseg.models.refiner import build_refiner, load_learnt, save_learnt, start_from
from nerveseg.models.unet import LOGITS, PRESENCE, build_unet
from nerveseg.params import FRESH, PLAIN, GreyLevel, Positive, PostprocessParams, Side, UNetParams
from nerveseg.predictor import Predictor

UNET_WEIGHTS, REFINER_WEIGHTS = "unet.weights.h5", "refiner.npz"


@dataclass(frozen=True, config=STRICT)
class SegmenterConfig:
    """Input size in pixels, grey-level statistics of train, the `unet` section of params that the network was built
    from, the refiner's first channels (0: no refiner), whether the mirrored frame is looked at as well, the cut-offs found
    on val, the keys of the frames that it has learnt from (`unseen`), and black and white of files of its data set that do
    not say them.
    """

    height: Side
    width: Side
    mean: GreyLevel
    deviation: Positive
    unet: UNetParams
    refiner_filters: Annotated[int, Field(ge=0)] = 0
    flip: bool = False
    cutoffs: Cutoffs = field(default_factory=Cutoffs)
    learnt_frames: tuple[str, ...] = ()
    grey_range: GreyRange = field(default_factory=GreyRange)

    @classmethod
    def read(cls, directory: Path) -> Self:
        return _folder(directory).read(SEGMENTER_NAME, cls)


class Segmenter(Predictor):
    """A U-Net and perhaps a refiner with their weights, and the cut-offs that belong to them."""

    def __init__(self, config: SegmenterConfig, unet: tf.keras.Model, refiner: tf.keras.Model | None = None) -> None:
        self.config = config
        self.unet = unet
        self.refiner = refiner
        frames = tf.keras.Input((config.height, config.width, 1), name="frames")
        (estimate,) = estimates_of(frames, unet, [refiner], flip=config.flip)
        self.network = tf.keras.Model(frames, estimate)
        run = tf.function(self.network, reduce_retracing=True)
        super().__init__(
            run, (config.height, config.width), config.cutoffs, frozenset(config.learnt_frames), config.grey_range
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a folder that `save` wrote.

        Raises:
            ModelError: the folder holds no segmenter, or weights that do not fit it.
        """
        folder = _folder(directory)
        config = folder.read(SEGMENTER_NAME, SegmenterConfig)
        size = (config.height, config.width, config.mean, config.deviation)
        unet = build_unet(config.unet, *size, pretrained=False)
        load_weights(unet, folder.file(UNET_WEIGHTS))
        if not config.refiner_filters:
            return cls(config, unet)
        refiner = start_from(build_refiner(config.unet, config.refiner_filters, *size), unet)
        load_learnt(refiner, folder.file(REFINER_WEIGHTS))
        return cls(config, unet, refiner)

    def save(self, directory: Path) -> None:
        """Write into a folder, and list what is in it."""
        write_typed(directory / SEGMENTER_NAME, self.config)
        self.unet.save_weights(directory / UNET_WEIGHTS)
        if self.refiner is not None:
            save_learnt(self.refiner, directory / REFINER_WEIGHTS)
        list_files(directory)

    def tuned(
        self, inputs: NDArray[np.uint8], truths: Sequence[Mask], params: PostprocessParams
    ) -> tuple["Segmenter", float]:
        """The same networks with the cut-offs that score best on these letterboxed frames (N, height, width), and that
        score.
        """
        looking = Segmenter(replace(self.config, flip=params.flip), self.unet, self.refiner)
        estimates = looking.estimates(inputs, (truth.shape for truth in truths))
        cutoffs, score = search_cutoffs(estimates, truths, params)
        return Segmenter(replace(looking.config, cutoffs=cutoffs), self.unet, self.refiner), score


def estimates_of(
    frames: tf.Tensor, unet: tf.keras.Model, refiners: Sequence[tf.keras.Model | None], *, flip: bool
) -> list[dict[str, tf.Tensor]]:
    """What a U-Net says under each refiner, None for as it is: `probability` (N, H, W, 1) and `presence` (N, 1), 0..1.

    With `flip` probability and presence are means over the frame and its mirror image.
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
    """The geometric mean of what the head for presence says, (N, 1), and of the greatest probability of any pixel of
    (N, H, W, 1), as (N, 1): both must agree.
    """
    return tf.sqrt(presence * tf.reduce_max(probability, (1, 2)))


def network_to_train(
    params: UNetParams, height: int, width: int, mean: float, deviation: float, policy: str
) -> tf.keras.Model:
    """The U-Net of `params` as training begins with it: with fresh weights, or with those of the segmenter in
    `params.init_from`, which may be of another input size and of other grey levels. It computes in `policy`.

    Raises:
        ModelError: that folder holds no segmenter, or one of another architecture.
    """
    if params.init_from == FRESH:
        return build_unet(params, height, width, mean, deviation, policy=policy)
    directory = Path(params.init_from)
    theirs = SegmenterConfig.read(directory).unet
    alike = (
        ("encoder", "stem", "base_filters", "max_filters", "depth")
        if params.encoder == PLAIN
        else ("architecture", "encoder", "encoder_weights")
    )
    if other := {key: getattr(theirs, key) for key in alike if getattr(theirs, key) != getattr(params, key)}:
        asked = {key: getattr(params, key) for key in other}
        raise ModelError(
            f"unet.init_from: {directory} holds a U-Net with {other}, but params ask for {asked}; make both alike"
        )
    network = build_unet(params, height, width, mean, deviation, pretrained=False, policy=policy)
    load_weights(network, _folder(directory).file(UNET_WEIGHTS))
    return network


def frames_behind(init_from: str) -> frozenset[str]:
    """Keys of the frames that the weights in this folder have learnt from."""
    return frozenset() if init_from == FRESH else frozenset(SegmenterConfig.read(Path(init_from)).learnt_frames)


def load_weights(network: tf.keras.Model, path: Path) -> None:
    """Read weights into a network of the same shape.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_weights(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: weights cannot be loaded ({error}); train again with `dvc repro`") from None


def _folder(directory: Path) -> CheckedFolder:
    return CheckedFolder(directory, ModelError, "run `dvc repro` or `dvc pull` to get a trained model")
