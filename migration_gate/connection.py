"""The migrator's connection: which database, what to do while it is not there, and what it sees."""

from __future__ import annotations

import logging
import os
import time
from typing import cast

from alembic.config import Config
from sqlalchemy import create_engine, pool
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from migration_gate.errors import DatabaseUnreachable, MigrationGateError
from migration_gate.ledger import migrator_name
from migration_gate.observe import Observed, observation
from migration_gate.postgres.faults import describe_connect
from migration_gate.postgres.url import UnusableUrl, masked_url, sqlalchemy_url
from migration_gate.tables import VersionTable

logger = logging.getLogger(__name__)


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
            _look_after_client(connection)
            return connection
        except DBAPIError as error:
            fault = describe_connect(error.orig or error)
            if not fault.transient or time.monotonic() - started >= deadline_s:
                raise DatabaseUnreachable(
                    f"{masked_url(engine.url.render_as_string())}: {fault.message}.",
                    transient=fault.transient,
                    solution=fault.solution,
                ) from None
            if not announced:
                announced = True
                logger.info("waiting for the database: %s", fault.message)
            time.sleep(0.25)


def engine_for(address: str) -> Engine:
    """An engine whose every connection is a session of its own, named after this process."""
    return create_engine(
        address,
        # A pool would keep the session, and with it the lock, after the connection is closed.
        poolclass=pool.NullPool,
        hide_parameters=True,
        connect_args={"application_name": migrator_name(), "connect_timeout": 5},
    )


def _look_after_client(connection: Connection) -> None:
    """Let the server notice within a second that a migrator was killed, end its statement and free its locks."""
    try:
        connection.exec_driver_sql("SET client_connection_check_interval = 1000")
        connection.commit()
    except DBAPIError:  # a server on a platform that cannot tell
        connection.rollback()


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
        url
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
    """What the database is, as this connection sees it. Leaves the transaction open."""
    observing = observation(table)
    sql = next(observing)
    while True:
        try:
            rows = connection.exec_driver_sql(sql).all()
            sql = observing.send([tuple(row) for row in rows])
        except StopIteration as end:
            return cast("Observed", end.value)
