"""A database that is made for one purpose and dropped afterwards, on a server where the role may make one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.url import UnusableUrl, masked_url, on_same_server, plain_url

MOST_ATTEMPTS = 5


@contextmanager
def scratch_database(url: str, purpose: str, *, named_by: str = "--scratch-url") -> Iterator[str]:
    """The address (`postgresql://…`) of a new, empty database; dropped at the end, whoever is still connected to it.

    Parameters
    ----------
    url: a database of the server, in any form in which people write it.
    purpose: a word that its name holds, for whoever finds one that a killed process left: `migration_gate_PURPOSE_…`.
    named_by: how another server is named where this one will not do.

    Raises
    ------
    MigrationGateError: the server cannot be reached, or the role may not make a database.
    """
    try:
        server = plain_url(url)
    except UnusableUrl as error:
        raise MigrationGateError(str(error)) from None
    name = f"migration_gate_{purpose}_{secrets.token_hex(6)}"
    try:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            # From template1 none can be made while anybody is connected to that.
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    except psycopg.Error as error:
        said = " ".join(str(error).split())
        raise MigrationGateError(
            f"No scratch database could be made at {masked_url(server)}: {said}",
            solution=f"name a server in {named_by} URL whose role may create databases (ALTER ROLE … CREATEDB)",
        ) from None
    try:
        yield on_same_server(server, name)
    finally:
        with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
            drop_database(connection, name)


def drop_database(server: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is connected to it; no error where there is none.

    Autovacuum may be at work in it, and who is no superuser may not end that: it ends by itself.
    """
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(MOST_ATTEMPTS - 1):
        try:
            server.execute(statement)
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectInUse):
            time.sleep(1)
        else:
            return
    server.execute(statement)
