"""Databases of the run's PostgreSQL, made by copying a template: milliseconds each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

MIGRATED_TEMPLATE = "template_migrated"
EMPTY_TEMPLATE = "template_empty"


@dataclass(frozen=True)
class Database:
    """A database, and how the superuser, the application's and the migrator's role reach it."""

    name: str
    admin_url: str
    app_url: str
    migrator_url: str

    def execute(self, sql: str, *parameters: object) -> list[tuple[object, ...]]:
        """Run one statement as the migrator, and return its rows."""
        with psycopg.connect(self.migrator_url, autocommit=True) as connection:
            cursor = connection.execute(sql, parameters or None)
            return cursor.fetchall() if cursor.description else []


@dataclass(frozen=True)
class Server:
    """The PostgreSQL of a run. The role URLs end where a database's name goes."""

    admin_url: str
    app_url: str
    migrator_url: str

    @contextmanager
    def database(self, template: str) -> Iterator[Database]:
        """A copy of `template` that is dropped afterwards, whoever is still connected to it."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER taskmanager_migrator")
        try:
            yield Database(
                name,
                self.admin_url.rsplit("/", 1)[0] + f"/{name}",
                self.app_url + name,
                self.migrator_url + name,
            )
        finally:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
