"""Which revisions are new: git's corner cases, released files, heads, the lock, and what one release may not hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from migration_gate.errors import MigrationGateError
from migration_gate.revisions_lock import write
from tests.migration_gate.review.linted import NEW, add, git, released, review, rules
from tests.migration_gate.scratch import BOOK, HISTORY, SHELF, TITLE_INDEX, Project

INDEX = 'op.create_index("i", "shelf", ["label"])'


@pytest.fixture
def history(project: Project) -> Project:
    """Three revisions, released."""
    return released(project)


def test_without_new_revisions_nothing_is_found(history: Project) -> None:
    linted = review(history, "main")

    assert linted.revisions == ()
    assert linted.findings == ()
    assert linted.commit == git(history.folder, "rev-parse", "HEAD").strip()


def test_a_file_that_is_not_committed_yet_is_new(history: Project) -> None:
    add(history, INDEX)

    assert review(history, "main").revisions == (NEW,)


def test_what_the_other_branch_added_meanwhile_was_not_released_here(history: Project) -> None:
    git(history.folder, "checkout", "-q", "-b", "lend")
    add(history, INDEX)
    released(history)
    git(history.folder, "checkout", "-q", "main")
    (history.folder / "README").write_text("books\n")
    released(history)
    git(history.folder, "checkout", "-q", "lend")

    linted = review(history, "main")

    assert linted.revisions == (NEW,)
    assert linted.commit == git(history.folder, "rev-parse", "main~1").strip()


def test_all_lints_every_revision_and_knows_no_release(history: Project) -> None:
    add(history, 'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID")')

    linted = review(history, None)

    assert linted.revisions == (*HISTORY, NEW)
    assert linted.findings == ()
    assert (linted.ref, linted.commit) == (None, None)


def test_a_folder_without_a_repository_can_only_be_linted_whole(project: Project) -> None:
    write(project.config)

    with pytest.raises(MigrationGateError, match="not in a git repository") as error:
        review(project, "main")

    assert error.value.solution == "migration-gate lint --all"
    assert review(project, None).findings == ()


def test_a_reference_that_git_does_not_know_is_named(history: Project) -> None:
    with pytest.raises(MigrationGateError, match="git does not know 'mian'") as error:
        review(history, "mian")
    assert "git fetch origin mian" in error.value.solution


@pytest.mark.parametrize("ref", ["--output=x", "-n", "main..HEAD", ""])
def test_a_reference_is_never_taken_for_an_option(history: Project, ref: str) -> None:
    with pytest.raises(MigrationGateError, match="git does not know"):
        review(history, ref)


def test_a_repository_without_a_commit_is_told(project: Project) -> None:
    git(project.folder, "init", "-q")

    with pytest.raises(MigrationGateError, match=r"git does not know|has no commit yet"):
        review(project, "HEAD")


def test_a_git_hook_names_its_own_places_and_lint_reads_the_project_s(
    history: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(history, INDEX)
    monkeypatch.setenv("GIT_DIR", ".git")
    monkeypatch.setenv("GIT_INDEX_FILE", ".git/index")

    assert review(history, "main").revisions == (NEW,)


def test_a_shallow_clone_that_does_not_reach_back_is_told(history: Project, tmp_path: Path) -> None:
    git(history.folder, "checkout", "-q", "-b", "lend")
    add(history, INDEX)
    released(history)
    git(history.folder, "checkout", "-q", "main")
    released(history)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", history.folder.as_uri(), str(clone))
    git(clone, "checkout", "-q", "lend")
    shallow = Project.__new__(Project)
    shallow.folder, shallow.url, shallow.migrations = clone, history.url, clone / "migrations"

    with pytest.raises(MigrationGateError, match="shallow") as error:
        review(shallow, "origin/main")
    assert "git fetch --unshallow" in error.value.solution

    git(clone, "fetch", "-q", "--unshallow")
    assert review(shallow, "origin/main").revisions == (NEW,)


def test_histories_without_a_common_commit_are_told(history: Project) -> None:
    git(history.folder, "checkout", "-q", "--orphan", "other")
    (history.folder / "README").write_text("other books\n")
    released(history)

    with pytest.raises(MigrationGateError, match="no commit in common"):
        review(history, "main")


def test_a_project_below_the_repository_s_root(bare_project: Project, tmp_path: Path) -> None:
    bare_project.write_history()
    write(bare_project.config)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "Release")
    add(bare_project, INDEX)

    linted = review(bare_project, "main")

    assert linted.revisions == (NEW,)
    assert linted.root == tmp_path.resolve()


def test_a_released_file_that_was_edited_is_red_and_other_line_endings_are_not(history: Project) -> None:
    path = history.migrations / "versions" / f"{BOOK}.py"
    text = path.read_text()
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert review(history, "main").findings == ()

    path.write_text(text.replace("title text NOT NULL", "title varchar(9)"))
    write(history.config)
    findings = review(history, "main").findings

    assert rules(list(findings)) == ["released-revision-edited"]
    assert findings[0].revision == BOOK
    assert "varchar(9)" in path.read_text().splitlines()[findings[0].line - 1]
    assert "git checkout" in findings[0].advice


def test_a_released_file_under_another_name_is_no_new_revision(history: Project) -> None:
    versions = history.migrations / "versions"
    (versions / f"{BOOK}.py").rename(versions / "2026_books.py")
    write(history.config)

    assert review(history, "main").revisions == ()
    assert review(history, "main").findings == ()


def test_a_released_revision_that_is_gone_is_red(history: Project) -> None:
    (history.migrations / "versions" / f"{TITLE_INDEX}.py").unlink()
    write(history.config)

    assert rules(list(review(history, "main").findings)) == ["released-revision-removed"]


def test_two_heads_are_red_and_labelled_branches_are_meant(history: Project) -> None:
    history.sql("left", TITLE_INDEX, "SELECT 1")
    history.sql("right", TITLE_INDEX, "SELECT 1")
    write(history.config)
    findings = review(history, "main").findings
    assert rules(list(findings)) == ["multiple-heads"]
    assert "alembic merge left right" in findings[0].advice

    right = history.migrations / "versions" / "right.py"
    right.write_text(right.read_text() + "\nbranch_labels = ('other',)\n")
    write(history.config)
    assert review(history, "main").findings == ()


def test_a_broken_graph_is_a_finding_and_no_traceback(history: Project) -> None:
    history.sql("d00d", "r3_typo", INDEX)

    findings = review(history, "main").findings

    assert rules(list(findings)) == ["broken-graph"]
    assert "r3_typo" in findings[0].message


def test_a_migration_that_cannot_be_imported_is_a_finding(history: Project) -> None:
    (history.migrations / "versions" / "bad.py").write_text(
        "revision = 'bad'\ndown_revision = None\nimport nowhere_at_all\n"
    )

    findings = review(history, "main").findings

    assert rules(list(findings)) == ["broken-graph"]
    assert "nowhere_at_all" in findings[0].message


def test_an_id_that_the_version_table_cannot_hold_is_red(history: Project) -> None:
    path = history.sql("x" * 33, TITLE_INDEX, "SELECT 1")

    findings = review(history, "main").findings

    assert rules(list(findings)) == ["revision-id-too-long"]
    assert path.read_text().splitlines()[findings[0].line - 1].startswith("revision =")


def test_a_lock_that_is_out_of_date_or_missing_is_red(history: Project) -> None:
    history.sql(NEW, TITLE_INDEX, "SELECT 1")
    assert rules(list(review(history, "main").findings)) == ["revisions-lock-out-of-date"]

    history.lock.unlink()
    assert rules(list(review(history, "main").findings)) == ["revisions-lock-out-of-date"]

    write(history.config)
    assert review(history, "main").findings == ()


_ADD = 'op.add_column("book", sa.Column("name", sa.Text()))'


@pytest.mark.parametrize(
    ("contract", "red"),
    [
        ('op.drop_column("book", "title")', True),
        ('op.alter_column("book", "title", new_column_name="caption")', True),
        ('op.execute("ALTER TABLE book ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID")', True),
        ('op.drop_column("shelf", "label")', False),
        ('op.execute("ALTER TABLE book ADD CONSTRAINT n CHECK (length(name) < 9) NOT VALID")', False),
    ],
)
def test_what_one_release_adds_and_takes_away_is_red(history: Project, contract: str, red: bool) -> None:
    add(history, _ADD)
    top = f'gate_minimum_code = "{TITLE_INDEX}"\n\n\ndef upgrade'
    path = history.revision("next", NEW, contract, "op.execute('SELECT 1')")
    path.write_text(path.read_text().replace("def upgrade", top, 1))
    write(history.config)
    assert ("contract-with-expand" in rules(list(review(history, "main").findings))) is red

    # The expansion released first, the same contract is another release's.
    path.unlink()
    released(history)
    path = history.revision("next", NEW, contract, "op.execute('SELECT 1')")
    path.write_text(path.read_text().replace("def upgrade", top, 1))
    write(history.config)
    assert "contract-with-expand" not in rules(list(review(history).findings))


def test_a_contract_declares_which_code_works_after_it(history: Project) -> None:
    check = 'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID")'
    add(history, check)
    findings = review(history, "main").findings
    assert rules(list(findings)) == ["contract-undeclared"]
    assert f'gate_minimum_code = "{TITLE_INDEX}"' in findings[0].advice

    for top in (f'gate_minimum_code = "{TITLE_INDEX}"', "gate_minimum_code = down_revision", 'gate_phase = "expand"'):
        add(history, check, top=top)
        assert review(history, "main").findings == ()


def test_a_project_without_migrations_is_green(bare_project: Project) -> None:
    released(bare_project)

    assert review(bare_project, "main").findings == ()
    assert review(bare_project, None).findings == ()


def test_linting_changes_nothing_in_the_repository(history: Project) -> None:
    add(history, INDEX)
    before = git(history.folder, "status", "--porcelain")

    review(history, "main")

    assert git(history.folder, "status", "--porcelain") == before
    assert SHELF in before or NEW in before
    shutil.rmtree(history.folder / ".git")
