"""An env.py in which asynchronous scaffolding was kept, and Alembic called from an event loop."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import TITLE_INDEX, Project, succeed, tables, versions
from tests.processes import free_port, run

# As `alembic init -t async` writes it, with the address from the environment.
_HEAD = """\
import asyncio, os
import sqlalchemy as sa
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine
from migration_gate.environment import run
from models import metadata

address = os.environ["MIGRATION_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")

def do_run_migrations(connection):
    {body}

async def run_async_migrations():
    connectable = create_async_engine(address, poolclass=pool.NullPool)
    async with connectable.connect() as connection:
        await connection.run_sync({called})
    await connectable.dispose()
"""
_WHOLE = _HEAD + "\nasyncio.run(run_async_migrations())\n"

ORIGINAL = _WHOLE.format(
    called="do_run_migrations",
    body="""\
context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()""",
)

UPGRADE_IN_A_THREAD = "await asyncio.to_thread(command.upgrade, config, 'head')"

KEPT = {
    "in a coroutine": "async def main():\n    run(metadata)\n\nasyncio.run(main())\n",
    "awaited": "async def main():\n    await run(metadata)\n\nasyncio.run(main())\n",
    "in run_sync": _WHOLE.format(called="do_run_migrations", body="run(metadata)"),
    "in run_sync after a statement": _WHOLE.format(
        called="do_run_migrations", body='connection.execute(sa.text("CREATE TABLE shelf ()")); run(metadata)'
    ),
    "as what run_sync calls": _WHOLE.format(called="run", body="pass"),
}


@pytest.mark.parametrize("kept", KEPT)
def test_run_inside_an_event_loop_is_refused_by_every_command_before_anything_happens(
    project: Project, empty_database: Database, kept: str
) -> None:
    imports = "" if "import asyncio" in KEPT[kept] else _HEAD.partition("\naddress")[0]
    project.write_env(f"{imports}\n{KEPT[kept]}")

    for done in (
        project.alembic("upgrade", "head"),
        project.alembic("current"),
        project.gate("status"),
        project.gate("upgrade"),
        project.gate("upgrade", "--dry-run"),
        project.gate("describe"),
    ):
        said = " ".join((done.stdout + done.stderr).split())
        assert done.returncode not in {0, 3}, said
        assert "migration_gate.environment.run is called inside an event loop, which it would hold up." in said
        assert "no engine, no asyncio.run and no run_sync" in said
        assert "never awaited" not in said
    assert tables(empty_database) == set()


def test_code_in_a_loop_calls_alembic_in_a_thread_and_is_told_so(project: Project, empty_database: Database) -> None:
    inside = _programmatic(project, "command.upgrade(config, 'head')")
    assert inside.returncode == 1
    assert 'await asyncio.to_thread(command.upgrade, config, "head")' in inside.stderr
    assert tables(empty_database) == set()

    succeed(_programmatic(project, UPGRADE_IN_A_THREAD))

    assert versions(empty_database) == [TITLE_INDEX]


def test_a_connection_that_is_handed_over_is_refused_since_it_may_lead_to_another_database(
    project: Project, empty_database: Database
) -> None:
    done = _programmatic(
        project,
        "config.attributes['connection'] = object()\n    await asyncio.to_thread(command.upgrade, config, 'head')",
    )

    assert done.returncode == 1
    assert "A connection was handed over in Config.attributes" in done.stderr
    assert tables(empty_database) == set()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("run(metadata, connection=object())", "run takes no connection: it connects and configures by itself"),
        ("run(metadata, fn=print, dialect_name='sqlite')", "run takes no dialect_name, fn: it connects"),
        (
            "run(type('Base', (), {'metadata': metadata}))",
            "takes a MetaData, a list of them, or None, and not the class",
        ),
        ("run([metadata, 'models'])", "takes a MetaData, a list of them, or None, and not a str"),
    ],
)
def test_what_run_cannot_take_is_refused_in_a_sentence(
    project: Project, empty_database: Database, call: str, said: str
) -> None:
    project.write_env(f"from migration_gate.environment import run\nfrom models import metadata\n{call}\n")

    for done in (project.alembic("upgrade", "head"), project.gate("status")):
        assert done.returncode not in {0, 3}
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert tables(empty_database) == set()


def test_what_the_template_says_of_sql_for_others_may_stay(project: Project) -> None:
    project.write_env("""\
        from migration_gate.environment import run
        from models import metadata
        run(metadata, literal_binds=True, dialect_opts={"paramstyle": "named"}, transaction_per_migration=False)
    """)

    assert "CREATE TABLE book" in succeed(project.alembic("upgrade", "head", "--sql"))


@pytest.mark.parametrize("env", ["asyncpg", "psycopg"])
def test_a_database_that_is_away_is_told_of_although_env_py_connects_by_itself(project: Project, env: str) -> None:
    if env == "asyncpg":
        project.write_env(ORIGINAL)
    else:
        project.write_env("""\
            import os
            import sqlalchemy as sa
            from alembic import context
            address = os.environ["MIGRATION_DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
            with sa.create_engine(address).connect() as connection:
                context.configure(connection=connection)
                context.run_migrations()
        """)
    right = project.url
    away = re.sub(r":\d+/", f":{free_port()}/", right)
    wrong = re.sub(r":[^:@]+@", ":s3cret@", right)

    for url, evidence in ((away, "nothing listens|onnection refused"), (wrong, "password")):
        project.url = url
        status = project.gate("status")
        assert status.returncode == 3, status.stderr
        assert status.stdout.startswith("unreachable: no traffic")
        assert re.search(evidence, status.stdout)
        upgraded = project.gate("upgrade")
        assert upgraded.returncode in {69, 75}
        assert "Traceback" not in status.stderr + upgraded.stderr
        assert "s3cret" not in status.stdout + status.stderr + upgraded.stderr


def _programmatic(project: Project, *statements: str) -> subprocess.CompletedProcess[str]:
    body = "\n    ".join(statements)
    code = f"""\
import asyncio
from alembic import command
from alembic.config import Config

async def main():
    config = Config("alembic.ini")
    {body}

asyncio.run(main())
"""
    return run(sys.executable, "-c", code, env=project.environment({}), cwd=project.folder)
