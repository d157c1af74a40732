"""The graph read off the texts is the one that Alembic reads, or none is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from migration_gate.expected import Expected
from migration_gate.revision_texts import graph_in_texts
from migration_gate.revisions_lock import expected_from_scripts, write
from tests.databases import Database
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.scratch import BOOK, SHELF, TITLE_INDEX, Project, succeed


def _in_texts(project: Project) -> Expected | None:
    return graph_in_texts(ScriptDirectory.from_config(project.config))


def _as_sets(expected: Expected) -> object:
    """All but the order, and what a file declares for the ledger."""
    revisions = (replace(each, phase=None, minimum_code=None, rerunnable=False) for each in expected.revisions.values())
    return expected.heads, {each.id: each for each in revisions}, expected.project


def test_three_hundred_revisions_on_branches_are_read_as_alembic_reads_them(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet", "postgresql://nobody@127.0.0.1/nowhere")

    graph = graph_in_texts(ScriptDirectory.from_config(fleet.config))

    assert graph is not None
    assert _as_sets(graph) == _as_sets(expected_from_scripts(fleet.config))
    ordered = list(graph.revisions)
    assert all(ordered.index(parent) < ordered.index(id_) for id_ in ordered for parent in graph.parents[id_])


def test_branches_that_are_not_merged_and_a_project_with_a_name_are_read_the_same(project: Project) -> None:
    project.sql("left", TITLE_INDEX, "SELECT 1", more='branch_labels = ("books",)')
    project.sql("right", TITLE_INDEX, "SELECT 1", more='branch_labels = "shelves"  # of wood\ndepends_on = "left"')
    write(project.config)

    graph = _in_texts(project)

    assert graph is not None
    assert graph.heads == ("left", "right")
    assert _as_sets(graph) == _as_sets(expected_from_scripts(project.config))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"down_revision = {SHELF!r}", "down_revision = (\n    'f00d',\n)"),
        (f"down_revision = {SHELF!r}", "down_revision = 'f00' + 'd'"),
        (f"down_revision = {SHELF!r}", "if True:\n    down_revision = 'f00d'"),
        (f"down_revision = {SHELF!r}", "down_revision = 'other'\ndown_revision = 'f00d'"),
        (f"down_revision = {SHELF!r}", "from os import sep as down_revision"),
        (f"down_revision = {SHELF!r}", 'TEXT = """\ndown_revision = \'f00d\'\n"""'),
        (f"down_revision = {SHELF!r}", "down_revision = 'f00'"),
        (f"down_revision = {SHELF!r}", f"down_revision = {TITLE_INDEX!r}"),
        (f"revision = {BOOK!r}", f"revision = {SHELF!r}"),
        (f"revision = {BOOK!r}", f"revision = {'x' * 33!r}"),
        (f"revision = {BOOK!r}", "revision: str"),
    ],
)
def test_a_text_that_leaves_a_doubt_tells_nothing(project: Project, before: str, after: str) -> None:
    path = project.migrations / "versions" / f"{BOOK}.py"
    text = path.read_text()
    assert before in text
    assert _in_texts(project) is not None

    path.write_text(text.replace(f"\n{before}\n", f"\n{after}\n", 1))

    assert _in_texts(project) is None


def test_a_label_instead_of_an_id_tells_nothing(project: Project) -> None:
    project.sql("apart", None, "SELECT 1", more='branch_labels = "books"')
    project.sql("other", None, "SELECT 1", more='depends_on = "books"')

    assert _in_texts(project) is None


def test_status_imports_no_migration_where_all_is_well_and_all_of_them_where_something_is_missing(
    project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    path = project.migrations / "versions" / f"{TITLE_INDEX}.py"
    path.write_text(path.read_text() + "\nopen('imported', 'a').close()  # noqa\n")
    succeed(project.gate("ledger", "accept", "--reason", "the same"))
    imported = project.folder / "imported"
    imported.unlink()

    assert succeed(project.gate("status")).startswith("current")
    assert not imported.exists()

    project.sql("1111", TITLE_INDEX, "SELECT 1")
    assert json.loads(project.gate("status", "--json").stdout)["missing"] == ["1111"]
    assert imported.exists()
