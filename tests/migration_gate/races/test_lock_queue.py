"""A reader that holds a table, a migration that needs it, and innocent readers who come meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.databases import Database
from tests.migration_gate.races.bookshop import base_project
from tests.migration_gate.races.traffic import Traffic, read
from tests.migration_gate.scratch import PLAIN_ENV, Project, sessions, succeed, until, versions

pytestmark = pytest.mark.timeout(300)

LOCK_TIMEOUT_S = 1.0
TRIES = 3
STALL_S = 6.0

# For threads that are not scheduled in time on a machine with other work.
SLACK_S = 2.0

_ALTER = 'op.execute("ALTER TABLE book ADD COLUMN printed int")'
_IMPATIENT_ENV = f"""\
from migration_gate.environment import run
from models import metadata

run(metadata, lock_timeout="{LOCK_TIMEOUT_S * 1000:.0f}ms", retry_s=120)
"""


@pytest.fixture
def shop(tmp_path: Path, empty_database: Database) -> Project:
    project = base_project(tmp_path / "shop", empty_database.migrator_url)
    succeed(project.alembic("upgrade", "head"))
    project.revision("beef", "f00d", _ALTER)
    return project


@contextmanager
def _holding(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that has read the table and not ended its transaction."""
    with psycopg.connect(url, application_name="nightly report") as connection:
        connection.execute("SELECT title FROM book WHERE title = 'Lady Susan, a secret' AND id > 1234")
        yield connection


def test_innocent_readers_wait_for_no_longer_than_a_try_and_the_blocker_is_named(
    shop: Project, empty_database: Database
) -> None:
    shop.write_env(_IMPATIENT_ENV)
    said: list[str] = []
    flowed: list[int] = []
    with _holding(empty_database.migrator_url) as blocker, Traffic(empty_database.app_url, *[read] * 3) as innocent:
        until(lambda: innocent.done > 20)
        pid = blocker.info.backend_pid
        with shop.running("migration_gate", "upgrade") as migrating:
            assert migrating.stdout is not None
            while len(flowed) < TRIES:
                line = migrating.stdout.readline()
                assert line, "".join(said)
                said.append(line)
                if "trying again" in line:
                    # Between two tries the queue is empty: those who waited go on at once.
                    before = innocent.done
                    until(lambda: innocent.done > before + 20)  # noqa: B023
                    flowed.append(innocent.done - before)
            blocker.rollback()
            rest, _ = migrating.communicate(timeout=90)
            assert migrating.returncode == 0, "".join(said) + rest
    text = "".join(said)
    assert versions(empty_database) == ["beef"]
    assert innocent.errors == []
    assert innocent.longest_s <= LOCK_TIMEOUT_S + SLACK_S
    assert f"server process {pid} (nightly report, role taskmanager_migrator, idle in transaction for " in text
    assert "SELECT title FROM book WHERE title = ? AND id > ?" in text
    assert "secret" not in text
    assert "1234" not in text
    retries = empty_database.execute(
        "SELECT lock_retries >= %s FROM migration_gate_run ORDER BY id DESC LIMIT 1", TRIES
    )
    assert retries == [(True,)]
    print(
        f"{innocent.done} reads, the longest wait {innocent.longest_s:.2f} s with lock_timeout {LOCK_TIMEOUT_S:.0f} s"
    )
    print(*[line for line in said if "trying again" in line], sep="")


@pytest.mark.parametrize(
    ("sees_all", "told"),
    [
        (True, "role taskmanager_app, idle in transaction for "),
        (False, "role taskmanager_app; what it does is hidden"),
    ],
    ids=["as a role that sees all", "as one that does not"],
)
def test_of_a_blocker_of_another_role_is_told_what_may_be_seen_and_how_to_see_more(
    shop: Project, empty_database: Database, sees_all: bool, told: str
) -> None:
    shop.write_env(_IMPATIENT_ENV)
    url = empty_database.migrator_url if sees_all else _owner_without_statistics(empty_database)
    with (
        _holding(empty_database.app_url) as blocker,
        shop.running("migration_gate", "upgrade", MIGRATION_DATABASE_URL=url) as migrating,
    ):
        pid = blocker.info.backend_pid
        assert migrating.stdout is not None
        said = ""
        while "trying again" not in said:
            said = migrating.stdout.readline()
            assert said, "ended without a word about the table"
        blocker.rollback()
        rest, _ = migrating.communicate(timeout=90)
        assert migrating.returncode == 0, rest
    assert f"server process {pid} (nightly report, {told}" in said
    assert ("GRANT pg_read_all_stats" in said) == (not sees_all)
    assert "Lady Susan" not in said


def _owner_without_statistics(database: Database) -> str:
    """The address of a role that owns the shop's tables, and may not see what others do."""
    name = f"owner_of_{database.name}"
    with psycopg.connect(database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'books'".encode())
        admin.execute(
            f"GRANT CREATE ON DATABASE {database.name} TO {name}; GRANT ALL ON SCHEMA public TO {name}".encode()
        )
        for (table,) in admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            admin.execute(f"ALTER TABLE {table} OWNER TO {name}".encode())
    host = database.migrator_url.rpartition("@")[2]
    return f"postgresql://{name}:books@{host}"


def test_without_a_lock_timeout_everybody_stands_still(shop: Project, empty_database: Database) -> None:
    """The contrast, without which the measurement above could not be believed."""
    shop.write_env(PLAIN_ENV)
    with _holding(empty_database.migrator_url) as blocker, Traffic(empty_database.app_url, *[read] * 3) as innocent:
        until(lambda: innocent.done > 20)
        with shop.running("alembic", "upgrade", "head") as migrating:
            until(lambda: sessions(empty_database, "query LIKE 'ALTER TABLE book%' AND wait_event_type = 'Lock'"))
            time.sleep(STALL_S)
            blocker.rollback()
            assert migrating.wait(timeout=90) == 0
            before = innocent.done
            until(lambda: innocent.done > before)
    assert innocent.longest_s >= STALL_S - 1
    assert innocent.longest_s > LOCK_TIMEOUT_S + SLACK_S
    print(f"plain Alembic: the longest wait {innocent.longest_s:.2f} s of {STALL_S:.0f} s that the table was held")
