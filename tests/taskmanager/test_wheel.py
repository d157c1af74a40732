"""The service as a wheel, installed where no checkout is: it brings its migrations."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import ROOT, Service, run

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed; the libraries are those of these tests."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    for command in (
        ("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(wheels), str(ROOT)),
        ("install", "--no-deps", "--no-index", "--find-links", str(wheels), "--target", str(folder), "taskmanager-api"),
    ):
        done = run(*PIP, *command)
        assert done.returncode == 0, done.stderr
    return folder


def test_it_migrates_and_serves_from_any_folder(installed: Path, empty_database: Database, tmp_path: Path) -> None:
    variables = {
        "PYTHONPATH": str(installed),
        "DATABASE_URL": empty_database.app_url,
        "MIGRATION_DATABASE_URL": empty_database.migrator_url,
    }
    told = run(sys.executable, "-c", "import taskmanager; print(taskmanager.__file__)", env=variables, cwd=tmp_path)
    assert told.stdout.startswith(str(installed))

    migrated = run(sys.executable, "-m", "taskmanager", "migrate", env=variables, cwd=tmp_path)
    assert migrated.returncode == 0, migrated.stderr

    with Service(variables, tmp_path, cwd=tmp_path) as service:
        service.wait_for("/readyz", 200)
        assert service.get("/tasks").json() == []


def test_it_hides_no_library_and_brings_no_module_of_a_common_name(installed: Path) -> None:
    top = {path.name for path in installed.iterdir() if path.suffix != ".dist-info" and path.name != "bin"}

    assert top == {"taskmanager", "migration_gate", "stack", "incident_lab"}
