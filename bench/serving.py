"""Measure how many frames per second `nerveseg serve` answers, how fast, and whether its memory grows.

    python bench/serving.py --model models:/nerveseg@champion

Starts the server on a free local port, requests the outline of a simulated 580x420 frame (base64 PNG) from 1, 2, 4, 8 and 16 clients
at once, and stops it. `--requests` is the number of requests of all rows together.
"""

import argparse
import base64
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]  # has no types

from nerveseg.params.file import load_params
from nerveseg.phantom.simulation import Subject

CLIENTS = (1, 2, 4, 8, 16)
HOST = "127.0.0.1"
MEGABYTE = 2**20
WARM_UP = 50


def ask(port: int, body: bytes, count: int) -> list[float]:
    """Send these requests over one connection and return the seconds of each; NaN if the status was not 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=120)
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        seconds.append(time.perf_counter() - start if answer.status == http.HTTPStatus.OK else float("nan"))
    connection.close()
    return seconds


def memory(process: psutil.Process) -> float:
    """Return the resident megabytes of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return float(sum(each.memory_info().rss for each in family)) / MEGABYTE


def load(port: int, body: bytes, requests: int, server: psutil.Process) -> pd.DataFrame:
    rows = []
    ask(port, body, min(WARM_UP, requests))
    for clients in CLIENTS:
        count = max(1, requests // len(CLIENTS) // clients)
        before, start = memory(server), time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            asked = [pool.submit(ask, port, body, count) for _ in range(clients)]
            seconds = np.array([each for of in asked for each in of.result()])
        elapsed = time.perf_counter() - start
        p50, p99 = np.nanquantile(seconds, [0.5, 0.99]) * 1000
        errors = int(np.isnan(seconds).sum())
        rows.append([clients, len(seconds), errors, len(seconds) / elapsed, p50, p99, before, memory(server)])
    columns = ["clients", "requests", "errors", "requests/s", "p50 ms", "p99 ms", "MB before", "MB after"]
    return pd.DataFrame(rows, columns=columns)


def request() -> bytes:
    """Return a simulated frame as the body of a request."""
    params = load_params()
    frame, _ = Subject(params.seed, 1, params.phantom).frame(1)
    content = cv2.imencode(".png", frame)[1].tobytes()
    return json.dumps({"dataframe_records": [{"image": base64.b64encode(content).decode()}]}).encode()


def free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def main() -> None:

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="models:/nerveseg@champion")
    parser.add_argument("--requests", type=int, default=10_000)
    given = parser.parse_args()
    port = free_port()
    command = [sys.executable, "-m", "nerveseg.cli", "serve", "--model", given.model, "--port", str(port)]
    body = request()
    with subprocess.Popen(command) as server:
        try:
            while server.poll() is None:
                with socket.socket() as tried:
                    if tried.connect_ex((HOST, port)) == 0:
                        break
                time.sleep(0.2)
            table = load(port, body, given.requests, psutil.Process(server.pid))
        finally:
            server.send_signal(signal.SIGINT)
    print(table.round(1).to_string(index=False))


if __name__ == "__main__":
    main()
