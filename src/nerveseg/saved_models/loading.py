"""Loads the predictor in a model's folder: an exported one, without TensorFlow's two seconds, or a trained one."""

from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.inference.model_folder import (
    ENSEMBLE_NAME,
    EXPORTED_NAME,
    REFINED_NAME,
    SEGMENTER_NAME,
    check_holds,
    holds,
)
from nerveseg.inference.predictor import Predictor
from nerveseg.saved_models.openvino_predictor import ExportedPredictor

if TYPE_CHECKING:
    from nerveseg.refinement.refined_segmenter import RefinedSegmenter
    from nerveseg.saved_models.ensemble import Ensemble
    from nerveseg.unet.segmenter import Segmenter


def load_predictor(directory: Path) -> Predictor:
    """Load a model of any kind; ModelError if the folder holds none, or if it cannot be loaded."""
    return ExportedPredictor.load(directory) if holds(directory, EXPORTED_NAME) else load_trained(directory)


def load_trained(directory: Path) -> "Segmenter | RefinedSegmenter | Ensemble":
    """Load an ensemble or a single training; ModelError if the folder holds neither, or if it cannot be loaded."""
    check_holds(directory, ENSEMBLE_NAME, REFINED_NAME, SEGMENTER_NAME)  # before TensorFlow, which may not be installed
    if holds(directory, ENSEMBLE_NAME):
        from nerveseg.saved_models.ensemble import Ensemble

        return Ensemble.load(directory)
    from nerveseg.refinement.refined_segmenter import load_training

    return load_training(directory)
