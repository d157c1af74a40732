import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.postgres import Cluster

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other accounts can enter, unlike root's tmp_path, so that PostgreSQL's stays inside."""
    made = Path(tempfile.mkdtemp(prefix="stack-test-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """A running cluster in `folder`."""
    with Cluster(folder, durable=False, outside=folder / "outside") as running:
        yield running


@pytest.fixture
def launcher_environment() -> dict[str, str]:
    """What a launcher in a process of its own sees: this repository, and no settings of the user's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PORT", "DATABASE_URL", "MIGRATION_DATABASE_URL") and not name.startswith("TASKMANAGER_")
    }
    search = os.pathsep.join(part for part in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if part)
    return kept | {"PYTHONPATH": search, "TASKMANAGER_ENV_FILE": "", "PYTHONUNBUFFERED": "1"}
