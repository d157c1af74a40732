"""What a fault is, as data: how it is made, which alert tells of it, and within what time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.alerts.rig import Rig

IMMEDIATE = (
    "DatabaseError",
    "DatabaseUnreachable",
    "MigrationFailed",
    "SchemaNotMigrated",
    "SchemaMismatch",
    "SchemaBroken",
    "ServiceDown",
)
# What is promised of those, in seconds from the fault to the webhook.
IMMEDIATE_WITHIN_S = 5.0

# It fires always, which is its purpose; what is told is its silence.
WATCHDOG = "Watchdog"


class SeenBy(StrEnum):
    """Where somebody learns of it: where Alertmanager is what is broken, no webhook comes."""

    WEBHOOK = "webhook"
    RECEIVER = "incident"  # that the incident receiver opens by itself
    PROMETHEUS = "page"  # Prometheus' own list of alerts


# Entering makes the fault and tells at which second of time.monotonic() it was there; leaving repairs it.
Injection = Callable[["Rig"], AbstractContextManager[float]]


@dataclass(frozen=True)
class Setting:
    """What a fault needs to be there beforehand.

    Parameters
    ----------
    replicas: processes of the service.
    variables: the service's, beside the database's address.
    faulty: whether an entry is served that can be made to misbehave (rig/faulty_service.py).
    clients: how many clients ask, each for itself.
    pause_s: between two requests of a client.
    to_all: whether they ask replicas that are not ready too.
    proxied: whether each replica reaches PostgreSQL through a proxy of its own.
    disk_bytes: size of a file system made for TASKMANAGER_DISK_FOLDER; it takes root to make one.
    backups: whether a scheduler of backups runs and is scraped.
    shortened: by what the windows and waits of the alert under proof are divided.
    """

    replicas: int = 1
    variables: Mapping[str, str] = field(default_factory=dict)
    faulty: bool = False
    clients: int = 2
    pause_s: float = 0.2
    to_all: bool = False
    proxied: bool = False
    disk_bytes: int | None = None
    backups: bool = False
    shortened: int = 1


@dataclass(frozen=True)
class Fault:
    """A fault and the alert that tells of it.

    Parameters
    ----------
    name: it stands in the events, and never changes.
    alert: `alertname`.
    told: what is done, as the report tells it, without a full stop.
    labels: those that the notification must have beside the alert's name.
    seen_within_s: how long the service itself may take to notice: the pause of what looks, and its patience.
    hung: whether the scrape ends by its timeout.
    fills_window: whether the longest window must fill before the threshold is passed.
    allowed: alerts that may be told besides, since they are true.
    muted: alerts that may fire in Prometheus besides, and of which nobody may be told.
    within_s: how long the notification is waited for.
    resolved_within_s: how long its end is waited for, from the repair on.
    hold_s: how long the fault stays after the notification, so that what follows from it can be seen.
    seen_by: where somebody learns of it.
    deafens_the_receiver: whether the incident receiver itself cannot be told.
    """

    name: str
    alert: str
    told: str
    labels: Mapping[str, str]
    inject: Injection
    setting: Setting = Setting()
    seen_within_s: float = 0.0
    hung: bool = False
    fills_window: bool = False
    allowed: frozenset[str] = frozenset()
    muted: frozenset[str] = frozenset()
    within_s: float = 30.0
    resolved_within_s: float = 90.0
    hold_s: float = 0.0
    seen_by: SeenBy = SeenBy.WEBHOOK
    deafens_the_receiver: bool = False

    @property
    def immediate(self) -> bool:
        return self.alert in IMMEDIATE


def of_the_service(severity: str, code: str, **more: str) -> dict[str, str]:
    """The labels of an alert about the service."""
    return {"severity": severity, "service": "taskmanager", "env": "development", "code": code} | more


def of_the_monitoring(severity: str, code: str, **more: str) -> dict[str, str]:
    """The labels of an alert about who watches."""
    return of_the_service(severity, code, **more) | {"service": "monitoring"}
