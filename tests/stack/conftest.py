import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.ports import free_port
from stack.postgres import Cluster
from tests.stack.launched import LAUNCH, STAND_IN, Launched, Launcher

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
        if name not in ("PORT", "DATABASE_URL", "MIGRATION_DATABASE_URL")
        and not name.startswith(("TASKMANAGER_", "ALERT_", "SMTP_"))
    }
    search = os.pathsep.join(part for part in (str(REPOSITORY), os.environ.get("PYTHONPATH")) if part)
    return kept | {"PYTHONPATH": search, "TASKMANAGER_ENV_FILE": "", "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def launch(folder: Path, launcher_environment: dict[str, str]) -> Iterator[Launcher]:
    """Start `stack up` with a service that stands in: its `arguments` are paths it answers 503 to. An empty
    `command` runs TaskManager API itself."""
    started: list[Launched] = []

    def start(
        *arguments: str,
        command: list[str] | None = None,
        port: int | None = None,
        options: str = "",
        data: Path | None = None,
        **extra: str,
    ) -> Launched:
        port = port or free_port()
        timeout = "1" if "/readyz" in arguments else "60"
        log = folder / f"output-{len(started)}"
        service = [sys.executable, "-c", STAND_IN, str(port), *arguments] if command is None else command
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(port), data or folder / "data", timeout, options, *service],
                env=launcher_environment | extra,
                stdout=output,
                stderr=output,
            )
        started.append(Launched(process, port, data or folder / "data", log))
        return started[-1]

    yield start
    for launched in started:
        if launched.process.poll() is None:
            launched.end(signal.SIGTERM)
