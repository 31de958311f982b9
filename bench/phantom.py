"""Measure how many frames per second the phantom simulates and writes, on one core, at the default size.

    python bench/phantom.py [FRAMES]

Prints the median of five runs and their range.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import write_phantom


def main() -> None:
    params = load_params()
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    phantom = params.phantom.model_copy(update={"subjects": 3, "frames_per_subject": -(-wanted // 3)})
    rates = []
    for _ in range(5):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            frames, _ = write_phantom(Path(folder), phantom, params.seed, workers=1)
            rates.append(frames / (time.perf_counter() - start))
    size = f"{phantom.width}x{phantom.height}"
    print(f"{size}: {statistics.median(rates):.1f} frames/s (median of 5; {min(rates):.1f} to {max(rates):.1f})")


if __name__ == "__main__":
    main()
