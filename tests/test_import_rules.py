"""The import rules of `make check` notice what they forbid."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, run

# A line at the end of a module, one for each contract in pyproject.toml.
FORBIDDEN = {
    "taskmanager/problems.py": "import stack",
    "stack/errors.py": "import migration_gate.text",
    "migration_gate/text.py": "import taskmanager",
    "stack/folders.py": "import incident_lab",
    "migration_gate/reading.py": "import fastapi",
    "taskmanager/app.py": "import sqlalchemy",
    "taskmanager/observability/health.py": "import taskmanager.backup",
    "taskmanager/incidents/history.py": "import taskmanager.settings",
    "ops/grafana/boards/uids.py": "import taskmanager",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The packages and their rules, in a folder of their own."""
    for package in ("taskmanager", "migration_gate", "stack", "incident_lab", "ops"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    command = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    return run(sys.executable, "-P", "-c", command, "--no-cache", env={"PYTHONPATH": str(tree)}, cwd=tree)


def test_the_code_keeps_the_rules(tree: Path) -> None:
    kept = _lint(tree)

    assert kept.returncode == 0, kept.stdout
    assert f"{len(FORBIDDEN)} kept, 0 broken" in kept.stdout


def test_each_rule_is_broken_by_what_it_forbids(tree: Path) -> None:
    for module, line in FORBIDDEN.items():
        path = tree / module
        path.write_text(f"{path.read_text()}\n{line}\n")

    broken = _lint(tree)

    assert broken.returncode == 1
    assert f"0 kept, {len(FORBIDDEN)} broken" in broken.stdout
