"""What a stage uses of the machine while it runs: processor, memory, disk, network and GPU, by MLflow's names for them."""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.util import find_spec

import psutil  # type: ignore[import-untyped]

SECONDS = 10.0  # between two points, as in MLflow


class SystemMetrics(threading.Thread):
    """Measure until stopped, and once more then; `tell` takes the measures.

    MLflow's own thread asks the store at each point whether the run goes on, and stops with a warning if it is down.
    """

    def __init__(self, tell: Callable[[Mapping[str, float]], None]) -> None:
        super().__init__(name="system metrics", daemon=True)
        self._tell, self._over = tell, threading.Event()
        self._measure_gpus = _of_gpus()  # here: while two threads import MLflow, either may find half of it
        self.start()

    def run(self) -> None:
        psutil.cpu_percent()  # it counts from the first call in a thread, which gives 0
        before, stopped = psutil.net_io_counters(), False
        while not stopped:
            stopped = self._over.wait(SECONDS)
            memory, disk, network = psutil.virtual_memory(), psutil.disk_usage(os.sep), psutil.net_io_counters()
            values = {
                "cpu_utilization_percentage": psutil.cpu_percent(),
                "system_memory_usage_megabytes": memory.used / 1e6,
                "system_memory_usage_percentage": 100 * memory.used / memory.total,
                "disk_usage_percentage": disk.percent,
                "disk_usage_megabytes": disk.used / 1e6,
                "disk_available_megabytes": disk.free / 1e6,
                "network_receive_megabytes": (network.bytes_recv - before.bytes_recv) / 1e6,
                "network_transmit_megabytes": (network.bytes_sent - before.bytes_sent) / 1e6,
            }
            self._tell({f"system/{name}": value for name, value in (values | self._measure_gpus()).items()})

    def stop(self) -> None:
        self._over.set()
        self.join()


def _of_gpus() -> Callable[[], dict[str, float]]:
    """Return MLflow's measures of the GPUs; none without the library that asks them, and MLflow is not imported then."""
    with suppress(RuntimeError):  # there is none
        if find_spec("pynvml"):
            from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

            monitor = GPUMonitor()

            def measured() -> dict[str, float]:
                monitor.clear_metrics()
                monitor.collect_metrics()
                return dict(monitor.aggregate_metrics())

            return measured
    return dict
