"""Processes forked from one that has imported what they need, which saves each of them the seconds that an import takes."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

SERVER = multiprocessing.get_context("forkserver")
_IMPORTED: list[str] = []


def imported_before(*modules: str) -> None:
    """Have the server of this process import them, too, when it starts."""
    _IMPORTED.extend(modules)
    SERVER.set_forkserver_preload(_IMPORTED)


imported_before("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
imported_before("nerveseg.tracking.delivery", "mlflow_tables")


class Delivery:
    """What of `subprocess.Popen` a stage uses of the process that delivers its journal to MLflow.

    It copies the tables of a new store from `tables`.
    """

    def __init__(self, tables: Path, command: Sequence[str], *, cwd: object, env: Mapping[str, str], **_: Any) -> None:
        words = (tables, command[3:], str(cwd), dict(env))
        theirs, ours = SERVER.Pipe(duplex=False), SERVER.Pipe(duplex=False)
        ends = (theirs[0], ours[1])
        self._process = SERVER.Process(target=_deliver, args=(*words, *ends), daemon=True)
        self._process.start()
        self.stdin, self.stdout = os.fdopen(os.dup(theirs[1].fileno()), "wb"), os.fdopen(os.dup(ours[0].fileno()), "rb")
        for end in (*theirs, *ours):
            end.close()

    def poll(self) -> int | None:
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def wait(self) -> None:
        self._process.join()


def forking(tables: Path) -> SimpleNamespace:
    """A module `subprocess` for a stage."""
    return SimpleNamespace(Popen=partial(Delivery, tables), PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL)


def _deliver(tables: Path, words: Sequence[str], folder: str, environment: Mapping[str, str], *ends: Any) -> None:
    from mlflow_tables import copy_tables
    from nerveseg.tracking import delivery

    copy_tables(SimpleNamespace(setattr=setattr), tables)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for stream, end in enumerate((*ends, open(os.devnull, "w"))):  # noqa: PTH123, SIM115
        os.dup2(end.fileno(), stream)
        end.close()
    sys.stdin = os.fdopen(0)
    sys.argv[1:] = words
    delivery.main()
