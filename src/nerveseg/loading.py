"""A model's folder becomes the predictor in it: an exported one, an ensemble, or a single training.

An exported model is loaded without TensorFlow, which takes two seconds and half a gigabyte; the others bring it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.errors import ModelError
from nerveseg.exported import EXPORTED_NAME, ExportedPredictor
from nerveseg.predictor import Predictor

if TYPE_CHECKING:
    from nerveseg.ensemble import Ensemble
    from nerveseg.segmenter import Segmenter

ENSEMBLE_NAME, SEGMENTER_NAME = "ensemble.json", "segmenter.json"


def load_predictor(directory: Path) -> Predictor:
    """The exported model, the ensemble or the segmenter in a folder.

    Raises:
        ModelError: the folder holds none of them.
    """
    if (directory / EXPORTED_NAME).exists():
        return ExportedPredictor.load(directory)
    return load_trained(directory)


def load_trained(directory: Path) -> "Segmenter | Ensemble":
    """The ensemble or the segmenter in a folder.

    Raises:
        ModelError: the folder holds neither.
    """
    if (directory / ENSEMBLE_NAME).exists():
        from nerveseg.ensemble import Ensemble

        return Ensemble.load(directory)
    from nerveseg.segmenter import Segmenter

    return Segmenter.load(directory)


def folder_of(model: Path) -> Path:
    """The folder of a model, which the config file in it may stand for.

    Raises:
        ModelError: there is no such config file.
    """
    if model.name not in (EXPORTED_NAME, ENSEMBLE_NAME, SEGMENTER_NAME) or model.is_dir():
        return model
    if not model.is_file():
        raise ModelError(f"{model} was not found; name the folder of a trained model, or run `dvc repro` to get one")
    return model.parent
