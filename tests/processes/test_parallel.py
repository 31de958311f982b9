import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from nerveseg.errors import NervesegError
from nerveseg.processes.parallel import FEW, SCHEDULER_VARIABLE, in_order, one_ahead
from parallel_work import halves, where

EXPECTED = [value for number in range(2 * FEW) for value in halves(number)]


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_work_for_any_number_of_workers(workers):
    assert list(in_order(halves, list(range(2 * FEW)), workers)) == EXPECTED


def test_much_work_is_done_in_other_processes_and_little_in_this_one():
    assert os.getpid() not in set(in_order(where, list(range(2 * FEW)), 2))
    assert set(in_order(where, list(range(FEW)), 2)) == {os.getpid()}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A real `dask scheduler` with two workers on 127.0.0.1."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    here = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-m", "dask", "scheduler", "--port", "0", *here], env=environment, cwd=folder)
    ]
    processes += [
        subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", "--nthreads", "1", "--no-nanny", *here],
            env=environment, cwd=folder,
        )
        for _ in range(2)
    ]  # fmt: skip
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    import json

    yield json.loads(file.read_text())["address"]
    for process in reversed(processes):
        process.terminate()
        process.wait(20)


@pytest.mark.slow
def test_workers_of_a_dask_cluster_give_the_same_results_in_the_same_order(scheduler, monkeypatch):
    monkeypatch.setenv(SCHEDULER_VARIABLE, scheduler)
    assert list(in_order(halves, list(range(2 * FEW)))) == EXPECTED
    assert os.getpid() not in set(in_order(where, list(range(2 * FEW))))


@pytest.mark.parametrize("address", ["localhost", "tcp://localhost:abc", "8786", "foo://localhost:1", "tcp://[::1"])
def test_an_address_of_a_scheduler_that_is_none_is_told(monkeypatch, address):
    pytest.importorskip("distributed")
    monkeypatch.setenv(SCHEDULER_VARIABLE, address)
    with pytest.raises(NervesegError, match=r"which is no address \(.*\), expected one such as tcp://127.0.0.1:8786"):
        list(in_order(where, [1]))


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_told(monkeypatch):
    client = pytest.importorskip("distributed").Client
    monkeypatch.setattr("distributed.Client", lambda *args, **options: client(*args, **options | {"timeout": "1s"}))
    monkeypatch.setenv(SCHEDULER_VARIABLE, "tcp://127.0.0.1:9")
    with pytest.raises(NervesegError, match="no scheduler answers there"):
        list(in_order(where, [1]))


FORSAKEN = """
import os, signal, sys, time
from joblib import delayed
from nerveseg.processes.parallel import processes
for worker in processes(2, return_as="generator")(delayed(os.getpid)() for _ in range(8)):
    print(worker, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_processes_end_with_the_one_that_they_work_for_also_where_it_is_killed(tmp_path):
    with (tmp_path / "workers").open("w") as file:
        subprocess.run([sys.executable, "-c", FORSAKEN], check=False, stdout=file, stderr=file, timeout=60)
    workers = {int(line) for line in (tmp_path / "workers").read_text().splitlines() if line.isdigit()}
    until = time.monotonic() + 30
    while any(map(_runs, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert workers
    assert not any(map(_runs, workers))


def _runs(process):
    """Not where nobody takes note of its end, as in a container."""
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def test_the_next_item_is_worked_on_while_a_result_is_used_and_no_further_one():
    begun, second = [], threading.Event()

    def double(number):
        begun.append(number)
        if number == 2:
            second.set()
        return 2 * number

    results = one_ahead(double, [1, 2, 3])
    assert next(results) == 2
    assert second.wait(60), "it waits until it is asked for"
    assert begun == [1, 2]
    assert list(results) == [4, 6]


def test_an_error_in_work_ahead_comes_in_its_turn():
    results = one_ahead(lambda number: 1 // number, [1, 0])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
