"""Processes of the service that are gone, hang, come and go, or are no longer looked at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import yaml

from tests.alerts.fault import Fault, Setting, of_the_service
from tests.alerts.faults.requests import misbehaves
from tests.alerts.rig import Rig

_TWO = Setting(replicas=2)
_RESTARTS = 4
# Longer than two scrapes, so that none of the starts is missed.
_BETWEEN_RESTARTS_S = 2.5
_HALT_S, _HALT_EVERY_S = 0.75, 3.0


@contextmanager
def killed(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    for replica in rig.replicas:
        replica.kill()
    try:
        yield began
    finally:
        for replica in rig.replicas:
            replica.start()
        for replica in rig.replicas:
            replica.wait_until_ready()


@contextmanager
def hung(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    for replica in rig.replicas:
        replica.halt()
    try:
        yield began
    finally:
        for replica in rig.replicas:
            replica.resume()


@contextmanager
def one_of_two_killed(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.replicas[1].kill()
    try:
        yield began
    finally:
        rig.replicas[1].start()
        rig.replicas[1].wait_until_ready()


@contextmanager
def one_of_two_cut_off(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    rig.proxies[1].cut()
    try:
        yield began
    finally:
        rig.proxies[1].restore()


@contextmanager
def crashes_again_and_again(rig: Rig) -> Iterator[float]:
    began = time.monotonic()
    for _ in range(_RESTARTS):
        rig.replicas[1].kill()
        rig.replicas[1].start()
        rig.replicas[1].wait_until_alive()
        time.sleep(_BETWEEN_RESTARTS_S)
    yield began
    rig.replicas[1].wait_until_ready()


@contextmanager
def job_removed(rig: Rig) -> Iterator[float]:
    whole = rig.original.read_text()
    configuration = yaml.safe_load(whole)
    jobs = configuration["scrape_configs"]
    configuration["scrape_configs"] = [job for job in jobs if job["job_name"] != "taskmanager"]
    assert len(configuration["scrape_configs"]) == len(jobs) - 1
    rig.original.write_text(yaml.safe_dump(configuration))
    began = time.monotonic()
    rig.monitoring.prometheus.reload()
    try:
        yield began
    finally:
        rig.original.write_text(whole)
        rig.monitoring.prometheus.reload()


def metric_lost(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, hide="taskmanager_db_pool_waiting")


def loop_blocked(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, block_s=0.75)


def loop_blocked_for_seconds(rig: Rig) -> AbstractContextManager[float]:
    return misbehaves(rig, block_s=1.5)


@contextmanager
def halted_in_pulses(rig: Rig) -> Iterator[float]:
    """The processor is taken away for most of a second, again and again."""
    ended = threading.Event()

    def halt() -> None:
        while not ended.wait(_HALT_EVERY_S):
            rig.replica.halt()
            time.sleep(_HALT_S)
            rig.replica.resume()

    began = time.monotonic()
    halting = threading.Thread(target=halt, daemon=True)
    halting.start()
    try:
        yield began
    finally:
        ended.set()
        halting.join()
        rig.replica.resume()


FAULTS = (
    Fault(
        name="killed",
        alert="ServiceDown",
        told="the only replica is killed",
        labels=of_the_service("critical", "service_down"),
        inject=killed,
    ),
    Fault(
        name="hung",
        alert="ServiceDown",
        told="the only replica hangs: it is halted, and its port still accepts",
        labels=of_the_service("critical", "service_down"),
        inject=hung,
        hung=True,
        # What was late while it hung is counted when it goes on.
        allowed=frozenset({"DatabaseError"}),
    ),
    Fault(
        name="job_removed",
        alert="ServiceAbsent",
        told="the job is taken out of prometheus.yml",
        labels=of_the_service("critical", "service_absent"),
        inject=job_removed,
        # Targets are looked for every five seconds after a change, and the last scrape must leave the window.
        seen_within_s=5.0,
        fills_window=True,
        within_s=90.0,
        resolved_within_s=150.0,
    ),
    Fault(
        name="crashes_again_and_again",
        alert="CrashLoop",
        told="one of two replicas is killed and started again four times",
        labels=of_the_service("critical", "crash_loop"),
        inject=crashes_again_and_again,
        setting=Setting(replicas=2, shortened=5),
        # The four restarts themselves, each with its start.
        seen_within_s=_RESTARTS * (_BETWEEN_RESTARTS_S + 2.0),
        within_s=60.0,
        resolved_within_s=180.0,
    ),
    Fault(
        name="one_of_two_killed",
        alert="ReplicaDown",
        told="one of two replicas is killed and stays away",
        labels=of_the_service("warning", "replica_down"),
        inject=one_of_two_killed,
        setting=_TWO,
        within_s=90.0,
        resolved_within_s=120.0,
    ),
    Fault(
        name="one_of_two_cut_off",
        alert="ReplicaNotReady",
        told="one of two replicas does not reach its database",
        labels=of_the_service("warning", "replica_not_ready"),
        inject=one_of_two_cut_off,
        setting=Setting(replicas=2, proxied=True),
        seen_within_s=1.0,
        within_s=90.0,
        resolved_within_s=120.0,
        allowed=frozenset({"DatabaseError", "SchemaCheckStale"}),
    ),
    Fault(
        name="metric_lost",
        alert="MetricMissing",
        told="/metrics no longer has a metric that a rule stands on",
        labels=of_the_service("warning", "metric_missing", metric="taskmanager_db_pool_waiting"),
        inject=metric_lost,
        setting=Setting(faulty=True),
        within_s=90.0,
        resolved_within_s=120.0,
    ),
    Fault(
        name="loop_blocked",
        alert="EventLoopBlocked",
        told="something computes on the event loop for 0.75 s, every three seconds",
        labels=of_the_service("warning", "event_loop_blocked"),
        inject=loop_blocked,
        setting=Setting(faulty=True),
        seen_within_s=4.0,
        within_s=90.0,
        resolved_within_s=120.0,
    ),
    Fault(
        name="loop_blocked_for_seconds",
        alert="EventLoopBlocked",
        told="something computes on the event loop for 1.5 s, every 4.5 seconds, longer than a scrape waits",
        labels=of_the_service("warning", "event_loop_blocked"),
        inject=loop_blocked_for_seconds,
        setting=Setting(faulty=True),
        seen_within_s=4.5,
        within_s=90.0,
        resolved_within_s=120.0,
        # The only replica answers no scrape meanwhile.
        allowed=frozenset({"ServiceDown"}),
    ),
    Fault(
        name="halted_in_pulses",
        alert="EventLoopBlocked",
        told="the process gets no processor for 0.75 s, every three seconds",
        labels=of_the_service("warning", "event_loop_blocked"),
        inject=halted_in_pulses,
        seen_within_s=4.0,
        within_s=90.0,
        resolved_within_s=120.0,
    ),
)
