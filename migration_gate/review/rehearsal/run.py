"""A rehearsal from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from alembic.config import Config

from migration_gate.review.rehearsal.addresses import connect, database_of
from migration_gate.review.rehearsal.assembly import Assembly, failure_of
from migration_gate.review.rehearsal.budget import breaches
from migration_gate.review.rehearsal.description import describe
from migration_gate.review.rehearsal.migration import Event, run_migration
from migration_gate.review.rehearsal.plan import Plan
from migration_gate.review.rehearsal.preparation import Say, Stage, prepared
from migration_gate.review.rehearsal.report import Failure, Report, Traffic
from migration_gate.review.rehearsal.sampler import Sampler
from migration_gate.review.rehearsal.traffic import Load
from migration_gate.review.rehearsal.wording import counted

LONGEST_WARM_UP_S = 5.0


def rehearse(config: Config, plan: Plan, say: Say) -> Report:
    """Run the pending revisions on a temporary copy of the source's schema, under load, and tell what they cost.

    Parameters
    ----------
    config: Alembic's configuration of the project; the source is the database that its env.py names.
    say: receives a line for people at each step.

    The source is read and never written. The temporary database is dropped also where this raises.

    Raises
    ------
    MigrationGateError: the rehearsal could not take place. A migration that fails is no error but a result.
    SourceNamedAsScratch: the scratch address is the source's own.
    """
    with prepared(describe(config), plan, say) as stage:
        sampler = Sampler(connect(stage.address, "sampler"))
        try:
            with Load(stage.address, stage.crowd) as load:
                sampler.start()
                people = f"{counted(len(stage.crowd), 'table')}, {counted(len(load.clients), 'connection')}"
                say(f"readers and writers on {people}")
                _warm_up(load)
                events = run_migration(config, stage.address, _teller(say))
        finally:
            sampler.finish()
        return _report(plan, stage, events, sampler, load)


def _report(plan: Plan, stage: Stage, events: list[Event], sampler: Sampler, load: Load) -> Report:
    assembly = Assembly(
        events, stage.relations, locks=sampler.locks, own_waits=sampler.own_waits, blocked=sampler.blocked
    )
    statements, waits = assembly.statements(), assembly.waits(load.slow)
    failure = failure_of(events)
    return Report(
        source=stage.source,
        scratch=stage.scratch,
        database=database_of(stage.address),
        kept=plan.keep,
        data=plan.data,
        statistics=stage.statistics,
        budget=plan.budget,
        revisions=tuple(dict.fromkeys(known.revision for known in statements if known.revision is not None)),
        duration_ms=assembly.duration_ms,
        observing_ms=events[-1]["spent_s"] * 1000,
        statements=statements,
        waits=waits,
        tables=stage.tables,
        traffic=Traffic(
            sum(client.queries for client in load.clients), len(stage.crowd), len(load.clients), sampler.samples
        ),
        breaches=breaches(statements, waits, assembly.duration_ms, plan.budget),
        failure=Failure(**failure) if failure else None,
        notes=(*stage.notes, *_unseen(stage, load, sampler)),
    )


def _unseen(stage: Stage, load: Load, sampler: Sampler) -> list[str]:
    """What kept the load or the samples from seeing all."""
    notes = [
        f"queries on {table.qualified} failed from some moment on (SQLSTATE {sqlstate}), as those of code that still"
        " runs would"
        for table, sqlstate in load.lost.items()
    ]
    if len(load.clients) < 2 * len(stage.crowd):
        tables = counted(len(stage.crowd), "table")
        notes.append(f"{tables} shared {counted(len(load.clients), 'connection')}: some waits went unseen")
    if sampler.ended_early:
        notes.append("the session that samples locks was lost: waits after that went unseen")
    return notes


def _warm_up(load: Load) -> None:
    """A first query fills a session's caches, and would look like a wait."""
    deadline = time.monotonic() + LONGEST_WARM_UP_S
    while not load.warm and time.monotonic() < deadline:
        time.sleep(0.01)


def _teller(say: Say) -> Callable[[Event], None]:
    """Name each revision as its first statement begins."""
    told: set[str] = set()

    def tell(event: Event) -> None:
        if event["kind"] == "before" and event["revision"] not in told:
            told.add(event["revision"])
            say(f"revision {event['revision']} ({Path(event['file']).name})")

    return tell
