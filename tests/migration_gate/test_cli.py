"""`migration-gate` as people and pipelines run it: what it prints and with which status it exits."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration_gate.foreign_errors import as_told
from migration_gate.timeouts import checked
from tests.databases import Database
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
)

IMPATIENT_ENV = """\
from migration_gate.environment import run
from models import metadata
run(metadata, database_deadline_s=0)
"""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of this test's own at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _wrong_password(database: Database) -> str:
    before, after = database.migrator_url.rsplit(":", 2)[0], database.migrator_url.split("@", 1)[1]
    return f"{before}:wr0ng@{after}"


def test_status_of_a_database_without_migrations_exits_3_and_changes_nothing(
    project: Project, empty_database: Database
) -> None:
    done = project.gate("status")

    assert done.returncode == 3
    assert done.stdout.startswith("never_migrated: no traffic\n")
    assert f"not applied: {', '.join(HISTORY)}" in done.stdout
    assert "Solution:  alembic upgrade head" in done.stdout
    assert done.stderr == ""
    assert tables(empty_database) == set()


def test_status_of_a_current_database_exits_0(project: Project) -> None:
    succeed(project.alembic("upgrade", "head"))

    done = project.gate("status")

    assert done.returncode == 0
    assert done.stdout.startswith("current: traffic may flow\n")
    assert done.stderr == ""


def test_status_as_json_is_one_document_on_stdout(project: Project) -> None:
    succeed(project.alembic("upgrade", SHELF))

    done = project.gate("status", "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 3
    assert document["state"] == "behind"
    assert document["servable"] is False
    assert document["database_revisions"] == [SHELF]
    assert document["code_heads"] == [TITLE_INDEX]
    assert document["missing"] == [BOOK, TITLE_INDEX]
    assert document["solution"] == "alembic upgrade head"


def test_status_of_a_database_ahead_exits_0_with_the_warning_in_its_words(project: Project) -> None:
    newer = project.sql("1111", TITLE_INDEX, "SELECT 1")
    succeed(project.alembic("upgrade", "head"))
    newer.unlink()

    done = project.gate("status")

    assert done.returncode == 0
    assert done.stdout.startswith("ahead_compatible: traffic may flow\n")
    assert "Caused by: A newer release" in done.stdout


def test_status_of_an_unreachable_database_is_a_verdict_too(project: Project, silent_port: int) -> None:
    project.write_env(IMPATIENT_ENV)

    done = project.gate("status", "--json", MIGRATION_DATABASE_URL=f"postgresql://r:s3cret@127.0.0.1:{silent_port}/l")

    document = json.loads(done.stdout)
    assert done.returncode == 3
    assert document["state"] == "unreachable"
    assert "Connection refused" in document["evidence"]
    assert "s3cret" not in done.stdout + done.stderr


def test_upgrade_applies_proves_and_prints_the_verdict(project: Project, empty_database: Database) -> None:
    done = project.gate("upgrade", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["state"] == "current"
    assert "migration run succeeded" in done.stderr
    assert applied(empty_database) == [(revision, "upgrade") for revision in HISTORY]


def test_upgrade_of_a_current_database_starts_no_run(project: Project, empty_database: Database) -> None:
    succeed(project.gate("upgrade"))
    succeed(project.gate("upgrade"))

    assert empty_database.execute("SELECT count(*) FROM migration_gate_run") == [(1,)]


def test_upgrade_brings_every_branch_to_its_head(project: Project, empty_database: Database) -> None:
    project.sql("left", TITLE_INDEX, "SELECT 1", more='branch_labels = "books"')
    project.sql("right", TITLE_INDEX, "SELECT 1", more='branch_labels = "shelves"')

    succeed(project.gate("upgrade"))

    assert empty_database.execute("SELECT version_num FROM alembic_version ORDER BY 1") == [("left",), ("right",)]
    assert project.gate("status").returncode == 0


def test_upgrade_exits_75_where_nobody_listens_yet(project: Project, silent_port: int) -> None:
    project.write_env(IMPATIENT_ENV)

    done = project.gate("upgrade", MIGRATION_DATABASE_URL=f"postgresql://r:s3cret@127.0.0.1:{silent_port}/library")

    assert done.returncode == 75
    assert f"postgresql://r:***@127.0.0.1:{silent_port}/library: " in done.stderr
    assert "Connection refused" in done.stderr
    assert "s3cret" not in done.stderr


def test_upgrade_exits_69_where_trying_again_changes_nothing(project: Project, empty_database: Database) -> None:
    wrong_password = project.gate("upgrade", MIGRATION_DATABASE_URL=_wrong_password(empty_database))
    no_database = project.gate("upgrade", MIGRATION_DATABASE_URL=empty_database.migrator_url + "_of_others")

    assert wrong_password.returncode == no_database.returncode == 69
    assert "password authentication failed" in wrong_password.stderr
    assert "wr0ng" not in wrong_password.stderr
    assert "does not exist" in no_database.stderr


def test_upgrade_exits_1_where_a_migration_fails(project: Project) -> None:
    project.sql("1bad", TITLE_INDEX, "SELECT no_such_column")

    done = project.gate("upgrade")

    assert done.returncode == 1
    assert 'column "no_such_column" does not exist (SQLSTATE 42703)' in done.stderr
    assert "The statement: SELECT no_such_column" in done.stderr
    assert "Traceback" not in done.stderr


def test_upgrade_exits_1_where_the_files_form_no_graph(project: Project, empty_database: Database) -> None:
    project.sql("d00d", "r3_typo", "SELECT 1")

    done = project.gate("upgrade")

    assert done.returncode == 1
    assert done.stderr.startswith("migration-gate: The migration files do not form a graph: ")
    assert "Traceback" not in done.stderr
    assert tables(empty_database) == set()


def test_wait_returns_once_somebody_else_has_migrated(project: Project, empty_database: Database) -> None:
    with project.running("migration_gate", "wait", "--timeout", "60", "--json") as waiting:
        succeed(project.alembic("upgrade", BOOK))
        assert waiting.poll() is None
        succeed(project.alembic("upgrade", "head"))
        assert waiting.wait(timeout=60) == 0
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.read())["state"] == "current"


def test_wait_exits_3_with_the_last_verdict_when_its_time_is_over(project: Project) -> None:
    done = project.gate("wait", "--timeout", "0")

    assert done.returncode == 3
    assert done.stdout.startswith("never_migrated: no traffic")


def test_wait_outlasts_a_database_that_is_not_there_yet(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))
    project.write_env(IMPATIENT_ENV.replace("run(metadata", "open('asked', 'a').write('x')\nrun(metadata"))
    url = empty_database.migrator_url
    admin = Database("postgres", "", "", empty_database.admin_url.rsplit("/", 1)[0] + "/postgres")
    admin.execute(f"ALTER DATABASE {empty_database.name} RENAME TO {empty_database.name}_away")

    try:
        with project.running("migration_gate", "wait", "--timeout", "60", MIGRATION_DATABASE_URL=url) as waiting:
            asked = project.folder / "asked"
            until(lambda: asked.exists() and len(asked.read_text()) >= 2)
            admin.execute(f"ALTER DATABASE {empty_database.name}_away RENAME TO {empty_database.name}")
            assert waiting.wait(timeout=60) == 0
    finally:
        admin.execute(f"DROP DATABASE IF EXISTS {empty_database.name}_away WITH (FORCE)")


@pytest.mark.parametrize("verb", ["status", "upgrade", "wait"])
def test_without_an_address_every_verb_exits_1_and_tells_what_to_set(project: Project, verb: str) -> None:
    done = project.gate(verb, MIGRATION_DATABASE_URL="")

    assert done.returncode == 1
    assert done.stderr.startswith("migration-gate: No database is named.")
    assert "export DATABASE_URL=" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("migrate",), ("status", "--yaml"), ("wait", "--timeout", "soon"), ("--config", "no.ini", "status")],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_2(project: Project, arguments: tuple[str, ...]) -> None:
    done = project.gate(*arguments)

    assert done.returncode == 2
    assert done.stderr.startswith("usage: migration-gate")
    assert done.stdout == ""


def test_a_configuration_that_is_not_there_is_named(project: Project) -> None:
    done = project.gate("--config", "no.ini", "status")

    assert done.returncode == 2
    assert f"There is no no.ini in {project.folder}; name Alembic's configuration with --config" in done.stderr


def test_a_configuration_elsewhere_can_be_named(project: Project, tmp_path: Path) -> None:
    done = project.gate("--config", str(project.folder / "alembic.ini"), "lock")

    assert done.returncode == 0
    assert done.stdout == f"wrote {project.lock}\n"


def test_help_shows_examples_and_every_verb(project: Project) -> None:
    text = succeed(project.gate("--help"))

    for example in ("status --json", "upgrade", "wait --timeout 60", "lock --check"):
        assert f"  migration-gate {example}" in text
    assert "MIGRATION_DATABASE_URL, else DATABASE_URL, else sqlalchemy.url" in text


@pytest.mark.parametrize("verb", ["status", "wait", "upgrade", "lock"])
def test_every_verb_has_help_of_its_own(project: Project, verb: str) -> None:
    assert succeed(project.gate(verb, "--help")).startswith(f"usage: migration-gate {verb}")


def test_status_as_a_role_that_may_not_read_the_version_table_names_the_privilege(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    empty_database.execute("REVOKE ALL ON alembic_version FROM taskmanager_app")

    told = project.gate("status", MIGRATION_DATABASE_URL=empty_database.app_url)

    assert told.returncode == 3
    assert told.stdout.startswith("privileges_missing: no traffic")
    assert "role 'taskmanager_app' may not read the version table" in told.stdout
    assert "GRANT SELECT on the version table" in told.stdout


def test_a_dry_run_prints_the_plan_and_its_sql_and_touches_nothing(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", SHELF))
    before = applied(empty_database), tables(empty_database)

    told = succeed(project.gate("upgrade", "--dry-run"))
    document = json.loads(project.gate("upgrade", "--dry-run", "--json").stdout)

    assert told.startswith("-- behind: ")
    assert f"-- 1 of 2: {BOOK} ({BOOK}.py)\nCREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL);" in told
    assert f"-- 2 of 2: {TITLE_INDEX} ({TITLE_INDEX}.py)\nCREATE INDEX CONCURRENTLY book_title ON book (title);" in told
    assert document["status"]["state"] == "behind"
    assert [step["revision"] for step in document["plan"]] == [BOOK, TITLE_INDEX]
    assert document["plan"][1]["statements"] == [
        {"sql": "CREATE INDEX CONCURRENTLY book_title ON book (title)", "transactional": False}
    ]
    assert document["refused_because"] is None
    assert (applied(empty_database), tables(empty_database)) == before


def test_a_dry_run_says_why_the_upgrade_would_be_refused(project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", SHELF))
    empty_database.execute("ALTER TABLE shelf ADD COLUMN width int")

    told = project.gate("upgrade", "--dry-run")
    document = json.loads(project.gate("upgrade", "--dry-run", "--json").stdout)

    assert told.returncode == 3
    assert "-- it would be refused: drifted: " in told.stdout
    assert "-- Solution: " in told.stdout
    assert document["refused_because"]["state"] == "drifted"


def test_what_people_say_to_the_ledger_is_answered_as_json_where_that_is_asked_for(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    reason = ("--reason", "a rehearsal", "--json")

    def ask(*arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(project.gate("ledger", *arguments).stdout)
        return answer

    assert ask("accept", *reason) == {"revisions": []}
    assert ask("settle", *reason) == {"statements": 0}
    assert str(ask("override", "--for", "1m", *reason)["until"]).endswith("+00:00")
    assert ask("baseline", "--scratch-url", empty_database.admin_url, "--json") == {"revisions": [TITLE_INDEX]}
    assert ask("show", "--json").keys() == {"runs", "revisions"}
    assert "migration_gate_run" in str(ask("leave", "--yes", "--json")["tables"])


@pytest.mark.parametrize("verb", [("status", "--json"), ("upgrade",), ("ledger", "show")], ids=" ".join)
@pytest.mark.parametrize(
    ("file", "text", "told"),
    [
        ("migrations/env.py", "(", "SyntaxError: '(' was never closed"),
        ("migrations/env.py", "import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("migrations/env.py", "raise SystemExit(0)", "ended the process (sys.exit)"),
        ("models.py", "1 / 0", "ZeroDivisionError: division by zero"),
        ("migrations/versions/0abc.py", "(", "SyntaxError: '(' was never closed"),
    ],
    ids=["no Python", "a missing module", "an exit", "models that fail", "a migration that is no Python"],
)
def test_an_error_in_a_file_of_the_projects_is_told_in_a_line_that_names_it(
    project: Project, file: str, text: str, told: str, verb: tuple[str, ...]
) -> None:
    path = project.folder / file
    path.write_text(f"{text}\n{path.read_text()}")

    done = project.gate(*verb)

    assert done.returncode == 1
    assert done.stderr.startswith("migration-gate: ")
    assert told in done.stderr
    assert f"({path}, line 1)" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_configuration_that_cannot_be_parsed_is_told_in_a_line(project: Project) -> None:
    (project.folder / "alembic.ini").write_text("script_location = migrations\n")

    done = project.gate("status")

    assert done.returncode == 1
    assert "File contains no section headers" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_project_prints_stands_in_no_answer_for_a_machine(project: Project) -> None:
    env = project.migrations / "env.py"
    env.write_text("print('env.py is here')\n" + env.read_text())
    project.revision("cafe", TITLE_INDEX, "print('so is a migration')\nimport os\nos.system('echo and its child')")

    for verb in (("upgrade", "--json"), ("status", "--json"), ("wait", "--json"), ("ledger", "show", "--json")):
        done = project.gate(*verb)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
        assert "env.py is here" in done.stderr


def test_who_interrupts_is_not_shown_a_traceback(project: Project, empty_database: Database) -> None:
    with project.running("migration_gate", "wait") as waiting:
        until(lambda: sessions(empty_database, "application_name LIKE 'migration-gate%'"))
        waiting.send_signal(signal.SIGINT)
        told, _ = waiting.communicate(timeout=30)

    assert waiting.returncode == 130
    assert told == "migration-gate: interrupted\n"


def test_a_mistake_of_the_gates_own_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="lock_timeout") as mistake:
        checked("soon")

    with pytest.raises(ValueError, match="lock_timeout"):
        as_told(mistake.value)
