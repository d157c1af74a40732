"""PostgreSQL names whom it does not admit by IP address; neither the log nor Sentry learns of it."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from stack.ports import LOOPBACK
from taskmanager.observability import logs
from tests.processes import Service, run
from tests.taskmanager.observability.capture import Capture
from tests.taskmanager.observability.refusing_postgres import RefusingPostgres, refusing_postgres
from tests.taskmanager.served_logs import json_lines

Serve = Callable[..., Service]

REFUSED = 'pg_hba.conf rejects connection for host "…"'


@pytest.fixture
def postgres() -> Iterator[RefusingPostgres]:
    with refusing_postgres() as postgres:
        yield postgres


def _addresses(text: str) -> list[str]:
    """The IP addresses in it, but for those of URLs, which are where we listen."""
    return re.findall(rf"(?<!//)(?<!@){re.escape(LOOPBACK)}", text)


def test_a_service_that_is_admitted_no_longer_tells_no_address(
    postgres: RefusingPostgres, serve: Serve, sentry: Capture
) -> None:
    service = serve(postgres.database, SENTRY_DSN=sentry.dsn, TASKMANAGER_LOG_FORMAT="json")
    service.wait_for("/tasks", 200)
    postgres.admit_no_longer("taskmanager_app")
    service.wait_for("/tasks", 503)

    event = sentry.wait_for_event("database_unavailable")

    assert REFUSED in str(event["exception"]["values"])
    assert _addresses(sentry.everything) == []
    assert json_lines(service)
    assert _addresses(service.log) == []


def test_a_migration_that_is_not_admitted_tells_no_address(postgres: RefusingPostgres, sentry: Capture) -> None:
    postgres.admit_no_longer("taskmanager_migrator")
    addresses = {
        "DATABASE_URL": postgres.database.app_url,
        "MIGRATION_DATABASE_URL": postgres.database.migrator_url,
        "TASKMANAGER_LOG_FORMAT": "json",
    }

    done = run(sys.executable, "-m", "taskmanager", "migrate", env=addresses | {"SENTRY_DSN": sentry.dsn})

    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "pg_hba.conf rejects connection for host" in said
    assert _addresses(said) == []
    assert "pg_hba.conf rejects connection for host" in sentry.everything
    assert _addresses(sentry.everything) == []


async def test_the_log_of_an_exception_tells_no_address(postgres: RefusingPostgres) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    logs.configure(as_json=True, level="info", stream=stream)
    try:
        postgres.admit_no_longer("taskmanager_app")
        try:
            await asyncpg.connect(postgres.database.app_url)
        except asyncpg.PostgresError:
            logging.getLogger("test").exception("failed")
    finally:
        root.handlers = handlers
        root.setLevel(level)

    assert 'pg_hba.conf rejects connection for host \\"…\\"' in stream.getvalue()
    assert "28000" in stream.getvalue()
    assert _addresses(stream.getvalue()) == []
