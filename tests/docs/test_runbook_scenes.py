"""What the runbooks show is what their commands print on a database in that very state, and what they say mends it.

The scenes are a library's; a runbook's names stand for those of the test's own database and roles.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Database
from tests.docs.fenced import Command, examples, prints
from tests.docs.gate_commands import fences
from tests.docs.gate_scenes import SCENES
from tests.docs.runbook_codes import GATE_CODES
from tests.migration_gate.adopters import FASTAPI
from tests.migration_gate.scratch import Project
from tests.processes import ROOT, Service, lacking

RUNBOOKS = ROOT / "docs" / "runbooks"

# Which blocks of "Mend it" are run, one list for each way; the others need a repository, a cluster or a decision.
MENDED_BY = {
    "never_migrated": [[0]],
    "behind": [[0, 1]],
    "unversioned": [[0]],
    "tampered": [[1]],
    "multiple_heads": [[1, 2]],
    "incomplete": [[0, 1]],
    "drifted": [[0], [1]],
    "privileges_missing": [[0]],
    "statement_broken": [[0]],
    "ahead_incompatible": [[2]],
}

_METRICS = """
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from migration_gate.metrics import SchemaCollector

gate = SchemaGate(app, config="alembic.ini")
registry = CollectorRegistry()
registry.register(SchemaCollector(gate))

@app.get("/metrics")
def metrics():
    return PlainTextResponse(generate_latest(registry))
"""


class Library:
    """A project whose database is in a state, and a shell in which a runbook's commands are typed."""

    def __init__(self, code: str, project: Project, database: Database) -> None:
        self._project, self._database = project, database
        project.write_history()
        SCENES[code](project, database)
        self._names = {
            "library_owner": "taskmanager_migrator",
            "library_app": "taskmanager_app",
            "'library'": f"'{database.name}'",
            "/library:": f"/{database.name}:",
        }
        self._variables = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LC_ALL": "C.UTF-8",
            "MIGRATION_DATABASE_URL": database.migrator_url,
            "DATABASE_URL": database.app_url,
            "ADMIN_URL": database.admin_url,
            "SCRATCH_URL": database.admin_url,
        }
        if code == "unreachable":
            address = database.app_url.rpartition("@")[0] + f"@127.0.0.1:1/{database.name}"
            self._variables |= {"MIGRATION_DATABASE_URL": address, "DATABASE_URL": address}

    def type(self, text: str, service: Service | None = None) -> subprocess.CompletedProcess[str]:
        """Run a text in bash. Output and error come as one, in the names of the runbook."""
        for documented, real in self._names.items():
            text = text.replace(documented, real)
        if service is not None:
            text = text.replace("http://localhost:8000", service.url)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-c", text],
            cwd=self._project.folder,
            env=os.environ | self._variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        for documented, real in self._names.items():
            done.stdout = done.stdout.replace(real, documented)
        return done

    def serve(self) -> Service:
        """The application with its metrics, as a process."""
        (self._project.folder / "app.py").write_text(FASTAPI.format(options="") + _METRICS)
        environment = self._variables | {"PYTHONPATH": f"{self._project.folder}:{ROOT}"}
        del environment["MIGRATION_DATABASE_URL"]
        command = (sys.executable, "-m", "uvicorn", "app:gate", "--port", "{port}")
        return Service(environment, self._project.folder, command, cwd=self._project.folder)


@pytest.fixture
def project(tmp_path: Path, empty_database: Database) -> Project:
    return Project(tmp_path / "project", empty_database.migrator_url)


@pytest.fixture(autouse=True)
def psql() -> None:
    if shutil.which("psql") is None:
        lacking("psql", "install PostgreSQL's client")


@pytest.mark.parametrize("code", sorted(GATE_CODES))
def test_the_runbook_shows_what_its_commands_print(code: str, project: Project, empty_database: Database) -> None:
    library = Library(code, project, empty_database)
    shown = [each for each in _shown(code) if "curl " not in each.text]

    assert shown
    for command in shown:
        printed = library.type(command.text).stdout
        assert prints(command.expected, printed), f"{command.text}\n{printed}"


@pytest.mark.parametrize("code", [code for code in GATE_CODES if "$ curl " in (RUNBOOKS / f"{code}.md").read_text()])
def test_the_runbook_shows_what_the_service_tells(code: str, project: Project, empty_database: Database) -> None:
    library = Library(code, project, empty_database)
    with library.serve() as service:
        service.wait_for("/livez", 200)
        for command in _shown(code):
            if "curl " in command.text:
                printed = library.type(command.text, service).stdout
                assert prints(command.expected, printed), f"{command.text}\n{printed}"


@pytest.mark.parametrize(
    ("code", "blocks"),
    [pytest.param(code, blocks, id=f"{code}-{blocks}") for code, ways in MENDED_BY.items() for blocks in ways],
)
def test_what_the_runbook_says_mends_it(
    code: str, blocks: list[int], project: Project, empty_database: Database
) -> None:
    library = Library(code, project, empty_database)
    document = (RUNBOOKS / f"{code}.md").read_text(encoding="utf-8")
    mending = list(fences(document.partition("\n## Mend it\n")[2].partition("\n## ")[0], "sh"))

    for number in blocks:
        done = library.type(mending[number])
        assert done.returncode == 0, done.stdout

    status = library.type("migration-gate status")
    assert status.returncode == 0, status.stdout
    assert status.stdout.startswith("ahead_incompatible: " if code == "ahead_incompatible" else "current: ")


def _shown(code: str) -> list[Command]:
    document = (RUNBOOKS / f"{code}.md").read_text(encoding="utf-8")
    blocks = "".join(f"```console\n{text}```\n" for text in fences(document, "console"))
    return [each for each in examples(blocks) if isinstance(each, Command)]
