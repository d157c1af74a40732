"""`--scratch-url`: the revisions tried on a database that is made for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_gate.errors import MigrationGateError
from tests.migration_gate.conftest import ScratchServer
from tests.migration_gate.review.linted import add, released, review, rules
from tests.migration_gate.scratch import Project

_ADD = 'op.add_column("shelf", sa.Column("note", sa.Text()))'
_DROP = 'op.drop_column("shelf", "note")'


@pytest.fixture
def history(project: Project) -> Project:
    """Three revisions, released."""
    return released(project)


def _with_note(project: Project) -> None:
    models = project.folder / "models.py"
    label = 'sa.Column("label", sa.Text)'
    models.write_text(models.read_text().replace(label, label + ', sa.Column("note", sa.Text)'))


def test_what_works_both_ways_is_green_and_leaves_no_database(history: Project, scratch_server: ScratchServer) -> None:
    add(history, _ADD, _DROP)
    _with_note(history)

    assert review(history, "main", scratch_url=scratch_server.url).findings == ()
    assert scratch_server.databases() == set()


def test_every_revision_is_tried_where_all_are_linted(project: Project, scratch_server: ScratchServer) -> None:
    released(project)

    assert review(project, None, scratch_url=scratch_server.url).findings == ()


def test_models_without_a_migration_are_red(history: Project, scratch_server: ScratchServer) -> None:
    _with_note(history)

    findings = review(history, "main", scratch_url=scratch_server.url).findings

    assert rules(list(findings)) == ["models-differ"]
    assert "note" in findings[0].statement


def test_an_upgrade_that_fails_is_red_and_its_database_is_dropped(
    history: Project, scratch_server: ScratchServer
) -> None:
    add(history, 'op.execute("SELECT no_such_column")')

    findings = review(history, "main", scratch_url=scratch_server.url).findings

    assert rules(list(findings)) == ["upgrade-fails"]
    assert "no_such_column" in findings[0].statement
    assert scratch_server.databases() == set()


def test_a_downgrade_that_fails_is_red(history: Project, scratch_server: ScratchServer) -> None:
    add(history, _ADD, 'op.drop_column("shelf", "notes")')
    _with_note(history)

    assert rules(list(review(history, "main", scratch_url=scratch_server.url).findings)) == ["downgrade-fails"]


def test_a_downgrade_that_leaves_something_behind_is_red(history: Project, scratch_server: ScratchServer) -> None:
    add(history, _ADD + '\nop.execute("CREATE TABLE left_behind (id bigint)")', _DROP)
    _with_note(history)
    with (history.folder / "models.py").open("a") as models:
        models.write('sa.Table("left_behind", metadata, sa.Column("id", sa.BigInteger))\n')

    findings = list(review(history, "main", scratch_url=scratch_server.url).findings)

    assert rules(findings) == ["downgrade-fails", "downgrade-leaves-traces"]
    assert "already exists" in findings[0].statement
    assert "table public.left_behind was added" in findings[1].statement


def test_an_env_that_takes_its_database_from_elsewhere_is_never_run(
    history: Project, scratch_server: ScratchServer
) -> None:
    history.write_env(f"""\
        from migration_gate.environment import run
        from models import metadata

        run(metadata, url={history.url!r})
    """)

    with pytest.raises(MigrationGateError, match="nobody knows which one it would migrate"):
        review(history, "main", scratch_url=scratch_server.url)
    assert scratch_server.databases() == set()


def test_a_project_that_takes_its_address_from_a_file_is_tried_on_the_scratch_database(
    history: Project, scratch_server: ScratchServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "address").write_text(history.url)
    monkeypatch.setenv("MIGRATION_DATABASE_URL_FILE", str(tmp_path / "address"))
    history.write_env("""\
        import os
        from pathlib import Path

        from migration_gate.environment import run
        from models import metadata

        named, given = os.environ.get("MIGRATION_DATABASE_URL_FILE"), os.environ.get("MIGRATION_DATABASE_URL")
        assert not (named and given)
        run(metadata, url=Path(named).read_text() if named else given)
    """)
    add(history, _ADD, _DROP)
    _with_note(history)

    assert review(history, "main", scratch_url=scratch_server.url).findings == ()


def test_a_role_that_may_not_create_databases_is_told(history: Project) -> None:
    with pytest.raises(MigrationGateError, match="No scratch database could be made") as error:
        review(history, "main", scratch_url=history.url)
    assert "CREATEDB" in error.value.solution
    password = history.url.split(":")[2].split("@")[0]
    assert password not in str(error.value)


def test_a_server_that_is_not_there_is_told(history: Project, tmp_path: Path) -> None:
    with pytest.raises(MigrationGateError, match="No scratch database could be made at postgresql"):
        review(history, "main", scratch_url="postgresql://a:secret@127.0.0.1:1/postgres")
