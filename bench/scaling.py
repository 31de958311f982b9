"""Measure what a second worker is worth: throughput of one and of two workers with one core each, and their ratio.

    python bench/scaling.py             # after `dvc repro augment`; see --rounds, --steps

Both train the U-Net of `params.yaml` on the same global batch. One worker computes all of it; two compute half each under
`MultiWorkerMirroredStrategy` and exchange gradients over loopback, as `train_unet` does with TF_CONFIG set. They run in turn. The
figures are medians over the rounds, without the first steps of each, which trace the graph.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from nerveseg.errors import NervesegError, told_plainly
from nerveseg.params.file import load_params

PROCESSED, AUGMENTED = Path("data/processed"), Path("data/augmented")
WARM_UP = 5  # steps


def throughput(workers: int, steps: int) -> float:
    """Return frames of the global batch per second."""
    cores = sorted(os.sched_getaffinity(0))[:workers]
    if len(cores) < workers:
        raise NervesegError(f"{workers} workers need a core each, but this process may use {len(cores)}")
    listening = [socket.socket() for _ in cores]
    for each in listening:
        each.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in listening]
    for each in listening:
        each.close()
    started = []
    for index, core in enumerate(cores):
        environment = dict(os.environ)
        if workers > 1:
            environment["TF_CONFIG"] = json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            )
        command = [
            sys.executable,
            __file__,
            "--core",
            str(core),
            "--ghost-batches",
            str(workers),
            "--steps",
            str(steps),
        ]
        started.append(
            subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
    told = [process.stdout.readline() for process in started if process.stdout]
    for process in started:
        process.communicate()
    if not all(told):
        raise RuntimeError(f"a worker failed: {told}")
    return float(told[0])


def work(core: int, ghost_batches: int, steps: int) -> None:
    """Run as one worker and print its frames per second."""
    os.sched_setaffinity(0, {core})
    from nerveseg.dataset.info import DatasetInfo, shards
    from nerveseg.training.distribution import keras_policy, make_deterministic, training_strategy, use_threads
    from nerveseg.unet.training import SupervisedTraining
    from nerveseg.unet.warm_start import network_to_train

    params = load_params()
    unet = params.unet.model_copy(update={"ghost_batches": ghost_batches})
    use_threads(1)
    strategy = training_strategy(unet)
    make_deterministic(params.seed)
    info, rounds = DatasetInfo.read(PROCESSED), shards(AUGMENTED, "round")
    spec = info.input
    build = partial(network_to_train, unet, spec, keras_policy(unet.precision))
    training = SupervisedTraining(build, unet, params.lr, 10_000, strategy)
    given = iter(training.train_batches(rounds, info, params.seed, range(1000)))
    for _ in range(WARM_UP):
        training.step(*next(given))
    began = time.perf_counter()
    for _ in range(steps):
        training.step(*next(given)).numpy()
    print(steps * unet.batch_size / (time.perf_counter() - began), flush=True)
    sys.stdin.read()  # wait until the others have measured too: if a worker exits, their last step fails
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--ghost-batches", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.core is not None:
        work(asked.core, asked.ghost_batches, asked.steps)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(1, asked.rounds + 1):
        for workers, measured in rates.items():
            measured.append(throughput(workers, asked.steps))
            print(f"round {number}, {workers} workers of one core: {measured[-1]:.1f} frames/s", flush=True)
    one, two = (statistics.median(measured) for measured in rates.values())
    print(f"1 worker {one:.1f} frames/s, 2 workers {two:.1f} frames/s: {two / one:.2f} times")


if __name__ == "__main__":
    with told_plainly():
        main()
