"""No replica reaches its database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.faults.database import postgres_stopped
from tests.alerts.rig import Rig

# The schema's watcher asks every second, and waits for an answer that long.
_WATCHED_EVERY_S = 1.0
_PATIENCE_S = 1.5


@contextmanager
def postgres_killed(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.laboratory.kill()
    try:
        yield began
    finally:
        rig.laboratory.start()


@contextmanager
def network_refuses(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    for proxy in rig.proxies:
        proxy.cut()
    try:
        yield began
    finally:
        for proxy in rig.proxies:
            proxy.restore()


@contextmanager
def network_silent(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    for proxy in rig.proxies:
        proxy.fall_silent()
    try:
        yield began
    finally:
        for proxy in rig.proxies:
            proxy.restore()


def _fault(name: str, told: str, **more: object) -> Fault:
    options: dict[str, object] = {"seen_within_s": _WATCHED_EVERY_S} | more
    return Fault(
        name=name,
        alert="DatabaseUnreachable",
        told=told,
        labels=of_the_service("critical", "unreachable"),
        allowed=frozenset({"DatabaseError"}),
        **options,  # type: ignore[arg-type]
    )


_TWO_BEHIND_PROXIES = Setting(replicas=2, proxied=True)

FAULTS = (
    _fault("postgres_stopped", "PostgreSQL is stopped", inject=postgres_stopped),
    _fault("postgres_killed", "PostgreSQL's postmaster is killed", inject=postgres_killed),
    _fault(
        "network_refuses",
        "the network breaks off and refuses the connections of both replicas",
        inject=network_refuses,
        setting=_TWO_BEHIND_PROXIES,
    ),
    _fault(
        "network_silent",
        "the network lets nothing more through, of both replicas",
        inject=network_silent,
        setting=_TWO_BEHIND_PROXIES,
        seen_within_s=_WATCHED_EVERY_S + _PATIENCE_S,
    ),
)
