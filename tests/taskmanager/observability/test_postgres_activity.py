"""What the server says of itself, seen by a role that has no privilege for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.scraped import scraped_until, value
from tests.taskmanager.postgres_proxy import PostgresProxy

Serve = Callable[..., Service]

PREFIX = "taskmanager_postgres_"

# What stands in the path before pg_catalog is found before it. A sequence keeps its count when a statement is given up.
SLOW_SIZE = (
    "CREATE SCHEMA slow",
    "GRANT USAGE ON SCHEMA slow TO public",
    "CREATE SEQUENCE slow.asked",
    """
    CREATE FUNCTION slow.pg_database_size(name) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    AS $$ BEGIN PERFORM nextval('slow.asked'); PERFORM pg_sleep(60); RETURN 1; END $$
    """,
)


def known(text: str, name: str) -> float:
    number = value(text, PREFIX + name)
    return math.nan if number is None else number


@pytest.fixture
def service(migrated_database: Database, serve: Serve) -> Service:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    scraped_until(service, lambda text: known(text, "connections") > 0)
    return service


def test_sessions_are_counted_up_to_what_the_server_grants(service: Service, migrated_database: Database) -> None:
    before = service.get("/metrics").text
    (granted,) = migrated_database.execute(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true)::int, 0)"
    )
    assert known(before, "connections_max") == granted[0]

    with psycopg.connect(migrated_database.migrator_url), psycopg.connect(migrated_database.migrator_url):
        # Other tests use the server too, so it is asked itself.
        (sessions,) = migrated_database.execute("SELECT count(usesysid) - 1 FROM pg_stat_activity")
        scraped_until(service, lambda text: abs(known(text, "connections") - int(str(sessions[0]))) <= 3)
    assert known(before, "database_size_bytes") > 1_000_000


def test_who_waits_for_a_lock_is_seen_and_no_longer_once_the_lock_is_free(
    service: Service, migrated_database: Database
) -> None:
    with psycopg.connect(migrated_database.migrator_url) as holder:
        holder.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        waiter = threading.Thread(target=lambda: migrated_database.execute("SELECT count(*) FROM tasks"))
        waiter.start()
        scraped_until(service, lambda text: known(text, "lock_waiters") >= 1)
    waiter.join(10)
    scraped_until(service, lambda text: known(text, "lock_waiters") == 0)


def test_another_roles_idle_transaction_is_seen_and_ages(service: Service, migrated_database: Database) -> None:
    with psycopg.connect(migrated_database.migrator_url) as idle:
        idle.execute("SELECT 1")
        began = time.monotonic()
        text = scraped_until(service, lambda text: known(text, "longest_transaction_seconds") > 4)
        assert known(text, "longest_transaction_seconds") <= time.monotonic() - began + 2


def test_deadlocks_are_counted_from_what_the_server_says(service: Service, migrated_database: Database) -> None:
    before = scraped_until(service, lambda text: known(text, "deadlocks_total") >= 0)
    migrated_database.execute(
        "INSERT INTO tasks (title, description, status) VALUES ('a', '', 'todo'), ('b', '', 'todo')"
    )
    ids = [row[0] for row in migrated_database.execute("SELECT id FROM tasks ORDER BY id")]
    meeting = threading.Barrier(2)

    def cross(first: object, second: object) -> None:
        with psycopg.connect(migrated_database.migrator_url) as session:
            session.execute("UPDATE tasks SET title = title WHERE id = %s", (first,))
            meeting.wait()
            try:
                session.execute("UPDATE tasks SET title = title WHERE id = %s", (second,))
            except psycopg.errors.DeadlockDetected:
                session.rollback()

    crossing = [threading.Thread(target=cross, args=pair) for pair in (ids[:2], ids[1::-1])]
    for thread in crossing:
        thread.start()
    for thread in crossing:
        thread.join(20)

    scraped_until(service, lambda text: known(text, "deadlocks_total") == known(before, "deadlocks_total") + 1)


def test_while_the_server_is_away_nothing_old_is_told_as_if_it_were_new(
    migrated_database: Database, serve: Serve
) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(proxy.database)
        service.wait_for("/tasks", 200)
        scraped_until(service, lambda text: known(text, "connections") > 0)
        proxy.fall_silent()
        text = scraped_until(service, lambda text: math.isnan(known(text, "connections")))
        for name in ("connections_max", "lock_waiters", "longest_transaction_seconds", "database_size_bytes"):
            assert math.isnan(known(text, name)), name
        # A counter that is taken away and comes back would look like a restart of the server.
        assert known(text, "deadlocks_total") >= 0
        proxy.restore()
        scraped_until(service, lambda text: known(text, "connections") > 0)
    assert service.log.count("activity cannot be read") == 1


def test_a_size_that_takes_too_long_to_read_costs_itself_alone_and_is_not_asked_for_at_every_look(
    migrated_database: Database, serve: Serve
) -> None:
    for statement in SLOW_SIZE:
        migrated_database.execute(statement)
    with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {migrated_database.name} SET search_path = public, slow, pg_catalog")
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    with psycopg.connect(migrated_database.migrator_url) as idle:
        idle.execute("SELECT 1")
        text = scraped_until(service, lambda text: known(text, "longest_transaction_seconds") > 5)

    assert known(text, "connections") > 0
    assert math.isnan(known(text, "database_size_bytes"))
    assert migrated_database.execute("SELECT last_value, is_called FROM slow.asked") == [(1, True)]
    assert service.log.count("size cannot be read") == 1
