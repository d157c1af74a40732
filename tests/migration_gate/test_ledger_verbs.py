"""What people say to the ledger: baseline, accept, override, leave."""

from __future__ import annotations

import json

import psycopg
import pytest

from migration_gate.tables import LEDGER_TABLES
from tests.databases import Database
from tests.migration_gate.conftest import ScratchServer
from tests.migration_gate.scratch import (
    BOOK,
    HISTORY,
    SHELF,
    TITLE_INDEX,
    Project,
    applied,
    sessions,
    succeed,
    tables,
    until,
    versions,
)


def _found(project: Project) -> set[str]:
    return {finding["state"] for finding in json.loads(project.gate("status", "--json").stdout)["findings"]}


def _scratch(database: Database) -> tuple[str, str]:
    return "--scratch-url", database.admin_url


def _without_ledger(project: Project, database: Database) -> None:
    """A database as a project has it that migrated without the gate."""
    succeed(project.alembic("upgrade", "head"))
    database.execute(f"DROP TABLE {', '.join(sorted(LEDGER_TABLES))}")


def test_a_history_without_ledger_is_taken_in_by_comparison(project: Project, empty_database: Database) -> None:
    _without_ledger(project, empty_database)

    told = succeed(project.gate("ledger", "baseline", *_scratch(empty_database)))

    assert f"the schema is what the migrations make at {TITLE_INDEX}" in told
    assert applied(empty_database) == [(revision, "baseline") for revision in HISTORY]
    assert project.gate("status").returncode == 0
    empty_database.execute("ALTER TABLE book ADD COLUMN isbn text")
    assert _found(project) == {"drifted"}


def test_tables_that_create_all_made_are_placed_where_the_migrations_make_them(
    project: Project, empty_database: Database
) -> None:
    _without_ledger(project, empty_database)
    empty_database.execute("DROP TABLE alembic_version")
    empty_database.execute("DROP INDEX book_title")
    assert _found(project) == {"unversioned"}

    succeed(project.gate("ledger", "baseline", *_scratch(empty_database)))

    assert versions(empty_database) == [BOOK]
    succeed(project.gate("upgrade"))
    assert versions(empty_database) == [TITLE_INDEX]


def test_a_schema_that_no_revision_makes_is_refused_with_what_differs(
    project: Project, empty_database: Database
) -> None:
    _without_ledger(project, empty_database)
    empty_database.execute("ALTER TABLE book DROP COLUMN title")

    refused = project.gate("ledger", "baseline", *_scratch(empty_database))

    assert refused.returncode == 3
    assert "column public.book.title is gone" in refused.stderr
    assert not LEDGER_TABLES & tables(empty_database)


def test_revisions_that_make_the_same_schema_are_asked_about(project: Project, empty_database: Database) -> None:
    project.sql("data", TITLE_INDEX, "UPDATE book SET title = upper(title)")
    _without_ledger(project, empty_database)
    empty_database.execute("DROP TABLE alembic_version")

    refused = project.gate("ledger", "baseline", *_scratch(empty_database))
    assert refused.returncode == 3
    assert f"make this very schema at {TITLE_INDEX} and at data" in refused.stderr

    succeed(project.gate("ledger", "baseline", "--revision", "data", *_scratch(empty_database)))
    assert versions(empty_database) == ["data"]


def test_the_scratch_database_is_gone_afterwards(
    project: Project, empty_database: Database, scratch_server: ScratchServer
) -> None:
    _without_ledger(project, empty_database)
    succeed(project.gate("ledger", "baseline", "--scratch-url", scratch_server.url))

    assert scratch_server.databases() == set()


def test_a_role_that_may_make_no_database_is_told_to_name_a_server(project: Project, empty_database: Database) -> None:
    _without_ledger(project, empty_database)

    failed = project.gate("ledger", "baseline")

    assert failed.returncode == 1
    assert "permission denied to create database" in failed.stderr
    assert "--scratch-url URL" in failed.stderr


def test_drift_stops_upgrades_until_it_is_undone_or_accepted(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    empty_database.execute("ALTER TABLE book ADD COLUMN isbn text")
    project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")

    refused = project.gate("upgrade")
    assert refused.returncode == 3
    assert "column public.book.isbn was added: text" in refused.stderr
    assert "migration-gate ledger accept" in refused.stderr

    succeed(project.gate("ledger", "accept", "--reason", "a hotfix of tonight"))
    succeed(project.gate("upgrade"))
    assert versions(empty_database) == ["1111"]


def test_an_edited_file_stops_upgrades_until_it_is_restored_or_accepted(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    path = project.migrations / "versions" / f"{BOOK}.py"
    path.write_text(path.read_text().replace("title text", "title varchar"))
    project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")

    refused = project.gate("upgrade")
    assert refused.returncode == 3
    assert "schema's state is tampered" in refused.stderr
    assert f"{BOOK}.py (revision {BOOK}, applied " in refused.stderr

    told = succeed(project.gate("ledger", "accept", "--reason", "the same type"))
    assert f"the files of {BOOK}" in told
    succeed(project.gate("upgrade"))
    assert (BOOK, "accept") in applied(empty_database)


def test_an_override_lets_traffic_through_and_ends(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", SHELF))
    assert project.gate("status").returncode == 3

    succeed(project.gate("ledger", "override", "--for", "10m", "--reason", "the shop must open"))

    status = project.gate("status", "--json")
    verdict = json.loads(status.stdout)
    assert (status.returncode, verdict["state"], verdict["servable"]) == (0, "behind", True)
    assert verdict["override"]["reason"] == "the shop must open"
    assert "the shop must open" in project.gate("status").stdout

    succeed(project.gate("ledger", "override", "--end", "--reason", "mended"))
    assert project.gate("status").returncode == 3
    assert empty_database.execute("SELECT count(*) FROM migration_gate_override") == [(2,)]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--for", "soon", "--reason", "x"), "'soon' is no duration"),
        (("--for", "8d", "--reason", "x"), "a week at most"),
        (("--for", "5m", "--reason", " "), "needs a reason"),
        (("--for", "5m"), "--reason"),
    ],
)
def test_an_override_that_says_too_little_or_too_much_is_refused(
    project: Project, arguments: tuple[str, ...], told: str
) -> None:
    refused = project.gate("ledger", "override", *arguments)

    assert refused.returncode in {1, 2}
    assert told in refused.stderr


def test_leaving_drops_the_ledger_and_nothing_else(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))

    assert project.gate("ledger", "leave").returncode == 2
    assert tables(empty_database) >= LEDGER_TABLES

    succeed(project.gate("ledger", "leave", "--yes"))
    assert tables(empty_database) == {"alembic_version", "shelf", "book"}
    assert versions(empty_database) == [TITLE_INDEX]


def test_the_ledger_is_shown_to_people_and_machines(project: Project) -> None:
    succeed(project.alembic("upgrade", "head", MIGRATION_GATE_RELEASE="2026.11"))

    text = succeed(project.gate("ledger", "show"))
    document = json.loads(project.gate("ledger", "show", "--json").stdout)

    assert "upgrade   succeeded" in text
    assert "release 2026.11" in text
    assert [row["revision"] for row in document["revisions"]] == list(reversed(HISTORY))
    assert {row["phase"] for row in document["revisions"]} == {"expand"}
    assert document["runs"][0]["planned"] == list(HISTORY)
    assert "catalog" not in document["runs"][0]


def test_a_database_without_ledger_has_nothing_to_show(project: Project) -> None:
    refused = project.gate("ledger", "show")

    assert refused.returncode == 3
    assert "keeps no ledger yet" in refused.stderr


def test_the_glass_can_be_broken_while_a_migration_holds_the_lock(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    project.sql("1111", TITLE_INDEX, "ALTER TABLE book ADD COLUMN year int")
    with psycopg.connect(empty_database.migrator_url) as reader:
        reader.execute("SELECT FROM book")
        with project.running("alembic", "upgrade", "head") as migrating:
            until(lambda: sessions(empty_database, "query LIKE 'ALTER TABLE book%' AND wait_event_type = 'Lock'"))

            succeed(project.gate("ledger", "override", "--for", "5m", "--reason", "the shop must open"))
            told = json.loads(project.gate("status", "--json").stdout)

            reader.rollback()
            migrating.communicate(timeout=60)
    assert migrating.returncode == 0
    assert (told["state"], told["servable"]) == ("behind", True)
    assert told["override"]["reason"] == "the shop must open"
    assert (told["running"]["planned"], told["running"]["done"], told["running"]["revision"]) == (1, 0, "1111")
    assert told["last_run"]["result"] == "running"


def test_what_another_release_of_the_gate_counted_is_not_compared_until_the_next_run(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    empty_database.execute("ALTER TABLE book ADD COLUMN isbn text")
    assert _found(project) == {"drifted"}

    empty_database.execute("UPDATE migration_gate_run SET catalog = catalog - 'definition', catalog_checksum = 'older'")

    assert _found(project) == set()
    succeed(project.gate("ledger", "accept", "--reason", "a hotfix of tonight"))
    empty_database.execute("ALTER TABLE book ADD COLUMN year int")
    assert _found(project) == {"drifted"}
