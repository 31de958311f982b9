"""Measure how many frames per second the input pipeline of training delivers, without a network.

    python bench/input_pipeline.py            # --size HEIGHT WIDTH, --frames N, --batch N, --epochs N

It writes a round of records with random frames and an ellipse as the mask, as `augment` does, and reads it as `train_unet` does.
Prints the bytes of a record, and for each epoch after the first, how many frames come in a second and in a second of processor
time of all threads, and how long the epoch's first batch takes, for which a round is read and shuffled.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from nerveseg.dataset.batches import whole_batches
from nerveseg.dataset.info import DatasetInfo
from nerveseg.dataset.input_spec import InputSpec
from nerveseg.dataset.records import serialised, write_records


def records(count: int, height: int, width: int) -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for number in range(count):
        frame, mask = rng.integers(0, 256, (height, width), np.uint8), np.zeros((height, width), np.uint8)
        centre = rng.integers((width // 4, height // 4), (3 * width // 4, 3 * height // 4)).tolist()
        cv2.ellipse(mask, centre, (width // 8, height // 10), float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        yield serialised(f"{number}", "1", frame.tobytes(), mask.tobytes(), b"", (0, 0))


def measure(height: int, width: int, frames: int, batch: int, epochs: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "round-0.tfrecord"
        write_records([path], records(frames, height, width))
        print(f"{frames} frames of {height}x{width}, {path.stat().st_size / frames:.0f} bytes each, batch {batch}")
        info = DatasetInfo("made up", InputSpec(height, width, 80.0, 40.0), {"train": frames}, "")
        steps = -(-frames // batch)
        given = iter(whole_batches([path], info, batch, 0, range(epochs + 1)))
        measured = [one_epoch(given, steps, batch) for _ in range(epochs + 1)][1:]
        for name, values in zip(
            ("frames/s", "frames/s of processor time", "first batch, ms"), zip(*measured, strict=True), strict=True
        ):
            print(f"{name}: {' '.join(f'{value:.0f}' for value in values)}, median {statistics.median(values):.0f}")


def one_epoch(given: Iterator[object], steps: int, batch: int) -> tuple[float, float, float]:
    began, used = time.perf_counter(), time.process_time()
    next(given)
    first = time.perf_counter() - began
    for _ in range(steps - 1):
        next(given)
    frames = steps * batch
    return frames / (time.perf_counter() - began), frames / (time.process_time() - used), 1000 * first


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs=2, type=int, default=(96, 128), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=5)
    asked = parser.parse_args()
    height, width = asked.size
    measure(height, width, asked.frames, asked.batch, asked.epochs)
