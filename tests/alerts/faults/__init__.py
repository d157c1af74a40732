"""The catalogue: how each alert is provoked.

A fault's function enters it, tells when it was there, and repairs it when it is left. An alert may have several: its
rounds take them in turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.alerts.fault import IMMEDIATE, Fault
from tests.alerts.faults import (
    alerting,
    backups,
    database,
    migrations,
    processes,
    requests,
    saturation,
    schema,
    unreachable,
)

FAULTS: Sequence[Fault] = (
    *database.FAULTS,
    *unreachable.FAULTS,
    *migrations.FAULTS,
    *schema.FAULTS,
    *processes.FAULTS,
    *requests.FAULTS,
    *saturation.FAULTS,
    *alerting.FAULTS,
    *backups.FAULTS,
)

ROUNDS_OF_THE_IMMEDIATE = 10


def of_alert(alert: str) -> list[Fault]:
    """The faults of an alert."""
    return [fault for fault in FAULTS if fault.alert == alert]


def alerts() -> list[str]:
    """Every alert that has a fault, in the catalogue's order."""
    return list(dict.fromkeys(fault.alert for fault in FAULTS))


def rounds(alert: str, immediate: int = ROUNDS_OF_THE_IMMEDIATE) -> list[Fault]:
    """The faults of an alert's rounds: of an immediate one so many, in turn; of another each once."""
    faults = of_alert(alert)
    if alert not in IMMEDIATE:
        return faults
    return [faults[number % len(faults)] for number in range(immediate)]
