"""A stage's script as a child process, and the progress that it reports."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Self

from nerveseg.errors import Terminated
from nerveseg.processes.progress import LISTENER

_LOOK = 0.5  # seconds between checks whether the child has ended without closing its end of the pipe


class Child:
    """`stages/STAGE.py`, ended with this process. It minds one signal alone, since the terminal may send another."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._reading, writing = os.pipe()
        self._rest = b""
        self._process = subprocess.Popen(
            [sys.executable, f"stages/{stage}.py"], env=os.environ | {LISTENER: str(writing)}, pass_fds=(writing,)
        )
        os.close(writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        os.close(self._reading)  # it then knows who ends it, and does not say so again
        if self._process.poll() is None:
            interrupted = isinstance(error, KeyboardInterrupt) and not isinstance(error, Terminated)
            self._process.send_signal(signal.SIGINT if interrupted else signal.SIGTERM)
            self._process.wait()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Yield the child's messages until it has ended."""
        while True:
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                yield json.loads(line)
            ready, _, _ = select.select([self._reading], [], [], _LOOK)
            if ready:
                more = os.read(self._reading, 2**16)
                if not more:
                    return
                self._rest += more
            elif self._process.poll() is not None:
                return

    def end(self) -> None:
        """Wait for the child's end. If it failed, raise SystemExit with its code; if it was killed, say so for it."""
        code = self._process.wait()
        if code < 0:
            name = signal.Signals(-code).name
            hint = "; often the memory was full" if -code == signal.SIGKILL else ""
            print(f"error: {self._stage} was ended by {name}{hint}", file=sys.stderr)
            code = 128 - code
        if code:
            raise SystemExit(code)
