"""A trained model as one object: frames of any size in, masks of that size out.

On disk it is a folder: `segmenter.json` (what was built, on which grey levels, with which cut-offs) beside
`unet.weights.h5` and, for a refined segmenter, `refiner.weights.h5`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nerveseg.data.letterbox import Frame, Letterbox, Mask, Size
from nerveseg.errors import ModelError
from nerveseg.evaluation.postprocessing import Cutoffs, search_cutoffs
from nerveseg.models.refiner import build_refiner
from nerveseg.models.unet import build_unet
from nerveseg.params import FRESH, PLAIN, PostprocessParams, UNetParams

CONFIG_NAME = "segmenter.json"
UNET_WEIGHTS, REFINER_WEIGHTS = "unet.weights.h5", "refiner.weights.h5"
BATCH_SIZE = 16
Probability = NDArray[np.float32]


@dataclass(frozen=True)
class SegmenterConfig:
    """Input size in pixels, grey-level statistics of train, the `unet` section of params that the network was built
    from, the refiner's first channels (0: no refiner), and the cut-offs found on val.
    """

    height: int
    width: int
    mean: float
    deviation: float
    unet: UNetParams
    refiner_filters: int = 0
    cutoffs: Cutoffs = field(default_factory=Cutoffs)

    @classmethod
    def read(cls, directory: Path) -> Self:
        path = directory / CONFIG_NAME
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(**content | {"unet": UNetParams(**content["unet"]), "cutoffs": Cutoffs(**content["cutoffs"])})
        except FileNotFoundError:
            raise ModelError(f"{path} was not found; run `dvc repro` or `dvc pull` to get a trained model") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{path} is not a segmenter of this version ({error}); train again with `dvc repro`"
            ) from None

    def write(self, directory: Path) -> None:
        content = asdict(self) | {"unet": self.unet.model_dump()}
        (directory / CONFIG_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Prediction:
    """Of one frame (H, W): probability of nerve (float32), mask (bool), area of the mask in pixels, and presence: the
    greatest probability, 0..1.
    """

    probability: Probability
    mask: Mask

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.mask))

    @property
    def presence(self) -> float:
        return float(self.probability.max())


class Segmenter:
    """Networks with their weights, and the cut-offs that belong to them.

    `network` maps grey levels, float32 (N, height, width, 1) 0..255, to probabilities of nerve of the same shape.
    """

    def __init__(self, config: SegmenterConfig, unet: tf.keras.Model, refiner: tf.keras.Model | None = None) -> None:
        self.config = config
        self.unet = unet
        self.refiner = refiner
        frames = tf.keras.Input((config.height, config.width, 1), name="frames")
        logits = unet(frames, training=False)
        if refiner is not None:
            logits = refiner([frames, logits], training=False)
        self.network = tf.keras.Model(frames, tf.keras.layers.Activation("sigmoid", name="probability")(logits))
        self._run = tf.function(self.network, reduce_retracing=True)

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read a folder that `save` wrote.

        Raises:
            ModelError: the folder holds no segmenter, or weights that do not fit it.
        """
        config = SegmenterConfig.read(directory)
        size = (config.height, config.width, config.mean, config.deviation)
        unet = build_unet(config.unet, *size, pretrained=False)
        refiner = build_refiner(config.refiner_filters, *size) if config.refiner_filters else None
        load_weights(unet, directory / UNET_WEIGHTS)
        if refiner is not None:
            load_weights(refiner, directory / REFINER_WEIGHTS)
        return cls(config, unet, refiner)

    def save(self, directory: Path) -> None:
        self.config.write(directory)
        self.unet.save_weights(directory / UNET_WEIGHTS)
        if self.refiner is not None:
            self.refiner.save_weights(directory / REFINER_WEIGHTS)

    def probabilities(self, inputs: NDArray[np.uint8]) -> Probability:
        """Probability of nerve, float32 (N, height, width), of letterboxed frames, uint8 of the same shape."""
        levels = inputs[..., np.newaxis].astype(np.float32)
        parts = [self._run(levels[i : i + BATCH_SIZE]).numpy()[..., 0] for i in range(0, len(levels), BATCH_SIZE)]
        return np.concatenate(parts)

    def restored(self, probabilities: Probability, sizes: Iterable[Size]) -> Iterator[Probability]:
        """Maps over the network's input -> maps over frames of `sizes` (height, width), one at a time: at the size of
        the frames, those of a whole test set may not fit in memory.
        """
        target = (self.config.height, self.config.width)
        for probability, size in zip(probabilities, sizes, strict=True):
            yield Letterbox.fit(size, target).restore(probability)

    def predict(self, frames: Sequence[Frame]) -> list[Prediction]:
        """Predict frames of any size, uint8 (H, W)."""
        if not frames:
            return []
        target = (self.config.height, self.config.width)
        inputs = np.stack([Letterbox.fit(frame.shape, target).frame(frame) for frame in frames])
        maps = self.restored(self.probabilities(inputs), (frame.shape for frame in frames))
        return [Prediction(probability, self.config.cutoffs.mask(probability)) for probability in maps]

    def tuned(
        self, inputs: NDArray[np.uint8], truths: Sequence[Mask], params: PostprocessParams
    ) -> tuple["Segmenter", float]:
        """The same networks with the cut-offs that score best on these letterboxed frames (N, height, width), and that
        score.
        """
        maps = self.restored(self.probabilities(inputs), (truth.shape for truth in truths))
        cutoffs, score = search_cutoffs(maps, truths, params)
        return Segmenter(replace(self.config, cutoffs=cutoffs), self.unet, self.refiner), score


def network_to_train(params: UNetParams, height: int, width: int, mean: float, deviation: float) -> tf.keras.Model:
    """The U-Net of `params` as training begins with it: with fresh weights, or with those of the segmenter in
    `params.init_from`, which may be of another input size and of other grey levels.

    Raises:
        ModelError: that folder holds no segmenter, or one of another architecture.
    """
    if params.init_from == FRESH:
        return build_unet(params, height, width, mean, deviation)
    directory = Path(params.init_from)
    theirs = SegmenterConfig.read(directory).unet
    alike = ("encoder", "base_filters", "depth") if params.encoder == PLAIN else ("encoder", "encoder_weights")
    if other := {key: getattr(theirs, key) for key in alike if getattr(theirs, key) != getattr(params, key)}:
        asked = {key: getattr(params, key) for key in other}
        raise ModelError(
            f"unet.init_from: {directory} holds a U-Net with {other}, but params ask for {asked}; make both alike"
        )
    network = build_unet(params, height, width, mean, deviation, pretrained=False)
    load_weights(network, directory / UNET_WEIGHTS)
    return network


def load_weights(network: tf.keras.Model, path: Path) -> None:
    """Read weights into a network of the same shape.

    Raises:
        ModelError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_weights(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: weights cannot be loaded ({error}); train again with `dvc repro`") from None
