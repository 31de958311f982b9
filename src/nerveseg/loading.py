"""A model's folder becomes the predictor in it: an exported one, an ensemble, or a single training.

An exported model is loaded without TensorFlow, which takes two seconds and half a gigabyte; the others bring it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nerveseg.checked_files import LIST_NAME
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
    if _holds(directory, EXPORTED_NAME):
        return ExportedPredictor.load(directory)
    return load_trained(directory)


def load_trained(directory: Path) -> "Segmenter | Ensemble":
    """The ensemble or the segmenter in a folder.

    Raises:
        ModelError: the folder holds neither.
    """
    if _holds(directory, ENSEMBLE_NAME):
        from nerveseg.ensemble import Ensemble

        return Ensemble.load(directory)
    if not _holds(directory, SEGMENTER_NAME):
        found = "holds no trained model" if directory.is_dir() else "was not found"
        raise ModelError(
            f"{directory} {found}; run `dvc repro` or `dvc pull` to get a trained model, or name the folder of one"
        )
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


def _holds(directory: Path, config: str) -> bool:
    """Whether the folder has this file, or misses it: its list names it then."""
    listed = directory / LIST_NAME
    return (directory / config).exists() or (
        listed.is_file() and f'"{config}"' in listed.read_text(encoding="utf-8", errors="replace")
    )
