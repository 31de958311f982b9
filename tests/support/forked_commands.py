"""`python -m nerveseg...`, `python SCRIPT.py` and `dvc` without the seconds of their imports, for tests that run many of them.

A server imports what they need but nothing of nerveseg, and forks itself for each. `python` and `dvc` on the PATH are then
clients (`forked_client`), which pass their words, environment, folder and open files to the server, and signals to what it
forked. Processes that a forked one starts by `sys.executable` are forked, too.
"""

import ctypes
import fcntl
import gc
import importlib
import marshal
import os
import pkgutil
import runpy
import select
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace

import psutil

from paths import ROOT

HERE = ROOT / "tests" / "support"
LAZY = (
    "dvc.cli", "dvc.commands.repro", "dvc.repo", "dvc.stage.run", "dvc_data.hashfile.build", "matplotlib.pyplot", "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store", "nncf", "openvino", "sklearn.metrics",
)  # fmt: skip
CLIENTS = "FORKED_FOR"  # the environment's list of clients, the nearest first
ABOVE = 600  # numbers of open files that no command uses


@contextmanager
def forked_commands(folder: Path, tables: Path, environment: dict[str, str]) -> Iterator[Path]:
    """Start a server; the folder with `python`, for the PATH, and a folder with `dvc` in it."""
    (folder / "dvc").mkdir(parents=True)
    address = folder / "socket"
    for name, words in (("python", ()), ("dvc/dvc", ("-m", "dvc"))):
        client = [sys.executable, "-IS", HERE / "forked_client.py", sys.executable, address, *words]
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, client))} "$@"\n')
        file.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(address))
        listening.listen(64)
        server = subprocess.Popen(
            [sys.executable, HERE / "forked_commands.py", str(listening.fileno()), str(folder / "python"), str(tables)],
            pass_fds=(listening.fileno(),), env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        yield folder
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def import_before(tables: Path) -> None:
    import nerveseg

    for module in pkgutil.walk_packages(nerveseg.__path__, "nerveseg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in LAZY:
        importlib.import_module(name)
    from mlflow_tables import copy_tables

    copy_tables(SimpleNamespace(setattr=setattr), tables)
    for name in [name for name in sys.modules if name.split(".")[0] == "nerveseg"]:
        del sys.modules[name]
    gc.freeze()


def next_command(listening: socket.socket) -> tuple[list[str], str, dict[bytes, bytes]]:
    """Serve; return in each process that is to be a command."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        asked, _ = listening.accept()
        if not os.fork():
            break
        asked.close()
    listening.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, files, _, _ = socket.recv_fds(asked, 8, 253)
    request = b""
    while len(request) < int.from_bytes(size):
        request += asked.recv(2**20)
    words, folder, environment, numbers = marshal.loads(request)  # noqa: S302 - from our client
    if pid := os.fork():
        keep(pid, asked)
    asked.close()
    above = [fcntl.fcntl(file, fcntl.F_DUPFD, ABOVE) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(above, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)
    return words, folder, environment


def keep(pid: int, asked: socket.socket) -> None:
    """Report the end of a forked command to its client; end it if the client is killed."""
    for file in (0, 1, 2):
        os.close(file)
    asked.sendall(pid.to_bytes(8))
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, asked], [], [])
    if ended not in ready:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    with suppress(OSError):
        asked.sendall(status.to_bytes(4))
    os._exit(0)


def show_above(clients: list[int]) -> None:
    """Have psutil tell that this process stands below its client and the clients of those above, not below the server."""

    class Process(psutil.Process):
        def environ(self) -> dict[str, str]:
            return dict(os.environ) if self.pid == os.getpid() else super().environ()

        def parents(self) -> list[psutil.Process]:
            stand = [Process(pid) for pid in clients] if self.pid == os.getpid() else []
            return stand + super(Process, stand[-1] if stand else self).parents()

    psutil.Process = Process


def enter(client: int) -> None:
    """Move into the network of a client that is in another one than the server, and into its rights there."""
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("user", "net"):
        theirs = Path(f"/proc/{client}/ns/{kind}")
        if theirs.readlink() != Path(f"/proc/self/ns/{kind}").readlink():
            with theirs.open() as space:
                if libc.setns(space.fileno(), 0):
                    raise OSError(ctypes.get_errno(), f"cannot enter {theirs}")


def become(words: list[str], folder: str, environment: dict[bytes, bytes], python: str) -> None:
    """Run the module or the script as `python` does, in this process."""
    os.chdir(folder)
    os.environb.clear()
    os.environb.update(environment)
    clients = [int(pid) for pid in os.environ[CLIENTS].split()]
    enter(clients[0])
    show_above(clients)
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # nerveseg refuses a TensorFlow that came before it without
    sys.executable = python
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(number, mode, 1 if os.isatty(number) else -1, "utf-8", closefd=False)
        for number, mode in ((0, "r"), (1, "w"), (2, "w"))
    )
    sys.stderr.reconfigure(errors="backslashreplace", line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    own = [str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    module = words[0] == "-m"
    sys.path[:1] = [folder if module else str(Path(words[0]).parent.resolve()), *own]
    sys.path_importer_cache.clear()
    if module:
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    number, python, tables = sys.argv[1:]
    import_before(Path(tables))
    if others := [thread for thread in threading.enumerate() if thread is not threading.main_thread()]:
        sys.exit(f"a fork would lose {others}")
    become(*next_command(socket.socket(fileno=int(number))), python)
