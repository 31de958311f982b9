"""What each contestant of `inference.py` does: load, measure a round on request, and report its size.

It runs in a process of its own that needs only NumPy and OpenCV beside the model, so that PyTorch can be in another environment.
"""

import json
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

SECONDS = 2.0  # of each measurement in a round
BATCH = 16
HEIGHT, WIDTH = 96, 128
Frames = NDArray[np.uint8]  # (N, height, width)


def take_turns(batch: Callable[[Frames], object], contour: Callable[[bytes], object]) -> None:
    """Outline one frame and report it, then answer each line of standard input with a round.

    Args:
        batch: predicts letterboxed frames, uint8 (N, height, width).
        contour: from the bytes of a PNG to the outline in it.
    """
    rng = np.random.default_rng(0)
    frames = [cv2.GaussianBlur(rng.integers(0, 256, (420, 580), dtype=np.uint8), (0, 0), 3) for _ in range(BATCH)]
    frames = [cv2.normalize(frame, None, 0, 200, cv2.NORM_MINMAX) for frame in frames]
    given = [cv2.imread(path, cv2.IMREAD_GRAYSCALE) for path in sys.argv[sys.argv.index("--frames") + 1 :]] or frames
    files = [cv2.imencode(".png", frame)[1].tobytes() for frame in given]
    inputs = np.stack([cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) for frame in given])
    inputs = np.resize(inputs, (BATCH, HEIGHT, WIDTH))
    contour(files[0])
    _tell({"ready": True})
    batch(inputs)
    for _ in sys.stdin:
        rates, seconds = [], []
        end = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < end:
            batch(inputs)
            rates.append(BATCH / (time.perf_counter() - began))
        end, number = time.perf_counter() + SECONDS, 0
        while (began := time.perf_counter()) < end:
            contour(files[number % len(files)])
            seconds.append(time.perf_counter() - began)
            number += 1
        _tell({"rates": rates, "seconds": seconds})


def describe(parameters: int, size: int) -> None:
    """Report the number of parameters and the bytes on disk. Called last, so that counting does not affect the measurement."""
    _tell({"parameters": parameters, "bytes": size})


def _tell(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)
