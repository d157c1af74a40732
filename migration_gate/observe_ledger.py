"""What the ledger tells: the part of an observation that only a database under the gate has.

Rows are read as JSON: a column that an older ledger lacks is absent then, and not an error.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migration_gate.lock import HOLDER, lock_key
from migration_gate.observed import Applied, LastRun, Override, Running, RunTotal, UnfinishedStep
from migration_gate.reading import Rows
from migration_gate.tables import (
    IDENTITY_TABLE,
    OVERRIDE_TABLE,
    REVISION_TABLE,
    RUN_TABLE,
    STEP_TABLE,
    VersionTable,
)

# Where the newest run and the lock's holder stand in the ledger's row.
_RUN, _HOLDER = 1, 6


@dataclass
class Memory:
    """What one observation leaves to the next: the ledger's revisions, which seldom change and can be many."""

    newest: int | None = None
    applied: Mapping[str, Applied] = field(default_factory=dict)


@dataclass
class LedgerRead:
    """What the ledger tells."""

    format: int = 0
    applied: Mapping[str, Applied] = field(default_factory=dict)
    project: str | None = None
    schemas: tuple[str, ...] = ()
    last_run: LastRun | None = None
    runs: tuple[RunTotal, ...] = ()
    running: Running | None = None
    override: Override | None = None
    unfinished: tuple[UnfinishedStep, ...] = ()


def read_ledger(
    table: VersionTable, schema: str, readable: Mapping[str, bool], memory: Memory
) -> Generator[str, Rows, LedgerRead]:
    revisions, runs = table.beside(REVISION_TABLE), table.beside(RUN_TABLE)
    identity = (
        f"(SELECT to_jsonb(l)::text FROM {table.beside(IDENTITY_TABLE)} l)" if readable[IDENTITY_TABLE] else "NULL"
    )
    done = f"(SELECT count(*) FROM {revisions} WHERE run_id = r.id)" if readable[IDENTITY_TABLE] else "0"
    steps = (
        f"(SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id)::text FROM {table.beside(STEP_TABLE)} s WHERE NOT s.settled)"
        if readable[STEP_TABLE]
        else "NULL"
    )
    override = (
        # The newest row alone counts: one that has ended takes back what came before.
        f"(SELECT to_jsonb(o)::text FROM (SELECT * FROM {table.beside(OVERRIDE_TABLE)} ORDER BY id DESC LIMIT 1) o"
        " WHERE o.until > clock_timestamp())"
        if readable[OVERRIDE_TABLE]
        else "NULL"
    )
    row = yield from _settled(f"""
        SELECT (SELECT max(id) FROM {revisions}),
               (SELECT (to_jsonb(r) - 'catalog' || jsonb_build_object('done', {done}))::text
                FROM (SELECT * FROM {runs} ORDER BY id DESC LIMIT 1) r),
               {identity}, {steps}, {override}, {_totals(runs)},
               (SELECT name FROM ({HOLDER.format(key=lock_key(schema, table.name))}) h
                WHERE h.pid <> pg_backend_pid())
        """)
    newest, run, own, unfinished, override_row, totals, holder = row
    if newest != memory.newest:
        rows = yield (
            f"SELECT to_jsonb(r)::text FROM (SELECT DISTINCT ON (revision) * FROM {revisions}"
            " ORDER BY revision, id DESC) r"
        )
        memory.applied = {entry["revision"]: _applied(entry) for entry in (json.loads(row[0]) for row in rows)}
        memory.newest = newest
    identity_row = json.loads(own) if own else {}
    last_run, running = _run(json.loads(run), holder) if run else (None, None)
    return LedgerRead(
        format=identity_row.get("format", 1),
        applied=memory.applied,
        project=identity_row.get("project"),
        schemas=tuple(identity_row.get("schemas") or ()),
        last_run=last_run,
        runs=tuple(_total(total, abandoned=holder is None) for total in json.loads(totals or "[]")),
        running=running,
        override=_override(json.loads(override_row)) if override_row else None,
        unfinished=tuple(_step(step) for step in json.loads(unfinished)) if unfinished else (),
    )


def _settled(sql: str) -> Generator[str, Rows, Sequence[Any]]:
    """The row of the ledger; read again where its newest run looks abandoned, until two looks agree on that.

    A statement sees the rows of its beginning and the locks of a moment later, and a run may end in between. It is
    ended in the ledger before it gives up its lock, so the next look at the ledger tells.
    """
    before: object = None
    while True:
        row = (yield sql)[0]
        run = json.loads(row[_RUN]) if row[_RUN] else None
        if run is None or run["result"] != "running" or row[_HOLDER] is not None or run["id"] == before:
            return row
        before = run["id"]


def _totals(runs: str) -> str:
    return f"""
        (SELECT jsonb_agg(to_jsonb(t))::text FROM (
            SELECT command, result, count(*) AS runs, extract(epoch FROM sum(ended_at - started_at)) AS seconds,
                   extract(epoch FROM sum(lock_wait)) AS lock_wait_s,
                   sum(((to_jsonb(r) - 'catalog') ->> 'lock_retries')::int) AS lock_retries,
                   extract(epoch FROM max(ended_at)) AS last_ended_at
            FROM {runs} r GROUP BY command, result) t)
    """


def _total(row: Mapping[str, Any], *, abandoned: bool) -> RunTotal:
    return RunTotal(
        command=row["command"],
        result="abandoned" if abandoned and row["result"] == "running" else row["result"],
        runs=row["runs"],
        seconds=float(row["seconds"] or 0.0),
        lock_wait_s=float(row["lock_wait_s"] or 0.0),
        lock_retries=row["lock_retries"] or 0,
        last_ended_at=row["last_ended_at"],
    )


def _applied(row: Mapping[str, Any]) -> Applied:
    return Applied(
        parents=tuple(row["parents"]),
        action=row["action"],
        checksum=row.get("checksum"),
        phase=row.get("phase"),
        minimum_code=row.get("minimum_code"),
        release=row.get("release"),
        applied_by=row["applied_by"],
        applied_at=row["applied_at"],
    )


def _run(row: Mapping[str, Any], holder: str | None) -> tuple[LastRun, Running | None]:
    if row["result"] != "running":
        return LastRun(row["command"], row["result"], row["started_at"], row["error"]), None
    if holder is None:
        return LastRun(row["command"], "abandoned", row["started_at"]), None
    running = Running(
        name=row["started_by"],
        started_at=datetime.fromisoformat(row["started_at"]),
        planned=len(row.get("planned") or ()),
        done=row["done"],
        revision=row.get("current_revision"),
    )
    return LastRun(row["command"], "running", row["started_at"]), running


def _override(row: Mapping[str, Any]) -> Override:
    return Override(datetime.fromisoformat(row["until"]), row["reason"], row["granted_by"])


def _step(row: Mapping[str, Any]) -> UnfinishedStep:
    return UnfinishedStep(
        revision=row["revision"],
        number=row["number"],
        statement=row["statement"],
        began_at=row["began_at"],
        ended=row["ended_at"] is not None,
        error=row["error"],
    )
