"""A model's folder becomes the predictor in it: an exported one, an ensemble, or a single training.

An exported model is loaded without TensorFlow, which takes two seconds and half a gigabyte; the others bring it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.inference.model_folder import ENSEMBLE_NAME, EXPORTED_NAME, holds
from nerveseg.inference.predictor import Predictor
from nerveseg.saved_models.openvino_predictor import ExportedPredictor

if TYPE_CHECKING:
    from nerveseg.refinement.refined_segmenter import RefinedSegmenter
    from nerveseg.saved_models.ensemble import Ensemble
    from nerveseg.unet.segmenter import Segmenter


def load_predictor(directory: Path) -> Predictor:
    """The exported model, the ensemble or the segmenter in a folder.

    Raises:
        ModelError: the folder holds none of them.
    """
    if holds(directory, EXPORTED_NAME):
        return ExportedPredictor.load(directory)
    return load_trained(directory)


def load_trained(directory: Path) -> "Segmenter | RefinedSegmenter | Ensemble":
    """The ensemble or the segmenter in a folder.

    Raises:
        ModelError: the folder holds neither.
    """
    if holds(directory, ENSEMBLE_NAME):
        from nerveseg.saved_models.ensemble import Ensemble

        return Ensemble.load(directory)
    from nerveseg.refinement.refined_segmenter import load_training

    return load_training(directory)
