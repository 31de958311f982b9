"""Process many files in parallel by joblib; results come in the order of the files.

If `DASK_SCHEDULER_ADDRESS` names a Dask scheduler, its workers do the work; they must see the same files at the same paths.
Else one process for each core does it; a few files are processed in this process.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config

from nerveseg.errors import NervesegError
from nerveseg.processes.parent import end_with_the_parent
from nerveseg.text.missing_packages import installing

Item = TypeVar("Item")
Result = TypeVar("Result")
SCHEDULER_VARIABLE = "DASK_SCHEDULER_ADDRESS"
CHUNK = 32  # items that are sent together: sending each by itself costs as much as reading it
WINDOW = 32  # chunks in work or waiting to be taken: without a limit, results pile up if taking them is slower
SHORT = 2.0  # seconds; what takes no longer shows no progress bar
FEW = 16 * CHUNK  # items that are done before processes have started


def in_order(
    function: Callable[[Item], Sequence[Result]], items: Sequence[Item], workers: int | None = None
) -> Iterator[Result]:
    """Yield the results of `function` for all items, in the order of `items`.

    `function` stands at the top level of a module, and returns any number of results for an item. `workers` are processes on
    this machine; None for one per core, 1 for this process. If Dask is wanted but cannot be used, `NervesegError` is raised.
    """
    address = os.environ.get(SCHEDULER_VARIABLE)
    workers = cpu_count() if workers is None else workers
    if not address and (workers == 1 or len(items) <= FEW):
        for item in items:
            yield from function(item)
        return
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    windows = [chunks[start : start + WINDOW] for start in range(0, len(chunks), WINDOW)]
    with ExitStack() as stack:
        if address:
            stack.enter_context(_dask(address))
            stack.enter_context(parallel_config("dask"))
        make = partial(Parallel, -1) if address else partial(processes, workers)
        work = stack.enter_context(make(return_as="generator", batch_size=1))
        for window in windows:
            yield from chain.from_iterable(work(delayed(_apply)(function, chunk) for chunk in window))


def one_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the result of `function` for each item in turn, while a thread computes that for the next item."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def processes(workers: int, **options: Any) -> Parallel:
    """Return joblib processes that end with this one, even if it is killed."""
    return Parallel(n_jobs=workers, initializer=end_with_the_parent, **options)


def _apply(function: Callable[[Item], Sequence[Result]], items: Sequence[Item]) -> list[Result]:
    return [result for item in items for result in function(item)]


def _dask(address: str) -> Any:
    where = f"{SCHEDULER_VARIABLE} is {address},"
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port

        get_address_host_port(address)
        return Client(address, timeout="20s", set_as_default=True)
    except ImportError:
        raise NervesegError(f"{where} but Dask is not installed; run `{installing('dask')}`") from None
    except ValueError as error:
        what = f"which is no address ({error}), expected one such as tcp://127.0.0.1:8786"
        raise NervesegError(f"{where} {what}; correct it, or unset the variable") from None
    except (OSError, TypeError) as error:  # TypeError: TLS without a certificate
        what = f"but no scheduler answers there ({error})"
        raise NervesegError(f"{where} {what}; start it, or unset the variable") from None
