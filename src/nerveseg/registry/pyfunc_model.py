"""The whole predictor as MLflow serves it: frames of any size in; masks, probabilities and summaries out.

MLflow runs this file itself ("models from code"), beside the copy of the package in the registered model. So a server needs the
model's requirements, but not nerveseg. A row of a request is one frame, as pixels (`frame`) or as a file (`image`). A request that
cannot be answered gets HTTP 400 and one sentence, which never repeats what was sent.
"""

import base64
import binascii
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray

from nerveseg.errors import BadFileError
from nerveseg.imaging.arrays import Frame
from nerveseg.imaging.claimed_pixels import claimed_pixels
from nerveseg.imaging.dicom import is_dicom
from nerveseg.imaging.frame_files import read_frame
from nerveseg.imaging.grey_range import GreyRange, Stored, frames_of
from nerveseg.inference.predictor import SIMULATED_ONLY, Prediction, Predictor
from nerveseg.registry.png import grey_png
from nerveseg.registry.server_requests import EXPECTED, REMEDY
from nerveseg.saved_models.loading import load_predictor

FRAME, IMAGE, ARRAYS = "frame", "image", "arrays"
ARTIFACT = "predictor"
PIXELS = 2**24  # of a frame: 4096x4096, many times what any probe gives
WHITE, SIXTEEN_BITS = 255, 65535
_EXPECTED_ROWS = "send height rows of width grey levels, numbers from 0 to 255"
warnings.filterwarnings("ignore", message=".*Add type hints to the `predict` method")  # `packaging` has the schema


class RequestError(MlflowException):
    """What is wrong with a request. MLflow would put the request itself before the message."""

    def __init__(self, message: str) -> None:
        self._told = message
        super().__init__(message, INVALID_PARAMETER_VALUE)

    @property
    def message(self) -> str:
        return self._told

    @message.setter
    def message(self, value: str) -> None:
        """Ignore MLflow's words."""


class ServedPredictor(PythonModel):
    """A predictor from the artifact `predictor`."""

    predictor: Predictor

    def load_context(self, context: PythonModelContext) -> None:
        self.predictor = load_predictor(Path(context.artifacts[ARTIFACT]))
        if self.predictor.simulated_only:
            print(SIMULATED_ONLY, file=sys.stderr)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002 - MLflow gives it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """Return a row for each frame, with the columns of the signature in `packaging`."""
        arrays = bool((params or {}).get(ARRAYS, False))
        # One at a time: the decoded frames and maps of a whole request may not fit in memory.
        return [
            _row_of(found, arrays=arrays)
            for frame in _frames(model_input, self.predictor.grey_range)
            for found in self.predictor.predict([frame])
        ]


def _frames(table: object, grey_range: GreyRange) -> Iterator[Frame]:
    if not isinstance(table, pd.DataFrame) or not len(table):
        raise RequestError(f"no frame was found; {EXPECTED}")
    if set(map(str, table.columns)) - {FRAME, IMAGE}:
        raise RequestError(f"a column has another name; expected {FRAME} or {IMAGE}")
    given = zip(*(table[name].tolist() for name in table), strict=True)  # `to_dict` takes as long as the mask does
    return (_frame(dict(zip(table, row, strict=True)), number, grey_range) for number, row in enumerate(given, 1))


def _frame(row: Mapping[Any, Any], number: int, grey_range: GreyRange) -> Frame:
    missing = {name for name, value in row.items() if value is None or (isinstance(value, float) and np.isnan(value))}
    given = {name: value for name, value in row.items() if name not in missing}
    if len(given) != 1:
        found = "neither" if not given else "both"
        raise RequestError(f"row {number}: {found} of {FRAME} and {IMAGE} found; give one of them")
    ((name, value),) = given.items()
    try:
        return (_from_file if name == IMAGE else _from_pixels)(value, grey_range)
    except BadFileError as error:
        raise RequestError(f"row {number}: {name}: {error.reason}; {REMEDY}") from None
    except RequestError as error:
        raise RequestError(f"row {number}: {error.message}") from None


def _from_pixels(value: object, grey_range: GreyRange) -> Frame:
    """Read whole numbers as levels from 0 to 255, and fractions of which none is above 1 as a floating-point file."""
    rows = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) and row for row in rows):
        raise RequestError(f"{FRAME} is not a list of rows; {_EXPECTED_ROWS}")
    kinds = set(map(type, chain.from_iterable(rows)))
    if odd := kinds - {int, float}:
        raise RequestError(f"{FRAME} holds {min(kind.__name__ for kind in odd)}, which is no number; {_EXPECTED_ROWS}")
    if len({len(row) for row in rows}) > 1:
        raise RequestError(f"{FRAME} has rows of unequal length; {_EXPECTED_ROWS}")
    if (size := len(rows) * len(rows[0])) > PIXELS:
        raise RequestError(f"{FRAME} has {size:,} pixels, more than {PIXELS:,}; send it at the probe's own size")
    try:
        levels = np.array(rows, np.float64)
    except OverflowError:
        levels = np.array([[np.inf]])
    if not (levels.min() >= 0 and levels.max() <= WHITE):  # NaN is refused as well
        raise RequestError(f"{FRAME} holds values outside of 0 to {WHITE}; {_EXPECTED_ROWS}")
    if float in kinds and levels.max() <= 1:
        return frames_of(Stored(levels[np.newaxis]), grey_range, Path(FRAME))[0][0]
    frame: Frame = np.round(levels).astype(np.uint8)
    return frame


def _from_file(value: object, grey_range: GreyRange) -> Frame:
    if not isinstance(value, str):
        raise RequestError(f"{IMAGE} is {type(value).__name__}; expected the base64 of a file, as text")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(
            f"{IMAGE} is not base64 ({error}); encode the bytes of the file, without a prefix or line breaks"
        ) from None
    if (pixels := claimed_pixels(content)) > PIXELS:
        raise RequestError(f"{IMAGE} claims {pixels:,} pixels, more than {PIXELS:,}; send it at the probe's own size")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"  # images are recognised by their content, DICOM by its name
        path.write_bytes(content)
        return read_frame(path.rename(path.with_suffix(".dcm")) if is_dicom(path) else path, grey_range)


def _row_of(prediction: Prediction, *, arrays: bool) -> dict[str, Any]:
    mask, probability = prediction.mask, prediction.probability
    height, width = mask.shape
    row, column = prediction.centroid or (None, None)
    if arrays:
        maps = {"mask": mask.astype(int).tolist(), "probability": probability.astype(float).tolist()}
    else:
        levels = (probability * np.float32(SIXTEEN_BITS) + np.float32(0.5)).astype(np.uint16)
        maps = {"mask": _png(np.multiply(mask, WHITE, dtype=np.uint8)), "probability": _png(levels)}
    return {
        "presence": prediction.presence,
        "confidence": float(prediction.confidence),
        "area": prediction.area,
        "centroid_row": row,
        "centroid_column": column,
        "height": height,
        "width": width,
        **maps,
    }


def _png(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> str:
    return base64.b64encode(grey_png(pixels)).decode()


mlflow.models.set_model(ServedPredictor())
