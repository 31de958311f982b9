"""The folder of a trained model, whose config file names the kind of model."""

from pathlib import Path

from nerveseg.errors import ModelError
from nerveseg.files.checked_folder import LIST_NAME

EXPORTED_NAME, ENSEMBLE_NAME = "exported.json", "ensemble.json"
REFINED_NAME, SEGMENTER_NAME = "refined_segmenter.json", "segmenter.json"


def folder_of(model: Path) -> Path:
    """Return the folder of a model, given the folder or the config file in it; ModelError if there is no such file."""
    if model.name not in (EXPORTED_NAME, ENSEMBLE_NAME, REFINED_NAME, SEGMENTER_NAME) or model.is_dir():
        return model
    if not model.is_file():
        raise ModelError(f"{model} was not found; name the folder of a trained model, or run `dvc repro` to get one")
    return model.parent


def check_holds(directory: Path, *configs: str) -> None:
    """Raise ModelError unless the folder holds a model with one of these config files."""
    if not any(holds(directory, config) for config in configs):
        found = "holds no trained model" if directory.is_dir() else "was not found"
        found = "is a file, not the folder of a trained model" if directory.is_file() else found
        remedy = "name the folder of a trained model, or run `dvc repro` or `dvc pull` in the repository to get one"
        raise ModelError(f"{directory} {found}; {remedy}")


def holds(directory: Path, config: str) -> bool:
    """Return whether the folder has this file, or should have it because its list names it."""
    listed = directory / LIST_NAME
    return (directory / config).exists() or (
        listed.is_file() and f'"{config}"' in listed.read_text(encoding="utf-8", errors="replace")
    )
