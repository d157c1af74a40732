"""The backups as metrics, read from their folder at each scrape: a restart sets none of it back but the failures."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from taskmanager.backup.manifest import Outcome
from taskmanager.backup.schedule import Scheduler


class BackupCollector(Collector):
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def describe(self) -> list[Metric]:
        return []  # the registry asks for names at registration

    def collect(self) -> Iterator[Metric]:
        backups = [backup.manifest for backup in self._scheduler.folder.backups()]
        sound = [backup for backup in backups if backup.verification.outcome is not Outcome.FAILED]
        verified = [backup for backup in sound if backup.verified]
        newest = sound[0] if sound else None
        yield GaugeMetricFamily(
            "taskmanager_backup_last_success_timestamp_seconds",
            "When the newest backup was made that was not found bad; 0 where there is none.",
            value=newest.made_at.timestamp() if newest else 0,
        )
        yield GaugeMetricFamily(
            "taskmanager_backup_last_verified_timestamp_seconds",
            "When the newest backup was made that was restored and compared; 0 where there is none.",
            value=verified[0].made_at.timestamp() if verified else 0,
        )
        yield GaugeMetricFamily(
            "taskmanager_backup_size_bytes", "Size of the newest backup.", value=newest.bytes if newest else 0
        )
        yield GaugeMetricFamily(
            "taskmanager_backup_duration_seconds",
            "What the newest backup took, its trial included.",
            value=newest.duration_s + newest.verification.duration_s if newest else 0,
        )
        yield GaugeMetricFamily("taskmanager_backups_kept", "Backups in the folder.", value=len(backups))
        yield CounterMetricFamily(
            "taskmanager_backup_failures",
            "Attempts that made no backup, or one whose trial failed.",
            value=self._scheduler.failures,
        )
        yield GaugeMetricFamily(
            "taskmanager_backup_max_age_seconds",
            "How old the newest verified backup may become.",
            value=self._scheduler.schedule.max_age_s,
        )


def new_registry(scheduler: Scheduler) -> CollectorRegistry:
    """All metrics of one scheduler. A registry of its own: a second one in the same process is no duplicate."""
    registry = CollectorRegistry()
    disable_created_metrics()  # type: ignore[no-untyped-call]
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    registry.register(BackupCollector(scheduler))
    return registry
