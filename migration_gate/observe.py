"""What the database is: the SQL that reads it, runnable by any driver.

`observation()` is a generator that yields SQL text and is sent the rows, so that asyncpg in a service,
psycopg in a command and a table of canned rows in a test all run the very same statements:

    observing = observation()
    sql = next(observing)
    while True:
        try:
            rows = <run sql on a driver>          # or observing.throw(SqlFault(sqlstate, message))
            sql = observing.send(rows)
        except StopIteration as end:
            return end.value                      # an Observed

`proof()` is another, for the application's own statements.

Every statement is a read. None takes a lock stronger than ACCESS SHARE.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from migration_gate.tables import REVISION_TABLE, RUN_TABLE, VersionTable, quote

Rows = Sequence[Sequence[Any]]
Observation = Generator[str, Rows, "Observed"]


class SqlFault(Exception):
    """PostgreSQL refused a statement. `sqlstate` is its five characters, `message` its primary message."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate
        self.message = message


@dataclass(frozen=True)
class BrokenStatement:
    """A statement of the application that this database cannot run."""

    name: str
    sqlstate: str
    message: str


@dataclass(frozen=True)
class LastRun:
    """The newest run that the ledger knows.

    `result` is `running` until it ends; that of a killed migrator stays so until the next one begins.
    """

    command: str
    result: str


@dataclass(frozen=True)
class Running:
    """A migrator at work: it holds the migration lock now.

    `name` is its host and process, `started_at` an aware time, `planned` the number of revisions of its run, `done`
    how many of them are applied, and `revision` the one under way, None between two.
    """

    name: str
    started_at: datetime
    planned: int
    done: int
    revision: str | None = None


@dataclass(frozen=True)
class Override:
    """Traffic is let through whatever the verdict, on somebody's word, until `until` (an aware time)."""

    until: datetime
    reason: str
    by: str


@dataclass(frozen=True)
class Observed:
    """What was read, without any judgement.

    `revisions` are the rows of the version table, empty where there is none. `lineage` maps revisions
    that the ledger has seen applied to their parents: it is how old code can place a revision
    that it has never heard of.
    """

    database: str
    role: str
    has_version_table: bool
    version_table_readable: bool
    has_other_tables: bool
    revisions: tuple[str, ...] = ()
    lineage: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    statements_proven: bool = False
    broken_statements: tuple[BrokenStatement, ...] = ()
    last_run: LastRun | None = None
    running: Running | None = None
    override: Override | None = None


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def observation(version_table: VersionTable | None = None) -> Observation:
    """Yield the statements that read the schema's state, and return an `Observed`, no statement proven."""
    table = version_table or VersionTable()
    database, role, exists, readable, ledger, others = (yield _facts(table))[0]
    revisions: tuple[str, ...] = ()
    lineage: dict[str, tuple[str, ...]] = {}
    last_run = None
    if readable:
        rows = yield f"SELECT version_num FROM {table.qualified}"
        revisions = tuple(sorted(row[0] for row in rows))
    if ledger:
        rows = yield (
            "SELECT DISTINCT ON (revision) revision, parents FROM "
            f"{table.beside(REVISION_TABLE)} ORDER BY revision, id DESC"
        )
        lineage = {row[0]: tuple(row[1]) for row in rows}
        rows = yield f"SELECT command, result FROM {table.beside(RUN_TABLE)} ORDER BY id DESC LIMIT 1"
        last_run = LastRun(*rows[0]) if rows else None
    return Observed(
        database=database,
        role=role,
        has_version_table=bool(exists),
        version_table_readable=bool(readable),
        has_other_tables=bool(others),
        revisions=revisions,
        lineage=lineage,
        last_run=last_run,
    )


def _facts(table: VersionTable) -> str:
    own = ", ".join(literal(name) for name in (table.name, REVISION_TABLE, RUN_TABLE))
    schema = "current_schema()" if table.schema is None else literal(table.schema)
    ledger = (_readable(table, name) for name in (REVISION_TABLE, RUN_TABLE))
    # Tables that belong to an extension say nothing about this application.
    return f"""
        SELECT current_database()::text, current_user::text,
               {_oid(table, table.name)} IS NOT NULL,
               {_readable(table, table.name)},
               {" AND ".join(ledger)},
               EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p') AND c.relname NOT IN ({own})
                         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                         AND d.objid = c.oid AND d.deptype = 'e'))
    """


def _oid(table: VersionTable, name: str) -> str:
    """SQL for a table's oid, or NULL. In a schema that the role may not use, to_regclass would be an error."""
    if table.schema is None:
        return f"to_regclass({literal(quote(name))})::oid"
    namespace = f"(SELECT oid FROM pg_namespace WHERE nspname = {literal(table.schema)})"
    return f"(SELECT oid FROM pg_class WHERE relname = {literal(name)} AND relnamespace = {namespace})"


def _readable(table: VersionTable, name: str) -> str:
    oid = _oid(table, name)
    schema = f"(SELECT relnamespace FROM pg_class WHERE oid = {oid})"
    return f"coalesce(has_schema_privilege({schema}, 'USAGE') AND has_table_privilege({oid}, 'SELECT'), false)"


def proof(statements: Mapping[str, str]) -> Generator[str, Rows, tuple[BrokenStatement, ...]]:
    """Yield what proves `statements` (name to SQL, with $1-style parameters), and return the broken ones.

    As the role of the session, each is prepared, which finds missing tables and columns, and explained, which
    finds missing privileges. Nothing is executed. A fault that says nothing of the statement, such as a lock
    timeout, goes on to the caller.
    """
    broken = []
    for name, sql in statements.items():
        try:
            yield f"PREPARE migration_gate_proof AS {sql}"
        except SqlFault as fault:
            broken.append(_broken(name, fault))
            continue
        try:
            yield from _explain()
        except SqlFault as fault:
            yield _DEALLOCATE
            broken.append(_broken(name, fault))
        else:
            yield _DEALLOCATE
    return tuple(broken)


_DEALLOCATE = "DEALLOCATE migration_gate_proof"


def _explain() -> Generator[str, Rows, None]:
    parameters = yield (
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'migration_gate_proof'"
    )
    nulls = ", ".join(["NULL"] * parameters[0][0])
    yield f"EXPLAIN EXECUTE migration_gate_proof{f'({nulls})' if nulls else ''}"


def _broken(name: str, fault: SqlFault) -> BrokenStatement:
    """Only classes 42 (unknown object, no privilege) and 3F (no such schema) speak of the statement."""
    if fault.sqlstate[:2] not in {"42", "3F"}:
        raise fault
    return BrokenStatement(name, fault.sqlstate, fault.message)
