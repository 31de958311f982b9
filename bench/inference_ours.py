"""A model's folder as a contestant of `inference.py`: exported, or trained and computed by TensorFlow.

It is given the folder, `--frames`, and files with frames.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from inference_turns import Frames, take_turns
from nerveseg.data.frames import read_frame
from nerveseg.loading import load_predictor
from nerveseg.prediction_files import contour as outline


def main() -> None:
    model = load_predictor(Path(sys.argv[1]))

    def batch(frames: Frames) -> object:
        said = model._run(frames[..., np.newaxis].astype(np.float32))  # noqa: SLF001 - measured from inside
        return np.asarray(said["probability"])

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"

        def contour(file: bytes) -> object:
            path.write_bytes(file)
            return outline(model.predict([read_frame(path)])[0].mask)

        take_turns(batch, contour)


if __name__ == "__main__":
    main()
