"""A database that was not made by these migrations, or is not the one that was meant."""

from __future__ import annotations

from pathlib import Path

from tests.databases import EMPTY_TEMPLATE, Server
from tests.migration_gate.failures.ferries import LEAVES_INDEX, SAILINGS, Ferries
from tests.migration_gate.failures.mending import commands_in, run_printed, solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed

_CREATE_ALL = """\
import os, sqlalchemy as sa
from models import metadata
from migration_gate.postgres.url import sqlalchemy_url
engine = sa.create_engine(sqlalchemy_url(os.environ["MIGRATION_DATABASE_URL"]))
metadata.create_all(engine)
with engine.begin() as connection:
    connection.execute(sa.text(
        "CREATE VIEW ferry.departure AS SELECT name, leaves FROM ferry.sailing JOIN ferry.quay ON code = quay"
    ))
"""


def _create_all(ferries: Ferries) -> None:
    """What people do before they know of migrations."""
    script = ferries.folder / "create_all.py"
    script.write_text(_CREATE_ALL)
    succeed(ferries.python(str(script)))
    ferries.database.execute("INSERT INTO ferry.quay VALUES ('ORK', 'Orkney'), ('SKY', 'Skye')")
    ferries.sail()


def test_05_tables_that_create_all_made(ferries: Ferries) -> None:
    _create_all(ferries)
    before = ferries.everything()

    verdict = ferries.verdict()
    refused = ferries.gate("upgrade")

    assert (verdict["state"], verdict["servable"], verdict["upgradable"]) == ("unversioned", True, False)
    assert refused.returncode == 3
    assert "the schema's state is unversioned" in refused.stderr
    assert commands_in(verdict["solution"])[0] == ["migration-gate", "ledger", "baseline"]
    assert ask(ferries).status == 200
    assert ferries.everything() == before

    run_printed(ferries, verdict["solution"], "--scratch-url", ferries.database.admin_url)
    run_printed(ferries, verdict["solution"], which=-1)
    assert ferries.revisions() == [LEAVES_INDEX]
    assert_flows(ferries)


def test_05_tables_that_no_revision_makes_are_refused_with_what_differs(ferries: Ferries) -> None:
    _create_all(ferries)
    ferries.database.execute("ALTER TABLE ferry.quay DROP COLUMN name CASCADE")
    before = ferries.everything()

    refused = ferries.gate("ledger", "baseline", "--scratch-url", ferries.database.admin_url)

    assert refused.returncode == 3
    assert "column ferry.quay.name is gone" in refused.stderr
    assert ferries.everything() == before


def test_06_stamped_but_never_run(ferries: Ferries) -> None:
    succeed(ferries.alembic("upgrade", SAILINGS))
    ferries.sql("0dec", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    ferries.models('    sa.Column("deck", sa.Text),\n')
    succeed(ferries.alembic("stamp", "head"))

    verdict = ferries.verdict()
    answer = ask(ferries)

    assert (verdict["state"], verdict["database_revisions"]) == ("statement_broken", ["0dec"])

    assert (answer.status, answer.code) == (503, "statement_broken")
    assert "table:ferry.sailing: column sailing.deck does not exist (SQLSTATE 42703)" in answer.evidence
    assert "repair the table that the statement's error names" in answer.solution

    # The repair is a revision that makes what is lacking and leaves alone what is there.
    ferries.sql("4e9a", "0dec", "ALTER TABLE ferry.sailing ADD COLUMN IF NOT EXISTS deck text")
    succeed(ferries.gate("upgrade"))
    ferries.database.execute("INSERT INTO ferry.quay VALUES ('ORK', 'Orkney')")
    ferries.sail()
    assert_flows(ferries)


def test_07_another_projects_database(under_way: Ferries, tmp_path: Path, server: Server) -> None:
    """Two projects, each with its ledger; the address of one is given to the other."""
    succeed(under_way.gate("lock"))
    with server.database(EMPTY_TEMPLATE) as database:
        other = Ferries(tmp_path / "trains", database)
        other.write_history()
        succeed(other.gate("lock"))
        succeed(other.gate("upgrade"))
        theirs = {
            "MIGRATION_DATABASE_URL": database.migrator_url,
            "DATABASE_URL": database.app_url,
        }
        under_way.sql("d1ff", LEAVES_INDEX, "DROP TABLE ferry.sailing CASCADE")
        before = other.everything()

        verdict = under_way.verdict(**theirs)
        refused = under_way.gate("upgrade", **theirs)

        assert verdict["state"] == "wrong_database"
        assert f"database {database.name!r} keeps the ledger of project" in verdict["evidence"]
        assert ask(under_way, url=database.app_url).code == "wrong_database"
        assert refused.returncode == 3
        assert solution_in(refused.stderr) == verdict["solution"]
        assert other.everything() == before

    # DATABASE_URL is corrected.
    under_way.path("d1ff").unlink()
    assert_flows(under_way)


def _in_the_search_path(ferries: Ferries) -> None:
    """The shape in which the role's search_path, and not env.py, says where the version table is."""
    ferries.write_env("from migration_gate.environment import run\nfrom models import metadata\nrun(metadata)\n")


def _with_path(url: str, path: str) -> str:
    return f"{url}?options=-csearch_path%3D{path}"


def test_07_a_search_path_that_leads_elsewhere(ferries: Ferries) -> None:
    _in_the_search_path(ferries)
    database = ferries.database
    right = {"MIGRATION_DATABASE_URL": _with_path(database.migrator_url, "ferry")}
    succeed(ferries.alembic("upgrade", "head", **right))
    ferries.sail()
    before = ferries.everything()

    verdict = ferries.verdict()
    refused = ferries.gate("upgrade")

    assert verdict["state"] == "wrong_database"
    assert "this code's revisions are kept in schema 'ferry', where role 'taskmanager_migrator'" in verdict["evidence"]
    assert "the role's search_path" in verdict["solution"]
    assert ask(ferries).code == "wrong_database"
    assert refused.returncode == 3
    assert ferries.everything() == before

    assert ferries.verdict(**right)["state"] == "current"
    assert ask(ferries, url=_with_path(database.app_url, "ferry")).status == 200
