"""Measure what tracking with a shared server costs a stage, and how many stages the server handles at once.

    python bench/tracking_server.py [--epochs 50] [--runs 5] [--workers 2]

Starts PostgreSQL, an S3-like store and MLflow's server with logins on loopback (`tests/support/shared_server.py`). First, a stage
reports its epochs, with as many values as `train_unet` has: to SQLite, to the server, and to a server that hashes the password for
each request, as MLflow's does by default. Then 1 to 4 processes at once run `--runs` stages of 10 epochs each. Every run is read
back, and missing data are an error. Prints medians.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pandas as pd

from nerveseg.registry.project_params import ProjectParams, load_project_params

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests" / "support"))
CURVES = ("loss", "dice", "val_loss", "val_dice", "val_presence", "lr", "seconds", "frames_per_second")
SPAWN = multiprocessing.get_context("spawn")
PROCESSES = (1, 2, 3, 4)
EPOCHS_OF_A_RUN = 10


def settle(folder: str, environment: Mapping[str, str], experiment: str) -> ProjectParams:
    """Report to the store that `environment` names, from a folder outside of any repository."""
    os.environ.update(environment)
    os.environ["DVC_ROOT"] = folder
    os.chdir(folder)
    params = load_project_params(ROOT / "params.yaml")
    return params.model_copy(update={"tracking": params.tracking.model_copy(update={"experiment": experiment})})


def one_stage(environment: Mapping[str, str], epochs: int) -> tuple[float, list[float], float]:
    """Return the seconds to start the stage, to report each epoch, and to end it."""
    from nerveseg.tracking.mirror import stage_run

    with tempfile.TemporaryDirectory() as folder:
        params = settle(folder, environment, "one")
        with stage_run("train_unet", params):  # creates the database
            pass
        began, seconds = time.perf_counter(), []
        with stage_run("train_unet", params) as run:
            begun = time.perf_counter()
            for epoch in range(epochs):
                before = time.perf_counter()
                run.log_epoch(epoch, dict.fromkeys(CURVES, 0.5))
                seconds.append(time.perf_counter() - before)
            told = time.perf_counter()
        return begun - began, seconds, time.perf_counter() - told


def many_stages(environment: Mapping[str, str], experiment: str, runs: int, together: Barrier) -> None:
    from nerveseg.tracking.mirror import stage_run

    with tempfile.TemporaryDirectory() as folder:
        params = settle(folder, environment, experiment)
        with stage_run("warm-up", params):
            pass
        together.wait()
        for _ in range(runs):
            with stage_run("train_unet", params) as run:
                for epoch in range(EPOCHS_OF_A_RUN):
                    run.log_epoch(epoch, dict.fromkeys(CURVES, 0.5))
                run.log_scores({"unet": {"dice": 0.5}})
        together.wait()


def at_once(environment: Mapping[str, str], processes: int, runs: int) -> tuple[float, int]:
    """Return runs per second, and how many of them are incomplete."""
    experiment, together = f"{processes}-at-once", SPAWN.Barrier(processes + 1)
    started = [
        SPAWN.Process(target=many_stages, args=(environment, experiment, runs, together)) for _ in range(processes)
    ]
    for process in started:
        process.start()
    together.wait(300)
    began = time.perf_counter()
    together.wait(600)
    seconds = time.perf_counter() - began
    for process in started:
        process.join()
    return processes * runs / seconds, processes * runs - whole(environment, experiment)


def whole(environment: Mapping[str, str], experiment: str) -> int:
    """Count the runs of the experiment that are finished and have each point of each curve once."""
    os.environ.update(environment)
    from mlflow import MlflowClient

    client = MlflowClient(environment["MLFLOW_TRACKING_URI"])
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return 0
    runs = client.search_runs([found.experiment_id], "tags.`dvc.stage` = 'train_unet'", max_results=1000)
    steps = list(range(EPOCHS_OF_A_RUN))
    return sum(
        run.info.status == "FINISHED"
        and run.data.metrics.get("unet.dice") == 0.5
        and all([point.step for point in client.get_metric_history(run.info.run_id, name)] == steps for name in CURVES)
        for run in runs
    )


def main() -> None:
    from shared_server import shared_server

    parser = argparse.ArgumentParser(description="Measure tracking on a shared server.")
    parser.add_argument("--epochs", type=int, default=50, help="epochs of the stage that runs alone")
    parser.add_argument("--runs", type=int, default=5, help="stages of each process, if several run at once")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the server")
    given = parser.parse_args()
    costs, throughput = [], []

    def cost(store: str, environment: Mapping[str, str]) -> None:
        with SPAWN.Pool(1) as process:
            begin, epochs, end = process.apply(one_stage, (environment, given.epochs))
        costs.append(
            {"store": store, "begin, ms": 1e3 * begin, "epoch, ms": 1e3 * statistics.median(epochs),
             "slowest epoch, ms": 1e3 * max(epochs), "end, ms": 1e3 * end}
        )  # fmt: skip

    cost("SQLite", {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"})
    with tempfile.TemporaryDirectory() as logs, shared_server(Path(logs), given.workers) as server:
        environment = server.client_environment()
        cost("shared server", environment)
        for processes in PROCESSES:
            pace, errors = at_once(environment, processes, given.runs)
            throughput.append({"processes": processes, "runs/s": round(pace, 2), "errors": errors})
    with tempfile.TemporaryDirectory() as logs, shared_server(Path(logs), given.workers, logins_kept=0) as server:
        cost("shared server that hashes the password each time", server.client_environment())
    print(pd.DataFrame(costs).round(0).to_string(index=False))
    print(pd.DataFrame(throughput).to_string(index=False))


if __name__ == "__main__":
    main()
