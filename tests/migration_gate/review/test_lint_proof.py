"""What the tests of the release before have shown declares a contraction, while they passed on these very files."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_gate import compatibility
from migration_gate.compatibility import FAILED, PASSED, Verdict
from migration_gate.revisions_lock import checksum, write
from tests.migration_gate.review.linted import NEW, add, git, released, review, rules
from tests.migration_gate.scratch import SHELF, TITLE_INDEX, Project

STRICTER = 'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID")'


@pytest.fixture
def history(project: Project) -> Project:
    """Three revisions, released."""
    return released(project)


def shown(project: Project, file: Path, result: str, *, previous: str = TITLE_INDEX) -> None:
    """What `migration-gate compatibility` writes, committed with the revision that it is about."""
    verdict = Verdict(
        heads=(file.stem,),
        previous=(previous,),
        result=result,
        reference=git(project.folder, "rev-parse", "HEAD").strip(),
        command="pytest",
        when="2025-01-01T00:00:00Z",
        revisions={file.stem: checksum(file.read_text())},
    )
    compatibility.write(project.migrations / compatibility.FILE_NAME, verdict)


def said(project: Project) -> list[str]:
    return rules(list(review(project, "main").findings))


def test_a_passed_proof_declares_what_gets_stricter(history: Project) -> None:
    file = add(history, STRICTER)
    assert said(history) == ["contract-undeclared"]

    shown(history, file, PASSED)

    assert said(history) == []


def test_a_passed_proof_declares_what_is_taken_away(history: Project) -> None:
    file = add(history, 'op.drop_column("shelf", "label")')
    assert said(history) == ["ban-drop-column"]

    shown(history, file, PASSED)

    assert said(history) == []


def test_a_failed_proof_declares_nothing(history: Project) -> None:
    shown(history, add(history, STRICTER), FAILED)

    assert said(history) == ["contract-undeclared"]


def test_a_proof_that_failed_after_one_that_passed_counts(history: Project) -> None:
    file = add(history, STRICTER)
    shown(history, file, PASSED)
    shown(history, file, FAILED)

    assert said(history) == ["contract-undeclared"]


def test_a_proof_of_an_edited_file_is_stale_and_declares_nothing(history: Project) -> None:
    shown(history, add(history, STRICTER), PASSED)
    add(history, STRICTER.replace("id > 0", "id > 1"))

    assert said(history) == ["contract-undeclared"]


def test_a_proof_from_another_release_than_the_files_say_declares_nothing(history: Project) -> None:
    shown(history, add(history, STRICTER), PASSED, previous=SHELF)

    assert said(history) == ["contract-undeclared"]


def test_a_proof_says_nothing_of_a_contraction_that_came_after_it(history: Project) -> None:
    shown(history, add(history, STRICTER), PASSED)
    history.revision("c0de", NEW, STRICTER.replace("CONSTRAINT c", "CONSTRAINT d"), "op.execute('SELECT 1')")
    write(history.config)

    findings = review(history, "main").findings

    assert [(each.rule, each.revision) for each in findings] == [("contract-undeclared", "c0de")]
