"""A model folder as a contestant of `inference.py`: the exported model, or a trained one in TensorFlow.

Its arguments are the folder, `--frames`, and files with frames.
"""

import math
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from inference_turns import Frames, describe, take_turns
from nerveseg.file_prediction.overlays import contour as outline
from nerveseg.imaging.frame_files import read_frame
from nerveseg.inference.predictor import Predictor
from nerveseg.saved_models.loading import load_predictor
from nerveseg.saved_models.openvino_predictor import ExportedPredictor

if TYPE_CHECKING:
    from nerveseg.unet.segmenter import Segmenter


def parameters(model: Predictor, directory: Path) -> int:
    """Count the parameters of all networks; for an exported model its constants, with batch normalisation folded."""
    if not isinstance(model, ExportedPredictor):
        return int(cast("Segmenter", model).network.count_params())
    import openvino

    nodes = [node for file in directory.rglob("*.xml") for node in openvino.Core().read_model(file).get_ops()]
    return sum(math.prod(node.get_output_shape(0)) for node in nodes if node.get_type_name() == "Constant")


def main() -> None:
    directory = Path(sys.argv[1])
    model = load_predictor(directory)

    def batch(frames: Frames) -> object:
        said = model._run(frames[..., np.newaxis].astype(np.float32))  # noqa: SLF001 - measured from inside
        return np.asarray(said["probability"])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"

        def contour(file: bytes) -> object:
            path.write_bytes(file)
            return outline(model.predict([read_frame(path)])[0].mask)

        take_turns(batch, contour)
    size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
    describe(parameters(model, directory), size)


if __name__ == "__main__":
    main()
