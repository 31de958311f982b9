"""A model's folder becomes the predictor in it: an exported one, an ensemble, or a single training.

An exported model is loaded without TensorFlow, which takes two seconds and half a gigabyte; the others bring it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.exported import ExportedPredictor
from nerveseg.model_folder import ENSEMBLE_NAME, EXPORTED_NAME, holds
from nerveseg.predictor import Predictor

if TYPE_CHECKING:
    from nerveseg.ensemble import Ensemble
    from nerveseg.refined_segmenter import RefinedSegmenter
    from nerveseg.segmenter import Segmenter


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
        from nerveseg.ensemble import Ensemble

        return Ensemble.load(directory)
    from nerveseg.refined_segmenter import load_training

    return load_training(directory)
