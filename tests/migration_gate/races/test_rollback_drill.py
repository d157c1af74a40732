"""Release N has migrated, and release N-1 is started on its schema: with older files and an older revisions.lock."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from migration_gate import revisions_lock
from migration_gate.expected import read_lock
from migration_gate.metrics import SchemaCollector
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.states import State
from migration_gate.watch import Watcher
from tests.databases import Database
from tests.migration_gate.adopters import FASTAPI, serving
from tests.migration_gate.scratch import Project, succeed, tables
from tests.processes import Service

OLD, NEW = "f00d", "beef"

_MODELS = """\
import sqlalchemy as sa

metadata = sa.MetaData()
book = sa.Table("book", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("title", sa.Text))
"""


@dataclass(frozen=True)
class Release:
    """What release N brings, and what release N-1 may do on its schema."""

    sql: str
    declares: str = ""
    compatible: bool = False


RELEASES = {
    "expand": Release("ALTER TABLE book ADD COLUMN printed int", compatible=True),
    "contract": Release("ALTER TABLE book DROP COLUMN sold"),
    "expand that declares what it needs": Release(
        "ALTER TABLE book ADD COLUMN printed int", f"gate_minimum_code = {NEW!r}"
    ),
    "contract that declares whom it leaves alone": Release(
        "ALTER TABLE book DROP COLUMN sold", f"gate_minimum_code = {OLD!r}", compatible=True
    ),
}


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    return RELEASES[request.param]


@pytest.fixture
def old(tmp_path: Path, empty_database: Database, release: Release) -> Project:
    """Release N-1, on a database that release N has migrated."""
    old = Project(tmp_path / "old", empty_database.migrator_url)
    (old.folder / "models.py").write_text(_MODELS)
    old.sql(OLD, None, "CREATE TABLE book (id bigserial PRIMARY KEY, title text, sold int)")
    revisions_lock.write(old.config)
    succeed(old.gate("upgrade"))
    new = Project(tmp_path / "new", empty_database.migrator_url)
    shutil.copytree(old.folder, new.folder, dirs_exist_ok=True)
    new.sql(NEW, OLD, release.sql, more=release.declares)
    revisions_lock.write(new.config)
    succeed(new.gate("upgrade", MIGRATION_GATE_RELEASE="2.0"))
    return old


def _contents(database: Database) -> Mapping[str, object]:
    """Every row of every table, and every table: what an upgrade that touches nothing leaves as it is."""
    return {
        table: database.execute(f"SELECT coalesce(jsonb_agg(t ORDER BY t::text), '[]')::text FROM \"{table}\" t")
        for table in sorted(tables(database))
    }


def _assert_refused_with_the_safe_way(told: str) -> None:
    assert f"deploy a release whose migrations hold {NEW}" in told
    assert "do not downgrade the database" in told


def test_the_commands(old: Project, empty_database: Database, release: Release) -> None:
    before = _contents(empty_database)
    for arguments in (("status", "--json"), ("wait", "--timeout", "1", "--json")):
        told = old.gate(*arguments, MIGRATION_DATABASE_URL=empty_database.app_url)
        verdict = json.loads(told.stdout)
        assert told.returncode == (0 if release.compatible else 3), told.stderr
        assert verdict["servable"] is release.compatible
        assert verdict["state"] == ("ahead_compatible" if release.compatible else "ahead_incompatible")
        assert verdict["unknown"] == [NEW]
        if not release.compatible:
            assert "release 2.0" in verdict["evidence"]
            _assert_refused_with_the_safe_way(verdict["solution"])

    upgraded = old.gate("upgrade")
    by_alembic = old.alembic("upgrade", "head")

    # The migrate job of the release that came back must not fail where there is nothing for it to do.
    assert upgraded.returncode == (0 if release.compatible else 3), upgraded.stdout + upgraded.stderr
    said = by_alembic.stdout + by_alembic.stderr
    assert by_alembic.returncode == (0 if release.compatible else 255), said
    assert ("ahead of this code, which runs on it" if release.compatible else "Nothing was touched") in said
    if not release.compatible:
        _assert_refused_with_the_safe_way(upgraded.stderr)
        _assert_refused_with_the_safe_way(said)
    assert _contents(empty_database) == before


def test_the_service(old: Project, empty_database: Database, release: Release, tmp_path: Path) -> None:
    with serving(old, empty_database.app_url, tmp_path) as serve:
        service: Service = serve(FASTAPI)
        answer: httpx.Response = service.wait_for("/books", 200 if release.compatible else 503)
    if release.compatible:
        assert answer.json() == ["books"]
    else:
        assert answer.json()["code"] == "ahead_incompatible"
        _assert_refused_with_the_safe_way(answer.json()["solution"])


async def test_the_watcher_and_its_metrics(old: Project, empty_database: Database, release: Release) -> None:
    probe = PsycopgProbe(empty_database.app_url, statements={"list": "SELECT id, title FROM book"}, timeout_s=20)
    watcher = Watcher(read_lock(old.lock), probe)
    try:
        verdict = await watcher.check()
    finally:
        await probe.close()
    registry = CollectorRegistry()
    registry.register(SchemaCollector(watcher))
    state = State.AHEAD_COMPATIBLE if release.compatible else State.AHEAD_INCOMPATIBLE

    assert verdict.status.state is state
    assert verdict.servable is release.compatible
    assert verdict.status.warning is release.compatible
    for each in State:
        value = registry.get_sample_value("migration_gate_state", {"state": each.value})
        assert value == (1.0 if each is state else 0.0)
    assert registry.get_sample_value("migration_gate_servable") == float(release.compatible)
    if not release.compatible:
        _assert_refused_with_the_safe_way(verdict.status.solution)
