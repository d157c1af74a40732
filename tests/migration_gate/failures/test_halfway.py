"""Migrations that do a part of their work, or none of it and report success."""

from __future__ import annotations

import psycopg
import pytest

from tests.migration_gate.failures.ferries import LEAVES_INDEX, Ferries, told
from tests.migration_gate.failures.mending import execute_printed, run_printed, solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import sessions, succeed, until

DECK = "aa01"
BUILDING = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"

# The recipe that people copy: a lock on the connection first, and nobody commits.
_OPEN_TRANSACTION = """\
import os

import sqlalchemy as sa
from alembic import context
from migration_gate.postgres.url import sqlalchemy_url
from models import metadata

engine = sa.create_engine(sqlalchemy_url(os.environ["MIGRATION_DATABASE_URL"]), poolclass=sa.pool.NullPool)
with engine.connect() as connection:
    connection.execute(sa.text("SELECT pg_advisory_lock(42)"))
    context.configure(connection=connection, target_metadata=metadata, version_table_schema="ferry")
    with context.begin_transaction():
        context.run_migrations()
"""
_ROLLS_BACK = """\
op.execute("ALTER TABLE ferry.sailing ADD COLUMN deck text")
op.execute("ROLLBACK")
"""


def test_18_an_env_py_that_never_commits(under_way: Ferries) -> None:
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    env = under_way.migrations / "env.py"
    ours = env.read_text()
    before = under_way.everything()
    env.write_text(_OPEN_TRANSACTION)

    # Alembic itself reports success, and nothing is there.
    succeed(under_way.alembic("upgrade", "head"))
    assert under_way.everything() == before
    # The gate does not take its word for it, and runs no migration that it could not prove.
    told = under_way.verdict()
    assert (told["state"], told["missing"]) == ("behind", [DECK])
    refused = under_way.gate("upgrade")
    assert refused.returncode == 3
    assert "env.py does not go through the gate" in refused.stderr
    assert solution_in(refused.stderr).startswith(
        "let env.py import the models and end in migration_gate.environment.run"
    )
    assert under_way.everything() == before

    # The same env.py with the gate: a transaction of somebody else's is not the one that migrates.
    env.write_text(ours)
    run_printed(under_way, told["solution"])
    assert_flows(under_way)


def test_18_a_migration_that_rolls_its_own_transaction_back(under_way: Ferries) -> None:
    path = under_way.revision(DECK, LEAVES_INDEX, _ROLLS_BACK)

    failed = under_way.gate("upgrade")

    assert failed.returncode == 4
    assert f"Revision {DECK} rolled back the transaction that it runs in" in failed.stderr
    assert under_way.revisions() == [LEAVES_INDEX]
    assert solution_in(failed.stderr).startswith("remove ROLLBACK from it")
    assert under_way.verdict()["state"] == "behind"

    path.write_text(path.read_text().replace('    op.execute("ROLLBACK")\n', ""))
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


_TWO_INDEXES = """\
op.execute("ALTER TABLE ferry.sailing ADD COLUMN deck text")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY sailing_deck ON ferry.sailing (deck)")
    op.execute("CREATE INDEX CONCURRENTLY sailing_quay ON ferry.sailing (quay)")
"""


def test_19_a_step_outside_a_transaction_that_was_cut_off(under_way: Ferries) -> None:
    under_way.revision(DECK, LEAVES_INDEX, _TWO_INDEXES)
    with psycopg.connect(under_way.database.migrator_url) as older:
        older.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        older.execute("SELECT count(*) FROM ferry.quay")
        with under_way.running("alembic", "upgrade", "head") as migrating:
            until(lambda: sessions(under_way.database, BUILDING), within_s=60)
            migrating.kill()
            migrating.wait(timeout=20)
        until(lambda: not sessions(under_way.database, BUILDING), within_s=60)

    finding = under_way.finding("incomplete")
    assert f"revision {DECK} stopped halfway: its statement 2 began " in finding["evidence"]
    assert "CREATE INDEX CONCURRENTLY sailing_deck" in finding["evidence"]
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert under_way.database.execute(invalid) == [(1,)]

    run_printed(under_way, finding["solution"])
    assert under_way.database.execute(invalid) == [(0,)]
    assert under_way.database.execute("SELECT to_regclass('ferry.sailing_quay') IS NOT NULL") == [(True,)]
    assert_flows(under_way)


def test_19_an_invalid_index_that_a_person_left(under_way: Ferries) -> None:
    with psycopg.connect(under_way.database.migrator_url, autocommit=True) as person:
        person.execute('CREATE INDEX CONCURRENTLY "Sailing by quay" ON ferry.sailing (quay)')
    with psycopg.connect(under_way.database.admin_url, autocommit=True) as admin:
        admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ferry.\"Sailing by quay\"'::regclass")

    verdict = under_way.verdict()
    finding = under_way.finding("incomplete")

    assert verdict["servable"]
    assert 'invalid: index ferry."Sailing by quay"' in finding["evidence"]
    assert execute_printed(under_way, finding["solution"]) == 'REINDEX INDEX CONCURRENTLY ferry."Sailing by quay"'
    assert {each["state"] for each in under_way.verdict()["findings"]} <= {"drifted"}
    # Nobody needs it: the other of the two.
    assert execute_printed(under_way, finding["solution"], which=1).startswith("DROP INDEX CONCURRENTLY ferry.")
    assert_flows(under_way)


def test_19_a_constraint_that_nobody_validated(under_way: Ferries) -> None:
    under_way.sql(
        DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD CONSTRAINT in_time CHECK (leaves > '1900-01-01') NOT VALID"
    )
    succeed(under_way.gate("upgrade"))

    finding = under_way.finding("incomplete")

    assert "not validated: constraint ferry.sailing.in_time" in finding["evidence"]
    assert ask(under_way).status == 200
    label, _, statement = finding["solution"].partition(": ")
    assert label == "a revision that runs"
    under_way.sql("bb02", DECK, statement)
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


@pytest.mark.parametrize(
    ("rows", "statement", "sqlstate", "clean_up"),
    [
        (
            "ALTER TABLE ferry.quay ADD COLUMN pier text",
            "ALTER TABLE ferry.quay ALTER COLUMN pier SET NOT NULL",
            "23502",
            "UPDATE ferry.quay SET pier = 'A' WHERE pier IS NULL",
        ),
        (
            "INSERT INTO ferry.quay VALUES ('OBN', 'Skye')",
            "ALTER TABLE ferry.quay ADD CONSTRAINT one_name UNIQUE (name)",
            "23505",
            "UPDATE ferry.quay SET name = 'Oban' WHERE code = 'OBN'",
        ),
        (
            "INSERT INTO ferry.quay VALUES ('OBN', '')",
            "ALTER TABLE ferry.quay ADD CONSTRAINT named CHECK (name <> '')",
            "23514",
            "UPDATE ferry.quay SET name = 'Oban' WHERE name = ''",
        ),
    ],
)
def test_24_rows_that_violate_a_new_constraint(
    under_way: Ferries, rows: str, statement: str, sqlstate: str, clean_up: str
) -> None:
    under_way.sql("aa00", LEAVES_INDEX, rows)
    succeed(under_way.gate("upgrade"))
    path = under_way.revision(
        DECK, "aa00", f'op.execute("ALTER TABLE ferry.sailing ADD COLUMN deck text")\nop.execute({statement!r})'
    )

    failed = under_way.gate("upgrade")

    assert failed.returncode == 1
    assert f"(SQLSTATE {sqlstate})" in failed.stderr
    assert f"The statement: {statement}" in failed.stderr
    assert "a revision before this one that mends the rows" in solution_in(failed.stderr)
    assert "Skye" not in told(failed)
    # Nothing half done: what stood before it in the same revision is gone with it.
    columns = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'ferry.sailing'::regclass AND attname = 'deck'"
    assert under_way.database.execute(columns) == [(0,)]
    assert under_way.revisions() == ["aa00"]
    assert under_way.verdict()["state"] == "behind"

    # A revision before it cleans the rows up.
    under_way.sql("aa05", "aa00", clean_up)
    path.write_text(path.read_text().replace("down_revision = 'aa00'", "down_revision = 'aa05'"))
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


def test_25_a_downgrade_that_is_impossible(under_way: Ferries) -> None:
    under_way.revision(
        DECK,
        LEAVES_INDEX,
        'op.execute("ALTER TABLE ferry.sailing DROP COLUMN state")',
        'raise NotImplementedError("the states are gone: restore a backup, or go forward")',
    )
    under_way.models(with_state=False)
    linted = under_way.gate("lint", "--all", "--format", "json")
    succeed(under_way.gate("upgrade"))
    versions = under_way.revisions()
    objects = under_way.everything()["objects"]

    failed = under_way.alembic("downgrade", "-1")

    assert "irreversible-downgrade" in linted.stdout
    assert failed.returncode != 0
    assert "the states are gone: restore a backup, or go forward" in told(failed)
    assert under_way.revisions() == versions
    assert under_way.everything()["objects"] == objects
    assert under_way.runs()[-1] == ("downgrade", "failed")

    # Forward is the only way: a revision that makes the column again.
    under_way.sql(
        "bb02", DECK, "ALTER TABLE ferry.sailing ADD COLUMN state ferry.sailing_state NOT NULL DEFAULT 'planned'"
    )
    under_way.models()
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)
