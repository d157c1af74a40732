"""A migration that takes something from the session that migrates, or leaves something in it."""

from __future__ import annotations

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import TITLE_INDEX, Project, runs, succeed, versions


@pytest.fixture
def library(project: Project) -> Project:
    """At the head, with a revision to come that notes how it finds the session."""
    succeed(project.alembic("upgrade", "head"))
    return project


_NOTES = (
    "CREATE TABLE found AS SELECT current_setting('client_connection_check_interval') AS client,"
    " current_setting('statement_timeout') AS statement, current_schema()::text AS schema"
)


_UNLOCK_ALL = "SELECT pg_advisory_unlock_all()"
_UNLOCK_BY_KEY = (
    "SELECT pg_advisory_unlock(classid::bigint << 32 | objid::bigint) FROM pg_locks"
    " WHERE pid = pg_backend_pid() AND locktype = 'advisory'"
)


@pytest.mark.parametrize("statement", [_UNLOCK_ALL, _UNLOCK_BY_KEY], ids=["all", "by its key"])
def test_a_revision_that_gives_the_lock_away_ends_the_run(
    library: Project, empty_database: Database, statement: str
) -> None:
    library.sql("1111", TITLE_INDEX, statement)
    library.sql("2222", "1111", _NOTES)

    ended = library.gate("upgrade")

    assert ended.returncode == 1
    assert "Revision 1111 gave the migration lock away" in ended.stderr
    assert "Solution: leave pg_advisory_unlock_all" in ended.stderr
    assert versions(empty_database) == ["1111"]
    assert runs(empty_database)[-1] == ("upgrade", "failed")
    succeed(library.gate("upgrade"))
    assert versions(empty_database) == ["2222"]


def test_what_guards_the_session_is_given_back_after_a_reset(library: Project, empty_database: Database) -> None:
    empty_database.execute(f"ALTER DATABASE {empty_database.name} SET statement_timeout = '7s'")
    library.sql("1111", TITLE_INDEX, "RESET ALL")
    library.sql("2222", "1111", _NOTES)

    succeed(library.alembic("upgrade", "head"))

    assert empty_database.execute("SELECT client, statement FROM found") == [("1s", "0")]


def test_a_search_path_that_is_left_to_later_revisions_is_told(library: Project, empty_database: Database) -> None:
    empty_database.execute("CREATE SCHEMA annex")
    library.sql("1111", TITLE_INDEX, "SET search_path TO annex, public")
    library.sql("2222", "1111", _NOTES)
    library.sql("3333", "2222", "SET LOCAL search_path TO public")

    said = succeed(library.gate("upgrade"))

    assert said.count("leaves search_path = annex, public to the revisions after it in this run") == 1
    assert "revision 1111 leaves" in said
    assert empty_database.execute("SELECT schema FROM annex.found") == [("annex",)]
