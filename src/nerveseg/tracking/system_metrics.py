"""What a stage uses of the machine while it runs: MLflow's measures of processor, memory, disk, network and GPU."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

SECONDS = 10.0  # between two points, as in MLflow


class SystemMetrics(threading.Thread):
    """Measure until stopped, and once more then; `tell` takes the measures by MLflow's names for them.

    MLflow's own thread asks the store at each point whether the run goes on, and stops with a warning if it is down.
    """

    def __init__(self, tell: Callable[[Mapping[str, float]], None]) -> None:
        super().__init__(name="system metrics", daemon=True)
        self._tell, self._over = tell, threading.Event()
        self._monitors = _monitors()  # here: while two threads import MLflow, either may find half of it
        self.start()

    def run(self) -> None:
        for monitor in self._monitors:  # psutil counts from the first call in a thread, which gives 0
            monitor.collect_metrics()
            monitor.clear_metrics()
        stopped = False
        while not stopped:
            stopped = self._over.wait(SECONDS)
            values: dict[str, float] = {}
            for monitor in self._monitors:
                monitor.collect_metrics()
                values |= monitor.aggregate_metrics()
                monitor.clear_metrics()
            self._tell({f"system/{name}": value for name, value in values.items()})

    def stop(self) -> None:
        self._over.set()
        self.join()


def _monitors() -> "list[BaseMetricsMonitor]":
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors: list[BaseMetricsMonitor] = [each() for each in (CPUMonitor, DiskMonitor, NetworkMonitor)]
    with suppress(ImportError, RuntimeError):  # no GPU, or not the library that asks it
        monitors.append(GPUMonitor())
    return monitors
