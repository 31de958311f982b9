"""Measure frames per second and peak memory of `preprocess` as the data grows, against a minimal loop.

    python bench/preprocess.py [--frames 800] [--times 1 4 16]

Makes data sets of 580x420 TIFFs in Kaggle's layout, of 1, 4 and 16 times the size, and prepares them with everything on: layout,
checks, digests, copies, contradictions, letterbox, records, originals of test. The baseline reads the same files with `cv2.imread`
and `cv2.resize`, one after the other: once with OpenCV's default (linear, which skips most pixels), and once by area, as `preprocess`
does. Speeds are frames per second of processor time of all processes, including the start of the workers. So they are per core, and
other work on the machine hardly affects them. Memory is the peak of the sum over all processes.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]  # has no types

from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import Subject

SUBJECT = 40  # frames


def make(folder: Path, frames: int) -> None:
    """Make `frames` pairs: simulated frames with different noise, so that none is a copy."""
    params = load_params()
    phantom = params.phantom.model_copy(update={"frames_per_subject": 10})
    planes = [Subject(params.seed, 1 + number % 4, phantom).frame(1 + number // 4) for number in range(40)]
    rng = np.random.default_rng(0)
    for number in range(frames):
        frame, mask = planes[number % len(planes)]
        noisy = cv2.add(frame, rng.integers(0, 8, frame.shape, np.uint8))
        name = f"{1 + number // SUBJECT}_{1 + number % SUBJECT}"
        for path, pixels in ((f"{name}.tif", noisy), (f"{name}_mask.tif", mask.view(np.uint8) * 255)):
            cv2.imwrite(str(folder / path), pixels, [cv2.IMWRITE_TIFF_COMPRESSION, 1])


def yardstick(folder: Path, interpolation: int) -> None:
    params = load_params().preprocess
    for path in sorted(folder.glob("*.tif")):
        cv2.resize(
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED), (params.width, params.height), interpolation=interpolation
        )


def ours(folder: Path) -> None:
    from nerveseg.preprocessing.packing import prepare_dataset

    params = load_params()
    data = params.data.model_copy(update={"dir": str(folder)})
    with tempfile.TemporaryDirectory() as output:
        prepare_dataset(Path(output), data, params.split, params.preprocess, params.seed, Path(output))


WORK: dict[str, Callable[[Path], None]] = {
    "imread + resize": lambda folder: yardstick(folder, cv2.INTER_LINEAR),
    "imread + resize by area": lambda folder: yardstick(folder, cv2.INTER_AREA),
    "preprocess": ours,
}


def work(name: str, folder: Path) -> None:
    """Do one of `WORK` and print its processor time, in this process and its workers, and its wall-clock time."""
    if name == "preprocess":
        import nerveseg.preprocessing.packing  # noqa: F401 - TensorFlow loads before the clock starts
    start, before = time.perf_counter(), time.process_time()
    WORK[name](folder)
    processor = time.process_time() - before
    for worker in psutil.Process().children(recursive=True):
        times = worker.cpu_times()
        processor += times.user + times.system
    print(json.dumps([processor, time.perf_counter() - start]))


def measure(name: str, folder: Path) -> tuple[float, float, float]:
    """Do one of `WORK` in a process and return processor seconds, wall-clock seconds and peak memory in MB."""
    command = [sys.executable, __file__, "--work", name, "--folder", str(folder)]
    process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    peak = 0.0
    while process.poll() is None:
        memory = 0.0
        with contextlib.suppress(psutil.Error):
            for member in [process, *process.children(recursive=True)]:
                memory += member.memory_full_info().pss
        peak = max(peak, memory / 1e6)
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{name} failed; run: {' '.join(command)}")
    processor, clock = json.loads(process.stdout.read())
    return processor, clock, peak


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure preprocess.")
    parser.add_argument(
        "--frames", type=int, default=800, help="frames of the smallest set; with 512 or fewer, no processes start"
    )
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16], help="sizes, as multiples of --frames")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.folder)
        return
    rows = []
    for times in given.times:
        frames = times * given.frames
        with tempfile.TemporaryDirectory() as made:
            make(Path(made), frames)
            runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in WORK}
            for _ in range(given.repeats):  # in turn, so that a slow minute affects all of them
                for name, found in runs.items():
                    found.append(measure(name, Path(made)))
        for name, found in runs.items():
            processor, clock, memory = (statistics.median(column) for column in zip(*found, strict=True))
            rows.append(
                {"frames": frames, "work": name, "frames/s per core": round(frames / processor),
                 "seconds": round(clock, 1), "peak MB": round(memory)}
            )  # fmt: skip
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    prepared = table[table["work"] == "preprocess"].set_index("frames")
    for name in ("imread + resize", "imread + resize by area"):
        other = table[table["work"] == name].set_index("frames")
        ratio = prepared["frames/s per core"] / other["frames/s per core"]
        print(f"preprocess against {name}: " + ", ".join(f"{value:.2f} at {frames}" for frames, value in ratio.items()))
    memory = prepared["peak MB"]
    print(
        f"peak memory at {memory.index[-1]} frames over that at {memory.index[0]}: {memory.iloc[-1] / memory.iloc[0]:.2f}"
    )


if __name__ == "__main__":
    main()
