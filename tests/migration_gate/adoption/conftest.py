"""The fleet's stages, each test on a copy of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import EMPTY_TEMPLATE, Database, Server
from tests.migration_gate.adoption.fleet import Fleet
from tests.migration_gate.scratch import succeed


@pytest.fixture(scope="module")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fleet, Database]]:
    """Migrated by the project's own asynchronous env.py."""
    with server.database(EMPTY_TEMPLATE) as database:
        fleet = Fleet(tmp_path_factory.mktemp("adoption") / "fleet", database.migrator_url)
        succeed(fleet.alembic_through_asyncpg_alone("upgrade", "heads"))
        yield fleet, database


@pytest.fixture(scope="module")
def taken_in(
    template: tuple[Fleet, Database], server: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Fleet, Database]]:
    """A copy that has taken up the gate and has a ledger."""
    with server.database(template[1].name) as database:
        fleet = template[0].copy(tmp_path_factory.mktemp("adopted") / "fleet", database.migrator_url)
        fleet.adopt()
        succeed(fleet.gate("ledger", "baseline", "--scratch-url", database.admin_url))
        yield fleet, database


@pytest.fixture
def original(template: tuple[Fleet, Database], server: Server, tmp_path: Path) -> Iterator[tuple[Fleet, Database]]:
    with server.database(template[1].name) as database:
        yield template[0].copy(tmp_path / "fleet", database.migrator_url), database


@pytest.fixture
def adopted(taken_in: tuple[Fleet, Database], server: Server, tmp_path: Path) -> Iterator[tuple[Fleet, Database]]:
    with server.database(taken_in[1].name) as database:
        yield taken_in[0].copy(tmp_path / "fleet", database.migrator_url), database
