"""PostgreSQL in a container, of the image that the project's files name, and new databases on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from tests.containers.containers import Container, Containers
from tests.containers.engine import Engine
from tests.containers.stand_ins import named_images

# How containers on the same network find it.
ALIAS = "db"


@dataclass(frozen=True)
class PostgreSQL:
    """A server with the brief's user and password.

    address: HOST:PORT outside the containers.
    """

    container: Container
    address: str

    def outside_url(self, database: str) -> str:
        return f"postgresql://user:password@{self.address}/{database}"

    def create_database(self) -> str:
        """Make an empty database and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.outside_url("taskmanager"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return name


def postgresql_image() -> str:
    """The newest PostgreSQL that the project's files name."""
    return max(name for name in named_images() if name.startswith("postgres:"))


@contextmanager
def postgresql(
    engine: Engine, network: str, *arguments: str, options: tuple[str, ...] = (), within_s: float = 120
) -> Iterator[PostgreSQL]:
    """A server on `network`, ready, and gone in the end; `arguments` are postgres's own."""
    containers = Containers(engine, network)
    try:
        container = containers.start(
            postgresql_image(),
            *arguments,
            environment={"POSTGRES_USER": "user", "POSTGRES_PASSWORD": "password", "POSTGRES_DB": "taskmanager"},
            options=("--network-alias", ALIAS, *options),
            port=5432,
        )
        server = PostgreSQL(container, container.url.removeprefix("http://"))
        _wait_until_it_answers(server, within_s)
        yield server
    finally:
        containers.remove()


def _wait_until_it_answers(server: PostgreSQL, within_s: float) -> None:
    """The server of the image's own preparations has no port, so what answers here is the real one."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            return psycopg.connect(server.outside_url("taskmanager"), connect_timeout=2).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline or not server.container.state["Running"]:
                raise TimeoutError(server.container.logs) from None
            time.sleep(0.05)
