"""The folder that is registered with MLflow: the whole predictor, its cases for the gate, and a card for readers."""

import base64
import io
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from nerveseg.files.atomic import write_csv, write_text
from nerveseg.registry.download import CASES

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CARD = "README.md"
_PACKAGE = Path(__file__).resolve().parents[1]
# What the predictor imports, pinned to the versions here. MLflow would load the predictor to find out, for 15 s.
_REQUIREMENTS = ["mlflow", "numpy", "opencv-python-headless", "openvino", "pandas", "pillow", "pydantic", "pydicom"]


def save_served(path: Path, predictor: Path, cases: pd.DataFrame, card: str) -> None:
    """Write an exported model's folder, rows of cases, and card (Markdown) in MLflow's format into a new folder."""
    import mlflow.pyfunc

    from nerveseg.registry import pyfunc_model

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's advice on other ways to describe the request
        copy = shutil.copytree(predictor, Path(folder).resolve() / pyfunc_model.ARTIFACT)
        mlflow.pyfunc.save_model(
            str(path),
            python_model=str(Path(pyfunc_model.__file__)),
            artifacts={pyfunc_model.ARTIFACT: copy.as_uri()},  # MLflow would read a bare path as an address, too
            code_paths=[str(_PACKAGE)],
            signature=_signature(),
            input_example=example(),
            pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
        )
    write_csv(path / CASES, cases)
    write_text(path / CARD, card)


def example() -> pd.DataFrame:
    """Return a request of one frame, a ramp of grey levels that shows nobody."""
    file = io.BytesIO()
    Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))).save(file, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(file.getvalue()).decode()]})


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.types.schema import AnyType

    # `pyfunc_model` checks pixels: MLflow would look at each of them, twice.
    inputs = Schema([ColSpec(AnyType(), "frame", required=False), ColSpec(DataType.string, "image", required=False)])
    outputs = Schema(
        [
            *[ColSpec(DataType.double, name) for name in ("presence", "confidence")],
            ColSpec(DataType.long, "area"),
            *[ColSpec(DataType.double, name, required=False) for name in ("centroid_row", "centroid_column")],
            *[ColSpec(DataType.long, name) for name in ("height", "width")],
            *[ColSpec(AnyType(), name, required=False) for name in ("mask", "probability")],
        ]
    )
    return ModelSignature(inputs, outputs, ParamSchema([ParamSpec("arrays", DataType.boolean, default=False)]))
