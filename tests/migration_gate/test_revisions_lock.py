"""Writing revisions.lock from migration files, by hand and by `alembic revision`."""

from __future__ import annotations

import subprocess

import pytest
from alembic.script import ScriptDirectory

from migration_gate.errors import RevisionsLockError
from migration_gate.expected import read_lock
from migration_gate.revision_texts import graph_in_texts
from migration_gate.revisions_lock import check, checksum, expected_from_scripts, write
from tests.migration_gate.scratch import BOOK, HISTORY, SHELF, TITLE_INDEX, Project, succeed

SOURCE = 'revision = "a"\n\n\ndef upgrade():\n    op.execute("SELECT 1")\n'


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace("\n", "\r\n"),
        SOURCE.replace("\n", "  \n"),
        SOURCE + "\n\n",
        SOURCE.rstrip(),
        "\n" + SOURCE,
        SOURCE.replace("\n\n\n", "\n\n"),
        "# Licence: another\n" + SOURCE,
        SOURCE.replace('1")', '1")  # one'),
    ],
    ids=[
        "line endings",
        "trailing blanks",
        "blank lines at the end",
        "no last newline",
        "a blank first line",
        "a blank line inside",
        "a comment",
        "a comment behind code",
    ],
)
def test_a_checksum_is_blind_to_what_changes_no_migration(same: str) -> None:
    assert checksum(same) == checksum(SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace("SELECT 1", "SELECT 2"),
        SOURCE.replace("    op", "  op"),
        SOURCE.replace('"SELECT 1"', "'SELECT # 1'"),
        SOURCE.replace('"SELECT 1"', '"""SELECT\n# 1"""'),
    ],
    ids=["content", "indentation", "a sign in a string", "a sign in a long string"],
)
def test_a_checksum_sees_a_change_of_content(other: str) -> None:
    assert checksum(other) != checksum(SOURCE)


def test_the_lock_holds_the_graph_that_alembic_reads(project: Project) -> None:
    path = write(project.config)

    read = read_lock(path)
    assert path == project.lock
    assert read == expected_from_scripts(project.config)
    assert tuple(read.revisions) == HISTORY
    assert read.heads == (TITLE_INDEX,)
    assert read.revisions[BOOK].parents == (SHELF,)
    assert read.revisions[BOOK].file == "beef.py"


def test_a_merge_and_a_dependency_are_parents(project: Project) -> None:
    project.sql("left", TITLE_INDEX, "SELECT 1")
    dependent = project.sql("apart", None, "SELECT 1")
    dependent.write_text(dependent.read_text() + f"\ndepends_on = {BOOK!r}\n")
    project.sql("merge", ("left", "apart"), "SELECT 1")

    revisions = expected_from_scripts(project.config).revisions

    assert revisions["merge"].parents == ("apart", "left")
    assert revisions["apart"].parents == (BOOK,)
    assert list(revisions)[-1] == "merge"


def test_a_lock_that_git_checked_out_with_other_line_endings_is_up_to_date(project: Project) -> None:
    write(project.config)
    for path in (project.lock, *(project.migrations / "versions").glob("*.py")):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))

    check(project.config)


def test_an_id_longer_than_the_version_table_can_hold_is_refused_before_it_fails(project: Project) -> None:
    project.sql("x" * 32, TITLE_INDEX, "SELECT 1")
    write(project.config)
    path = project.sql("y" * 33, "x" * 32, "SELECT 1")

    with pytest.raises(RevisionsLockError, match="more than 32 characters") as error:
        write(project.config)
    assert str(path) in error.value.solution


def test_a_parent_that_no_file_has_is_named(project: Project) -> None:
    project.sql("d00d", "r3_typo", "SELECT 1")

    with pytest.raises(
        RevisionsLockError, match=r"Revision r3_typo referenced from r3_typo -> d00d .* is not present"
    ) as error:
        expected_from_scripts(project.config)
    assert "down_revision" in error.value.solution


def test_an_id_that_two_files_share_is_named(project: Project) -> None:
    copied = project.migrations / "versions" / "copy.py"
    copied.write_text((project.migrations / "versions" / f"{BOOK}.py").read_text())

    with pytest.raises(RevisionsLockError, match=BOOK) as error:
        expected_from_scripts(project.config)
    assert "two files share" in error.value.solution


def test_a_cycle_is_an_error_of_the_lock(bare_project: Project) -> None:
    bare_project.sql("aaaa", "bbbb", "SELECT 1")
    bare_project.sql("bbbb", "aaaa", "SELECT 1")

    with pytest.raises(RevisionsLockError, match="do not form a graph"):
        expected_from_scripts(bare_project.config)


def test_lock_check_is_green_when_written_and_red_when_a_file_changed(project: Project) -> None:
    assert "wrote" in succeed(project.gate("lock"))
    assert project.gate("lock", "--check").returncode == 0

    project.sql(BOOK, SHELF, "CREATE TABLE book (id bigserial PRIMARY KEY)")
    before = project.lock.read_text()
    red = project.gate("lock", "--check")

    assert red.returncode == 1
    assert str(project.lock) in red.stderr
    assert "migration-gate lock" in red.stderr
    assert project.lock.read_text() == before


def test_lock_check_is_red_when_there_is_no_lock(project: Project) -> None:
    assert project.gate("lock", "--check").returncode == 1
    assert not project.lock.exists()


def test_alembic_revision_writes_the_lock(project: Project) -> None:
    succeed(project.gate("lock"))

    succeed(project.alembic("revision", "-m", "lend books", "--rev-id", "1e9d"))

    read = read_lock(project.lock)
    assert read.heads == ("1e9d",)
    assert read.revisions["1e9d"].parents == (TITLE_INDEX,)
    assert project.gate("lock", "--check").returncode == 0


def _git(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    identity = ("-c", "user.name=Reader", "-c", "user.email=reader@example.org", "-c", "commit.gpgsign=false")
    blind = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        ["git", *identity, *arguments], cwd=project.folder, env=blind, capture_output=True, text=True, check=False
    )


def _commit_on(project: Project, branch: str, start: str, revision: str) -> None:
    succeed(_git(project, "checkout", "-q", "-b", branch, start))
    project.sql(revision, TITLE_INDEX, "SELECT 1")
    write(project.config)
    succeed(_git(project, "add", "."))
    succeed(_git(project, "commit", "-q", "-m", f"Add {revision}"))


def test_two_branches_that_each_add_a_migration_conflict_in_git(project: Project) -> None:
    write(project.config)
    succeed(_git(project, "init", "-q", "-b", "main"))
    succeed(_git(project, "add", "."))
    succeed(_git(project, "commit", "-q", "-m", "Keep books"))
    _commit_on(project, "lend", "main", "1e9d")
    _commit_on(project, "shout", "main", "a10d")

    merge = _git(project, "merge", "lend")

    assert merge.returncode != 0
    assert "migrations/revisions.lock" in merge.stdout
    conflicts = _git(project, "diff", "--name-only", "--diff-filter=U").stdout.split()
    assert conflicts == ["migrations/revisions.lock"]
    with pytest.raises(RevisionsLockError, match="merge conflict"):
        read_lock(project.lock)


def test_two_branches_of_which_one_adds_a_migration_merge_without_a_conflict(project: Project) -> None:
    write(project.config)
    succeed(_git(project, "init", "-q", "-b", "main"))
    succeed(_git(project, "add", "."))
    succeed(_git(project, "commit", "-q", "-m", "Keep books"))
    _commit_on(project, "lend", "main", "1e9d")
    succeed(_git(project, "checkout", "-q", "-b", "other", "main"))
    (project.folder / "README").write_text("books\n")
    succeed(_git(project, "add", "."))
    succeed(_git(project, "commit", "-q", "-m", "Say so"))

    succeed(_git(project, "merge", "-q", "--no-edit", "lend"))

    check(project.config)


def test_a_lock_with_a_conflict_left_in_it_keeps_the_projects_name(project: Project) -> None:
    write(project.config)
    before = read_lock(project.lock).project
    text = project.lock.read_text()
    heads = next(line for line in text.splitlines() if line.startswith("heads"))
    conflict = f'<<<<<<< HEAD\n{heads}\n=======\nheads = ["7777"]\n>>>>>>> other'
    project.lock.write_text(text.replace(heads, conflict))

    write(project.config)

    assert before is not None
    assert read_lock(project.lock).project == before


@pytest.mark.parametrize(
    "encoded",
    ["# coding: latin-1\n# caf\u00e9\n".encode("latin-1"), b"\xef\xbb\xbf"],
    ids=["an encoding of its own", "a byte order mark"],
)
def test_a_file_is_read_in_the_encoding_that_python_reads_it_in(project: Project, encoded: bytes) -> None:
    path = project.migrations / "versions" / f"{BOOK}.py"
    before = expected_from_scripts(project.config).revisions[BOOK]
    path.write_bytes(encoded + path.read_bytes())

    assert expected_from_scripts(project.config).revisions[BOOK] == before
    in_texts = graph_in_texts(ScriptDirectory.from_config(project.config))
    assert in_texts is not None
    assert in_texts.revisions[BOOK].checksum == before.checksum
