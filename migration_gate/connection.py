"""The migrator's connection: which database, what to do while it is not there, and what it sees."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, cast

import psycopg
from alembic.config import Config
from sqlalchemy import create_engine, event, make_url, pool
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate.catalog import LEDGER_WITH_CATALOG, drift
from migration_gate.errors import DatabaseUnreachable, MigrationGateError
from migration_gate.ledger import migrator_name
from migration_gate.observe import observation, standby_fault
from migration_gate.observed import BrokenStatement, Observed
from migration_gate.postgres.faults import describe_connect
from migration_gate.postgres.sqlstate import LOCK_NOT_AVAILABLE
from migration_gate.postgres.url import UnusableUrl, masked_url, sqlalchemy_url
from migration_gate.reading import SqlFault
from migration_gate.statement_proof import proof
from migration_gate.tables import VersionTable

logger = logging.getLogger(__name__)

# In `Config.attributes`: the database, whatever env.py and the environment say. For scratch databases.
ADDRESS_ATTRIBUTE = "migration_gate.address"

# How long either end of a connection may hear nothing of the other, not even of its kernel. Shorter, and a network that
# stumbles would end a migration of hours; longer, and the locks of one that is lost would hold up traffic.
UNHEARD_S = 15
GUARDING_SETTINGS = {
    "client_connection_check_interval": 1000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 5,
    # What was sent and is not acknowledged is not asked after by keepalives.
    "tcp_user_timeout": UNHEARD_S * 1000,
}
# libpq's words for the same on this side, so that a migrator that lost its session does not wait for it for ever.
_CLIENT_GIVES_UP = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "5",
    "tcp_user_timeout": str(UNHEARD_S * 1000),
}

# For the transaction alone, since through a pooler the session is not this one's to keep.
_PROOF_BEGINS = "BEGIN; SET LOCAL lock_timeout = '500ms'"


def connect(engine: Engine, deadline_s: float) -> Connection:
    """A connection outside any transaction, waiting for a server that does not accept sessions yet.

    Raises
    ------
    DatabaseUnreachable: at the deadline, or at once where waiting would change nothing.
    """
    started = time.monotonic()
    announced = False
    while True:
        try:
            connection = engine.connect()
            _refuse_standby(connection)
            return connection
        except (DBAPIError, DatabaseUnreachable) as error:
            fault = error if isinstance(error, DatabaseUnreachable) else describe_connect(error.orig or error)
            if not fault.transient or time.monotonic() - started >= deadline_s:
                raise DatabaseUnreachable(
                    f"{masked_url(engine.url.render_as_string())}: {fault.message}.",
                    transient=fault.transient,
                    rung=fault.rung,
                    solution=fault.solution,
                ) from None
            if not announced:
                announced = True
                logger.info("waiting for the database: %s", fault.message)
            time.sleep(0.25)


def engine_for(address: str) -> Engine:
    """An engine whose every connection is a session of its own, named after this process, and looked after."""
    url = make_url(address)
    engine = create_engine(
        url,
        # A pool would keep the session, and with it the lock, after the connection is closed.
        poolclass=pool.NullPool,
        hide_parameters=True,
        connect_args={"application_name": migrator_name()}
        | {name: value for name, value in _CLIENT_GIVES_UP.items() if name not in url.query},
    )

    @event.listens_for(engine, "connect")
    def look_after(session: Any, _: object) -> None:
        if is_pooled(session):
            # A pooler's sessions are lent to others, who would find there what was set or prepared here.
            session.prepare_threshold = None
        else:
            look_after_client(session)

    return engine


def is_pooled(session: psycopg.Connection[Any]) -> bool:
    """Whether somebody stands between this connection and the server's session. Leaves no transaction open.

    PostgreSQL tells each client the number of its session; a pooler makes up a number of its own.
    """
    row = session.execute("SELECT pg_backend_pid()").fetchone()
    session.rollback()
    return row is None or row[0] != session.info.backend_pid


def look_after_client(session: psycopg.Connection[Any]) -> None:
    """Let the server notice that its client is gone, end its statement and free its locks.

    A client that was killed is noticed within a second or two, one that the network has swallowed within about
    `UNHEARD_S` seconds, whether the session is at work, waits for its client, or has an answer to deliver. Otherwise
    the operating system decides, and keeps a silent connection for two hours.
    """
    for name, value in GUARDING_SETTINGS.items():
        try:
            session.execute(f"SET {name} = {value}")
            session.commit()
        except psycopg.Error:  # a server on a platform that cannot tell
            session.rollback()


def _refuse_standby(connection: Connection) -> None:
    standby = connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one()
    connection.rollback()
    if standby:
        connection.close()
        raise standby_fault()


def address_of(config: Config, url: str | None) -> str:
    """The database's address as SQLAlchemy takes it: `url`, else the variables, else the configuration.

    Raises
    ------
    MigrationGateError: none is named, or it is not PostgreSQL's.
    """
    found = address_if_named(config, url)
    if found is None:
        raise MigrationGateError(
            "No database is named.",
            solution="set DATABASE_URL (or MIGRATION_DATABASE_URL), for example"
            " export DATABASE_URL=postgresql://USER:PASSWORD@localhost:5432/DATABASE",
        )
    return found


def address_if_named(config: Config, url: str | None) -> str | None:
    """The same, or None where no database is named."""
    found = (
        config.attributes.get(ADDRESS_ATTRIBUTE)
        or url
        or os.environ.get("MIGRATION_DATABASE_URL")
        or os.environ.get("DATABASE_URL")
        or config.get_main_option("sqlalchemy.url")
    )
    if not found:
        return None
    try:
        return sqlalchemy_url(found)
    except UnusableUrl as error:
        raise MigrationGateError(str(error)) from None


def observe(connection: Connection, table: VersionTable) -> Observed:
    """What the database is, as this connection sees it, drift included. Leaves the transaction open."""
    observed: Observed = read(connection, observation(table))
    # What a revision that stopped halfway has done is no change by hand.
    if observed.ledger_format >= LEDGER_WITH_CATALOG and not observed.unfinished:
        observed = replace(observed, drift=read_unless_locked(connection, drift(table)))
    return observed


def read_unless_locked(connection: Connection, reading: Generator[str, Any, Any]) -> Any:
    """Like `read`; None, with the transaction ended, where somebody works on a table that must be looked at."""
    try:
        return read(connection, reading)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        connection.rollback()
        return None


def read(connection: Connection, reading: Generator[str, Any, Any]) -> Any:
    """Run one of the gate's readings that expect no refusal, and return its result. Leaves the transaction open."""
    sql = next(reading)
    while True:
        try:
            sql = reading.send([tuple(row) for row in connection.exec_driver_sql(sql).all()])
        except StopIteration as end:
            return end.value


def prove_statements(engine: Engine, statements: Mapping[str, str]) -> tuple[BrokenStatement, ...]:
    """Those of `statements` (name to SQL) that the role of `engine` cannot run, tried on a session of its own.

    Raises
    ------
    DatabaseUnreachable: no session could be had.
    SqlFault: PostgreSQL refused for a reason that says nothing of the statement, such as a lock.
    """
    with connect(engine, 0.0) as connection:
        return prove_on(connection, statements)


def prove_on(connection: Connection, statements: Mapping[str, str]) -> tuple[BrokenStatement, ...]:
    """The same, on a connection outside any transaction, which is in autocommit mode from now on.

    Raises
    ------
    SqlFault: as above.
    """
    connection.execution_options(isolation_level="AUTOCOMMIT")
    session = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
    proving = proof(statements)
    sql = next(proving)
    while True:
        try:
            try:
                cursor = session.execute(_PROOF_BEGINS if sql == "BEGIN" else sql.encode())
            except psycopg.Error as error:
                sql = proving.throw(SqlFault(error.sqlstate or "", error.diag.message_primary or ""))
            else:
                sql = proving.send(cursor.fetchall() if cursor.description else [])
        except StopIteration as end:
            return cast("tuple[BrokenStatement, ...]", end.value)
