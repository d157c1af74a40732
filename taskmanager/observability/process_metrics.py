"""The metrics of the process itself: what it is, what it does, how full and how late it is."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from taskmanager.dispatch.admission import Admission
from taskmanager.observability.event_loop import EventLoopLag
from taskmanager.observability.service_state import AppState, ServiceState

# The same for every application of this process: each change of it is taken for a restart.
_IMPORTED_AT_S = time.time()
_START_TIME = "process_start_time_seconds"


class ProcessFigures(ProcessCollector):
    """prometheus_client's own, and when the process was started where those do not tell it.

    They are read from /proc, which macOS does not have.
    """

    def collect(self) -> Iterator[Metric]:
        figures = list(super().collect())
        yield from figures
        if all(figure.name != _START_TIME for figure in figures):
            yield GaugeMetricFamily(
                _START_TIME, "When the service was loaded in this process, since unix epoch.", value=_IMPORTED_AT_S
            )


class ProcessStateCollector(Collector):
    """What one process does and has room for.

    Parameters
    ----------
    state: its state.
    admission: who is in, and who was refused.
    lag: how late its event loop is.
    """

    def __init__(self, state: ServiceState, admission: Admission, lag: EventLoopLag) -> None:
        self._state = state
        self._admission = admission
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "taskmanager_app_state", "1 for what this process does now, 0 for all else.", labels=("state",)
        )
        now = self._state.now
        for state in AppState:
            states.add_metric((state.value,), float(state is now))
        yield states
        yield GaugeMetricFamily("http_requests_inprogress", "Requests in work.", value=self._admission.in_flight)
        yield GaugeMetricFamily(
            "taskmanager_requests_in_flight_max",
            "Requests that may be in work at once.",
            value=self._admission.policy.max_in_flight,
        )
        refused = CounterMetricFamily(
            "taskmanager_requests_refused", "Requests refused unasked, with 503, by reason.", labels=("reason",)
        )
        for reason, count in self._admission.refused.items():
            refused.add_metric((reason.value,), count)
        yield refused
        yield GaugeMetricFamily(
            "taskmanager_event_loop_lag_seconds",
            "The largest delay of the event loop in the last five to ten seconds.",
            value=self._lag.largest_s,
        )


class DiskCollector(Collector):
    """The room on the file system of a folder; NaN where none is named or it cannot be looked at."""

    def __init__(self, folder: Path | None, look: Callable[[Path], os.statvfs_result] = os.statvfs) -> None:
        self._folder = folder
        self._look = look

    def collect(self) -> Iterator[Metric]:
        free = size = math.nan
        if self._folder is not None:
            try:
                found = self._look(self._folder)
            except OSError:
                pass
            else:
                free, size = float(found.f_bavail * found.f_frsize), float(found.f_blocks * found.f_frsize)
        yield GaugeMetricFamily(
            "taskmanager_disk_free_bytes", "Room left for the data, as an ordinary user has it.", value=free
        )
        yield GaugeMetricFamily("taskmanager_disk_size_bytes", "Size of the file system of the data.", value=size)
