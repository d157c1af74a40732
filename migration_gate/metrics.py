"""The verdict as Prometheus metrics, read at each scrape.

Read and not pushed: a value that is computed when it is asked for cannot go stale unnoticed. Every series is there
from the first scrape. What only the database can tell is NaN before its first answer; while it cannot be asked,
what is counted keeps its last value, and what is measured is NaN, never an old zero.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from migration_gate.observed import Observed, RunTotal
from migration_gate.states import State
from migration_gate.watch import Verdict

COMMANDS = ("upgrade", "downgrade", "stamp", "baseline", "accept", "settle")
RESULTS = ("succeeded", "failed", "abandoned", "running")


class KeepsVerdict(Protocol):
    """What knows the verdict: a `SchemaGate`, or a `Watcher` of one's own."""

    @property
    def verdict(self) -> Verdict: ...


class SchemaCollector(Collector):
    """Register it once: `registry.register(SchemaCollector(gate))`."""

    def __init__(self, keeper: KeepsVerdict) -> None:
        self._keeper = keeper

    def describe(self) -> list[Metric]:
        return []  # the registry asks for names at registration, when there is nothing to tell yet

    def collect(self) -> Iterator[Metric]:
        verdict = self._keeper.verdict
        yield from _verdict(verdict)
        yield from _left_over(verdict.observed if verdict.reachable else None)
        yield from _runs(verdict.observed)


def _verdict(verdict: Verdict) -> Iterator[Metric]:
    status = verdict.status
    yield _labelled(
        "migration_gate_state",
        "1 for the state that the schema is in, 0 for every other",
        "state",
        ((each.value, float(each is status.state)) for each in State),
    )
    found = {finding.state for finding in status.findings}
    yield _labelled(
        "migration_gate_finding",
        "1 for everything that was found, 0 for every other state",
        "state",
        ((each.value, float(each in found)) for each in State if each is not State.CURRENT),
    )
    yield GaugeMetricFamily(
        "migration_gate_servable", "1 while the schema allows traffic", value=float(verdict.servable)
    )
    yield GaugeMetricFamily(
        "migration_gate_override_active",
        "1 while traffic flows on somebody's word, whatever the state",
        value=float(verdict.override is not None),
    )
    yield GaugeMetricFamily(
        "migration_gate_database_reachable", "1 while the last check was answered", value=float(verdict.reachable)
    )
    yield GaugeMetricFamily(
        "migration_gate_revisions_behind",
        "Revisions of the code that the database lacks; NaN while it cannot be asked",
        value=float(len(status.missing)) if verdict.reachable else math.nan,
    )
    yield GaugeMetricFamily(
        "migration_gate_statements_broken",
        "Statements of the application that cannot run; NaN while they cannot be tried",
        value=float(len(status.broken_statements)) if verdict.reachable else math.nan,
    )
    yield GaugeMetricFamily(
        "migration_gate_check_age_seconds",
        "Seconds since the database last answered a check; NaN before the first answer",
        value=time.monotonic() - verdict.checked_at if verdict.checked_at is not None else math.nan,
    )
    yield InfoMetricFamily(
        "migration_gate_code", "The code's head revisions", value={"heads": ",".join(status.code_heads)}
    )
    yield InfoMetricFamily(
        "migration_gate_database",
        "The revisions that the database was last seen at",
        value={"revisions": ",".join(status.database_revisions)},
    )


def _left_over(observed: Observed | None) -> Iterator[Metric]:
    drift = None if observed is None or observed.drift is None else len(observed.drift)
    yield _count("drift_objects", "Objects that differ from what the last run left; NaN where that is not known", drift)
    for name, documentation, field in (
        ("invalid_indexes", "Indexes that no query may use", "invalid_indexes"),
        ("unvalidated_constraints", "Constraints that older rows may violate", "unvalidated_constraints"),
        ("unfinished_steps", "Statements of a revision that stopped halfway", "unfinished"),
    ):
        yield _count(name, documentation, None if observed is None else len(getattr(observed, field)))
    running = observed.running if observed else None
    known = 0.0 if observed else math.nan
    yield GaugeMetricFamily(
        "migration_gate_running_planned",
        "Revisions that the run under way is to apply",
        value=_of(running, "planned", known),
    )
    yield GaugeMetricFamily(
        "migration_gate_running_done", "Revisions that the run under way has applied", value=_of(running, "done", known)
    )


def _count(name: str, documentation: str, count: int | None) -> Metric:
    return GaugeMetricFamily(f"migration_gate_{name}", documentation, value=math.nan if count is None else count)


def _of(running: object, name: str, otherwise: float) -> float:
    return otherwise if running is None else float(getattr(running, name))


def _runs(observed: Observed | None) -> Iterator[Metric]:
    totals = {(each.command, each.result): each for each in observed.runs} if observed else {}
    born = 0.0 if observed else math.nan

    def counted(name: str, documentation: str, field: str) -> Metric:
        family = CounterMetricFamily(f"migration_gate_{name}", documentation, labels=["command", "result"])
        for command in COMMANDS:
            for result in RESULTS:
                total = totals.get((command, result))
                family.add_metric([command, result], born if total is None else float(getattr(total, field)))
        return family

    yield counted("runs", "Runs that the ledger knows, of whatever process", "runs")
    yield counted("run_seconds", "How long they took together", "seconds")
    yield counted("lock_wait_seconds", "How long they waited for the migration lock together", "lock_wait_s")
    yield counted("lock_retries", "How often a revision was tried again because a table was locked", "lock_retries")
    last = observed.last_run.result if observed and observed.last_run else None
    yield _labelled(
        "migration_gate_last_run",
        "1 for how the newest run ended, 0 for every other result",
        "result",
        ((result, float(result == last) if observed else math.nan) for result in RESULTS),
    )
    yield GaugeMetricFamily(
        "migration_gate_last_success_timestamp_seconds",
        "When a run last succeeded, in seconds since 1970; NaN where none is known",
        value=_newest(totals.values()),
    )


def _newest(totals: Iterable[RunTotal]) -> float:
    ended = [each.last_ended_at for each in totals if each.result == "succeeded" and each.last_ended_at is not None]
    return max(ended, default=math.nan)


def _labelled(name: str, documentation: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for value, number in values:
        family.add_metric([value], number)
    return family
