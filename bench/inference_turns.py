"""What each contestant of `inference.py` does: get ready, measure a round whenever it is told to, and say how large it is.

It runs in a process of its own, with nothing but numpy and OpenCV beside what it measures, so that PyTorch can be in another
environment.
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
    """Outline one frame and say so, and answer each line of the standard input with a round.

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
    """Say how many parameters the model has, and how many bytes it takes on disk; last, so that counting takes no part."""
    _tell({"parameters": parameters, "bytes": size})


def _tell(content: dict[str, object]) -> None:
    print(json.dumps(content), flush=True)
