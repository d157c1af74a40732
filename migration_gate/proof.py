"""What is believed of a migration: not that Alembic reported success, but what a new connection sees."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Connection, Engine

from migration_gate.catalog import Catalog, catalog
from migration_gate.connection import engine_for, prove_on, prove_statements, read, read_unless_locked
from migration_gate.errors import DatabaseUnreachable, ProofFailed
from migration_gate.observe import observation
from migration_gate.observed import BrokenStatement, Observed
from migration_gate.reading import SqlFault
from migration_gate.tables import IDENTITY_TABLE, VersionTable

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Statements:
    """The application's statements, name to SQL, and the address at which they are tried: the application's own."""

    address: str | None
    sql: Mapping[str, str]


_TRANSACTION_ID = "migration_gate_transaction_id"

# A session that refuses a statement for want of a privilege.
_INSUFFICIENT_PRIVILEGE = "42501"


def note_transactions(connection: Connection) -> None:
    """Note each transaction's id as it begins, for `refuse_lost_transaction`."""

    @event.listens_for(connection, "begin")
    def note(beginning: Connection) -> None:
        session: Any = beginning.connection.dbapi_connection
        if session is not None and not session.autocommit:
            beginning.info[_TRANSACTION_ID] = session.execute("SELECT txid_current()").fetchone()[0]


def refuse_lost_transaction(connection: Connection | None, step: Any) -> None:
    """Raise ProofFailed where a migration rolled its own transaction back.

    What it did before is lost, and the driver has silently begun another transaction, in which Alembic
    would record the revision all the same.
    """
    if connection is None:
        return
    began_as = connection.info[_TRANSACTION_ID]
    if connection.exec_driver_sql("SELECT txid_status(%s)", (began_as,)).scalar_one() == "aborted":
        raise ProofFailed(
            f"Revision {', '.join(step.up_revision_ids)} rolled back the transaction that it runs in:"
            " what it did is lost, and it was not recorded.",
            solution="remove ROLLBACK from it; op.get_bind().begin_nested() gives it a savepoint to go back to",
        )


def prove(
    engine: Engine, table: VersionTable, applied: tuple[str, ...], before: Observed, statements: Statements
) -> Catalog | None:
    """See the result on a new connection: what Alembic reports is not what others can read.

    A transaction that env.py left open, say, ends in exit code 0 and no tables at all. Returns the catalog that later
    looks are compared with.

    Raises
    ------
    ProofFailed: another revision, an index that this run left invalid, or a statement of the application that cannot
        run as its role.
    """
    with engine.connect() as fresh:
        seen: Observed = read(fresh, observation(table))
        fresh.rollback()
        left = live_catalog(fresh, table)
    if seen.revisions != applied:
        raise ProofFailed(
            f"Alembic reported {', '.join(applied) or 'no revision'} and a new connection sees"
            f" {', '.join(seen.revisions) or 'no revision'}: nothing was committed.",
            solution="look for a transaction that alembic/env.py or a migration opens and does not commit",
        )
    if invalid := sorted(set(seen.invalid_indexes) - set(before.invalid_indexes)):
        raise ProofFailed(
            f"The migrations left an index that no query uses: {', '.join(invalid)} is not valid. CREATE INDEX"
            " CONCURRENTLY IF NOT EXISTS takes the leftover of a failed build for the index.",
            solution=f"DROP INDEX CONCURRENTLY {invalid[0]}, then a revision that creates it without IF NOT EXISTS",
        )
    prove_statements_run(applied, statements)
    return left


def prove_statements_run(applied: tuple[str, ...], statements: Statements) -> None:
    """Raise ProofFailed where a statement of the application cannot run as its role."""
    if broken := broken_statements(statements):
        raise ProofFailed(
            f"The schema is at {', '.join(applied) or 'no revision'}, and the application cannot run on it:"
            f" {broken[0].name}: {broken[0].message} (SQLSTATE {broken[0].sqlstate})"
            + (f", and {len(broken) - 1} more" if len(broken) > 1 else ""),
            solution="GRANT the application's role what it needs (ALTER DEFAULT PRIVILEGES does so for tables to come)"
            if all(each.sqlstate == _INSUFFICIENT_PRIVILEGE for each in broken)
            else "a revision that makes what the statement needs, or code that does not need it",
        )


def live_catalog(connection: Connection, table: VersionTable) -> Catalog | None:
    """The objects of the schemas that the ledger watches, read in a transaction of its own.

    None where somebody holds a table locked: changes by hand are not told then until the next run.
    """
    schemas = connection.exec_driver_sql(f"SELECT schemas FROM {table.beside(IDENTITY_TABLE)}").scalar_one()
    found: Catalog | None = read_unless_locked(connection, catalog(schemas, table.name))
    connection.rollback()
    if found is None:
        logger.warning("a table is locked by another session: what this run leaves is not noted for later looks")
    return found


def broken_statements(statements: Statements, session: Connection | None = None) -> tuple[BrokenStatement, ...] | None:
    """The application's statements that its role cannot run; None where they could not be tried.

    `session` is where they are tried when they have no address: outside any transaction, in autocommit mode afterwards.
    """
    if not statements.sql or (statements.address is None and session is None):
        return None
    engine = None if statements.address is None else engine_for(statements.address)
    try:
        if engine is not None:
            return prove_statements(engine, statements.sql)
        assert session is not None  # noqa: S101  see above
        return prove_on(session, statements.sql)
    except (DatabaseUnreachable, SqlFault) as fault:
        # A migration job may stand where the application's address does not lead; the service proves them as well.
        logger.warning("the application's statements were not tried: %s", fault)
        return None
    finally:
        if engine is not None:
            engine.dispose()


def statements_of(models: Iterable[sa.MetaData]) -> dict[str, str]:
    """For each table what an ORM would select of it, and no row: it needs the table, its columns and the privileges."""
    # A named style, since the usual one doubles every percent sign.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    found = {}
    for metadata in models:
        for table in metadata.sorted_tables:
            if table.columns:
                select = sa.select(*table.columns).where(sa.false())
                compiled = select.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
                found[f"table:{table.fullname}"] = str(compiled)
    return found
