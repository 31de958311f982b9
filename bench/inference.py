"""Measure how fast the exported model predicts, compared with TensorFlow, PyTorch and other networks.

    python bench/inference.py --peers /path/to/python/with/torch [--rounds 5] [--cores 2] [FRAME ...]

Each contestant is a process of its own that stays loaded: `models/exported`; `models/gan` (TensorFlow; U-Net and refiner); and in
PyTorch, eager and compiled, the plain U-Net alone, segmentation_models.pytorch's U-Net with resnet34, nnU-Net's PlainConvUNet and
MONAI's residual UNet. In each round, all of them measure in turn: frames per second in batches of 16, and single frames of 580x420
from the bytes of a PNG to the outline.

Prints parameters and size on disk, medians over the rounds, the 99th percentile of all single frames, memory after the last round,
and the time from the start of the process to the first outline. For the U-Net, it also prints the share of the cores' peak rate of
float32 multiplication, from the number of its operations.

The Python of `--peers` needs torch, torchvision of the same build, opencv-python-headless, segmentation-models-pytorch,
dynamic-network-architectures and monai.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise, product
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]  # has no types

from nerveseg.params.file import load_params
from training import matrix_product

import tensorflow as tf  # isort: skip - nerveseg must come first: it selects the Keras version

HERE = Path(__file__).parent
MEGABYTE = 2**20
PEERS = ("smp", "nnu-net", "monai")


def filters_of_the_u_net() -> list[int]:
    """Return the channels of each level of the plain U-Net of `params.yaml`."""
    unet = load_params().unet
    return [min(unet.max_filters, unet.base_filters * 2**level) for level in range(unet.depth + 1)]


def operations(filters: list[int], height: int, width: int) -> int:
    """Return the operations for one frame: two per multiply-add of the convolutions, after a stem that halves the size."""
    pixels = [height * width // 4 ** (level + 1) for level in range(len(filters))]
    total = pixels[0] * 9 * filters[0]
    for level, (before, now) in enumerate(zip([filters[0], *filters[:-1]], filters, strict=True)):
        total += pixels[level] * 9 * (before + now) * now
    for level, (now, below) in enumerate(pairwise(filters)):
        total += pixels[level] * 9 * (now + below + now) * now
    return 2 * (total + pixels[0] * filters[0] * 4)


def peak() -> float:
    """Return the operations per second of a float32 matrix product. Winograd convolutions can appear to exceed it."""
    return matrix_product(tf.float32, 1)


class Contestant:
    """A process that measures on request. The constructor waits until it is ready."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        began = time.monotonic()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._given, self._said = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self._answer()
        self.ready = time.monotonic() - began
        self.rounds: list[dict[str, list[float]]] = []

    def measure(self) -> None:
        self._given.write("\n")
        self._given.flush()
        self.rounds.append(self._answer())

    def end(self) -> tuple[float, float, float]:
        """Return millions of parameters, megabytes on disk, and megabytes of memory."""
        memory = psutil.Process(self._process.pid).memory_info().rss / MEGABYTE
        self._given.close()
        size = self._answer()
        self._process.wait()
        return size["parameters"] / 1e6, size["bytes"] / MEGABYTE, memory

    def _answer(self) -> dict[str, Any]:
        line = self._said.readline()
        if not line:
            raise SystemExit(f"error: {' '.join(self._command)} ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frames", nargs="*", metavar="FRAME")
    parser.add_argument("--peers", help="a Python with PyTorch and the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count())
    given = parser.parse_args()
    os.sched_setaffinity(0, range(given.cores))
    filters = filters_of_the_u_net()
    frames = ["--frames", *given.frames]
    commands = {
        name: [sys.executable, str(HERE / "inference_ours.py"), f"models/{name}", *frames]
        for name in ("exported", "gan")
    }
    if given.peers:
        networks = {"u-net": [str(channels) for channels in filters]} | {peer: [] for peer in PEERS}
        for (name, channels), mode in product(networks.items(), ("eager", "compiled")):
            words = [mode, name, *channels, *frames]
            commands[f"{name}, {mode}"] = [given.peers, str(HERE / "inference_torch.py"), *words]
    running = {name: Contestant(command) for name, command in commands.items()}
    for _ in range(given.rounds):
        for contestant in running.values():
            contestant.measure()
    size = load_params().preprocess
    work, most = operations(filters, size.height, size.width), peak()
    rows = []
    for name, contestant in running.items():
        parameters, disk, memory = contestant.end()
        rate = float(np.median([np.median(each["rates"]) for each in contestant.rounds]))
        seconds = 1000 * np.concatenate([each["seconds"] for each in contestant.rounds])
        p50, p99 = np.quantile(seconds, [0.5, 0.99])
        share = "" if name.startswith(PEERS) else f"{rate * work / most:.0%}"
        rows.append([name, parameters, disk, rate, p50, p99, contestant.ready, memory, share])
    sizes, speeds = ["parameters, M", "on disk, MB"], ["batch of 16, frames/s", "one, p50 ms", "p99 ms", "ready s"]
    columns = ["", *sizes, *speeds, "memory, MB", "of the peak"]
    print(f"{given.cores} cores, {most / 1e9:.0f} GFLOP/s in float32; the U-Net takes {work / 1e9:.2f} GFLOP a frame")
    print(pd.DataFrame(rows, columns=columns).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
