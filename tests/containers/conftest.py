"""One engine, one network and one PostgreSQL for the run; a database and containers of its own for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from tests.containers.containers import Containers
from tests.containers.engine import INSIDE, Engine, find_engine
from tests.containers.postgresql import ALIAS, PostgreSQL, postgresql

# They need an engine and half a minute of building before: `make containers` runs them, and `make test` does not.
collect_ignore_glob = [] if os.environ.get(INSIDE) else ["test_*.py"]

_SOCKETS = "/var/run/postgresql"


@dataclass(frozen=True)
class ContainerDatabase:
    """A database of one test: where containers find it, and where the test does."""

    url: str
    """For containers on the tests' network."""

    outside_url: str

    socket_url: str
    """For containers that have the server's socket, by `socket_volume`: as if it were on their own machine."""

    @property
    def development(self) -> dict[str, str]:
        """The variables of a service for which this server, without TLS and with a known password, is good enough."""
        return {"DATABASE_URL": self.url, "TASKMANAGER_ENV": "development"}

    def execute(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.outside_url, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="session")
def engine() -> Engine:
    engine = find_engine()
    assert engine.is_for_running, "run them by: python -m tests.containers.engine exec -- …"
    return engine


@pytest.fixture(scope="session")
def network(engine: Engine) -> Iterator[str]:
    name = f"taskmanager-tests-{uuid.uuid4().hex[:8]}"
    engine.run("network", "create", name)
    try:
        yield name
    finally:
        engine.run("network", "rm", name)


@pytest.fixture(scope="session")
def socket_volume(engine: Engine) -> Iterator[str]:
    """A volume with the database server's socket, for `--volume NAME:/var/run/postgresql`."""
    name = engine.output("volume", "create")
    try:
        yield name
    finally:
        engine.run("volume", "rm", name)


@pytest.fixture(scope="session")
def database_server(engine: Engine, network: str, socket_volume: str) -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests, fast and not durable."""
    options = ("--tmpfs", "/var/lib/postgresql", "--volume", f"{socket_volume}:{_SOCKETS}")
    with postgresql(engine, network, *("-c", "fsync=off", "-c", "max_connections=300"), options=options) as server:
        yield server


@pytest.fixture
def database(database_server: PostgreSQL) -> ContainerDatabase:
    """An empty database of this test alone."""
    name = database_server.create_database()
    return ContainerDatabase(
        url=f"postgresql://user:password@{ALIAS}:5432/{name}",
        outside_url=database_server.outside_url(name),
        socket_url=f"postgresql://user:only-of-this-test@/{name}?host={_SOCKETS}",
    )


@pytest.fixture
def containers(engine: Engine, network: str) -> Iterator[Containers]:
    containers = Containers(engine, network)
    try:
        yield containers
    finally:
        containers.remove()
