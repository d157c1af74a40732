"""`migration-gate compatibility`: the release before, its own tests, and the schema of the release after it."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from migration_gate.compatibility import FILE_NAME, read
from migration_gate.revisions_lock import checksum
from tests.databases import Database
from tests.migration_gate.review.linted import git, released
from tests.migration_gate.scratch import BOOK, TITLE_INDEX, Project, succeed, until

NEW = "1e9d"

# What a shell says to note it.
NOTE = "echo $DATABASE_URL > ${MIGRATION_GATE_NEW_TREE:-.}/scratch"

# The old release's tests: it reads all of a book, and nothing of a shelf but that it is there.
CHECK = """\
import os, pathlib, psycopg

new = os.environ.get("MIGRATION_GATE_NEW_TREE")
if new:
    pathlib.Path(new, "scratch").write_text(os.environ["DATABASE_URL"])
assert os.environ["DATABASE_URL"] == os.environ["MIGRATION_DATABASE_URL"]
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("INSERT INTO shelf DEFAULT VALUES")
    connection.execute("INSERT INTO book (title) VALUES ('Emma')")
    print("books:", connection.execute("SELECT * FROM book").fetchall(), flush=True)
    assert connection.execute("SELECT * FROM book").fetchall() == [(1, "Emma")]
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("1e9d" if new else "0abc",)]
print("old tree", pathlib.Path("RELEASE").read_text(), "new tree", new)
"""

REFUSES_WHAT_NOBODY_WRITES = "ALTER TABLE book ADD CONSTRAINT title_length CHECK (length(title) < 500)"
ADDS_WHAT_OLD_CODE_STUMBLES_OVER = "ALTER TABLE book ADD COLUMN lent boolean"


@pytest.fixture
def release(project: Project) -> Project:
    """A release that is tagged v1, and nothing after it."""
    (project.folder / "check.py").write_text(CHECK)
    (project.folder / "RELEASE").write_text("v1")
    released(project)
    git(project.folder, "tag", "v1")
    (project.folder / "RELEASE").write_text("v2")
    return project


def _prove(
    project: Project, database: Database, command: str = f"{sys.executable} check.py", *more: str, since: str = "v1"
) -> subprocess.CompletedProcess[str]:
    scratch = ("--scratch-url", database.admin_url)
    return project.gate("compatibility", "--since", since, "--command", command, *scratch, *more)


def _file(project: Project) -> Path:
    return project.migrations / FILE_NAME


def _status_of_the_release_before(project: Project) -> str:
    """What the code of v1 says of the database, its own files alone."""
    git(project.folder, "stash", "-q", "--include-untracked")
    status: str = json.loads(project.gate("status", "--json").stdout)["state"]
    git(project.folder, "stash", "pop", "-q")
    return status


def _nothing_is_left(project: Project, database: Database) -> None:
    """Neither the worktree nor, where the command was run and noted it, the scratch database."""
    assert len(git(project.folder, "worktree", "list").splitlines()) == 1
    noted = project.folder / "scratch"
    if noted.exists():
        name = noted.read_text().strip().rpartition("/")[2]
        assert name.startswith("migration_gate_compatibility_")
        with psycopg.connect(database.admin_url) as admin:
            assert admin.execute("SELECT datname FROM pg_database WHERE datname = %s", [name]).fetchall() == []


def test_without_a_proof_a_contraction_turns_older_code_away(release: Project) -> None:
    release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES)
    succeed(release.alembic("upgrade", "head"))

    assert _status_of_the_release_before(release) == "ahead_incompatible"


def test_an_old_release_whose_tests_pass_stays_ready_on_a_schema_that_contracted(
    release: Project, empty_database: Database
) -> None:
    file = release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES)

    told = succeed(_prove(release, empty_database))

    assert "books: [(1, 'Emma')]" in told
    assert f"old tree v1 new tree {release.folder.resolve()}" in told
    (verdict,) = read(_file(release))
    assert (verdict.heads, verdict.previous, verdict.result) == ((NEW,), (TITLE_INDEX,), "passed")
    assert verdict.reference == git(release.folder, "rev-parse", "v1").strip()
    assert verdict.revisions == {NEW: checksum(file.read_text())}
    assert release.gate("compatibility", "--check").returncode == 0
    _nothing_is_left(release, empty_database)

    succeed(release.alembic("upgrade", "head"))
    row = empty_database.execute("SELECT phase, minimum_code FROM migration_gate_revision WHERE revision = %s", NEW)
    assert row == [("contract", TITLE_INDEX)]
    assert _status_of_the_release_before(release) == "ahead_compatible"


def test_an_old_release_whose_tests_fail_is_turned_away_although_the_schema_only_grew(
    release: Project, empty_database: Database
) -> None:
    release.sql(NEW, TITLE_INDEX, ADDS_WHAT_OLD_CODE_STUMBLES_OVER)

    done = _prove(release, empty_database)

    assert done.returncode == 5
    assert done.stderr.count("AssertionError") == 1
    assert "old tree v1 new tree None" in done.stdout
    assert f"failed: the code at {TITLE_INDEX}" in done.stdout
    assert read(_file(release))[0].result == "failed"
    assert succeed(release.gate("compatibility", "--check")).startswith("failed: ")
    _nothing_is_left(release, empty_database)

    succeed(release.alembic("upgrade", "head"))
    row = empty_database.execute("SELECT phase, minimum_code FROM migration_gate_revision WHERE revision = %s", NEW)
    assert row == [("expand", NEW)]
    assert _status_of_the_release_before(release) == "ahead_incompatible"


def test_what_a_file_declares_counts_for_more_than_what_was_shown(release: Project, empty_database: Database) -> None:
    release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES, more=f"gate_minimum_code = {BOOK!r}")
    succeed(_prove(release, empty_database))

    succeed(release.alembic("upgrade", "head"))

    rows = empty_database.execute("SELECT minimum_code FROM migration_gate_revision WHERE revision = %s", NEW)
    assert rows == [(BOOK,)]


def test_an_edited_revision_makes_the_verdict_stale_and_a_stale_one_says_nothing(
    release: Project, empty_database: Database
) -> None:
    release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES)
    succeed(_prove(release, empty_database))
    release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES.replace("500", "400"))

    stale = release.gate("compatibility", "--check")

    assert stale.returncode == 5
    assert f"a stale verdict on {NEW}" in stale.stderr
    succeed(release.alembic("upgrade", "head"))
    assert empty_database.execute("SELECT count(*) FROM migration_gate_revision WHERE minimum_code IS NOT NULL") == [
        (0,)
    ]
    assert _status_of_the_release_before(release) == "ahead_incompatible"


def test_a_further_revision_has_no_verdict_until_there_is_a_new_one(release: Project, empty_database: Database) -> None:
    release.sql(NEW, TITLE_INDEX, REFUSES_WHAT_NOBODY_WRITES)
    succeed(_prove(release, empty_database))
    release.sql("beef2", NEW, "SELECT 1")

    lacking = release.gate("compatibility", "--check")

    assert lacking.returncode == 5
    assert "holds no verdict on beef2" in lacking.stderr
    assert "migration-gate compatibility --since REF" in lacking.stderr


def test_no_file_fails_the_check_and_a_damaged_one_is_named(release: Project) -> None:
    assert release.gate("compatibility", "--check").returncode == 5

    _file(release).write_text("<<<<<<< ours\n")
    damaged = release.gate("compatibility", "--check")

    assert damaged.returncode == 1
    assert FILE_NAME in damaged.stderr
    assert "Traceback" not in damaged.stderr


def test_a_reference_that_is_not_there_is_named(release: Project, empty_database: Database) -> None:
    done = _prove(release, empty_database, since="v0")

    assert done.returncode == 1
    assert "git does not know 'v0'" in done.stderr
    assert not _file(release).exists()


def test_a_reference_that_is_no_release_before_is_told(release: Project, empty_database: Database) -> None:
    (release.migrations / "versions" / f"{TITLE_INDEX}.py").unlink()

    done = _prove(release, empty_database)

    assert done.returncode == 1
    assert f"is at {TITLE_INDEX}, which this code does not have" in done.stderr
    _nothing_is_left(release, empty_database)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no-such-command", "no-such-command could not be run: No such file"),
        (f"sh -c '{NOTE}; exit 127'", "exited with 127"),
        (f"sh -c '{NOTE}; kill -9 $$'", "was ended by SIGKILL"),
        (f"sh -c '{NOTE}; exit 1'", "on the old release's own schema the command exits with 1 as well"),
        ("  ", "The command is empty"),
        ("'", "The command cannot be read"),
    ],
)
def test_a_command_that_does_not_run_gives_no_verdict(
    release: Project, empty_database: Database, command: str, told: str
) -> None:
    release.sql(NEW, TITLE_INDEX, "SELECT 1")

    done = _prove(release, empty_database, command)

    assert done.returncode == 1, done.stdout
    assert told in done.stderr
    assert not _file(release).exists()
    _nothing_is_left(release, empty_database)


def test_tests_that_hang_are_ended_with_all_that_they_started_and_give_no_verdict(
    release: Project, empty_database: Database, tmp_path: Path
) -> None:
    release.sql(NEW, TITLE_INDEX, "SELECT 1")
    pid = tmp_path / "pid"

    done = _prove(release, empty_database, f"sh -c '{NOTE}; sleep 600 & echo $! > {pid}; wait'", "--timeout", "2")

    assert done.returncode == 1
    assert "did not end within 2 s" in done.stderr
    assert not _file(release).exists()
    until(lambda: not Path(f"/proc/{pid.read_text().strip()}/cmdline").exists() or _is_zombie(pid))
    _nothing_is_left(release, empty_database)


def _is_zombie(pid: Path) -> bool:
    try:
        return Path(f"/proc/{pid.read_text().strip()}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_pipeline_that_is_cancelled_leaves_neither_worktree_nor_database(
    release: Project, empty_database: Database, tmp_path: Path
) -> None:
    release.sql(NEW, TITLE_INDEX, "SELECT 1")
    began = tmp_path / "began"
    command = shlex.join(["sh", "-c", f"{NOTE}; touch {began}; sleep 600"])
    arguments = ("--since", "v1", "--command", command, "--scratch-url", empty_database.admin_url)

    with release.running("migration_gate", "compatibility", *arguments) as proving:
        until(began.exists, within_s=60)
        proving.send_signal(signal.SIGTERM)
        assert proving.wait(timeout=60) == 128 + signal.SIGTERM

    _nothing_is_left(release, empty_database)
    assert not _file(release).exists()


def test_releases_with_the_same_revisions_need_no_tests(release: Project, empty_database: Database) -> None:
    told = succeed(_prove(release, empty_database, "no-such-command"))

    assert "no revision lies between" in told
    assert release.gate("compatibility", "--check").returncode == 0


def test_an_env_that_takes_its_database_from_elsewhere_is_never_run(release: Project, empty_database: Database) -> None:
    release.sql(NEW, TITLE_INDEX, "SELECT 1")
    release.write_env("raise SystemExit('touched')")

    done = _prove(release, empty_database)

    assert done.returncode != 0
    assert not _file(release).exists()
    assert empty_database.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]


def test_a_wrong_command_line_exits_2(release: Project) -> None:
    done = release.gate("compatibility", "--since", "v1")

    assert done.returncode == 2
    assert "--since REF and --command COMMAND are needed" in done.stderr
