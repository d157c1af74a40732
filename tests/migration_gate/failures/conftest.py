"""What the tests of the failures share: the ferries, before their first migration and on their way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import Database
from tests.migration_gate.failures.ferries import Ferries, sailing


@pytest.fixture
def ferries(tmp_path: Path, empty_database: Database) -> Ferries:
    """The project with its four migrations, none applied."""
    ferries = Ferries(tmp_path / "ferries", empty_database)
    ferries.write_history()
    return ferries


@pytest.fixture
def under_way(ferries: Ferries) -> Ferries:
    """The same at the code's head, with three sailings."""
    return sailing(ferries)
