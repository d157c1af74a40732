"""Schemathesis asks the running service for what its own description promises, with a key, in every phase.

A short form of what is run by hand (see schemathesis.toml); the same requests every time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.databases import MIGRATED_TEMPLATE, Server
from tests.processes import ROOT, Service, run

CONFIG = ROOT / "tests" / "hostile" / "schemathesis.toml"
PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")
FEWEST_CASES = 300

# Half a minute by itself, and several on a machine with other work.
LONGEST_S = 280
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Guarded:
    """A service that asks for a key, and a key that may do everything."""

    service: Service
    key: str

    def ask(self, *options: str, description: str | None = None, url: str | None = None) -> tuple[int, str]:
        """Exit status and output of Schemathesis."""
        location = description or f"{self.service.url}/openapi.json"
        command = [sys.executable, "-m", "schemathesis.cli", "--no-color", "--config-file", str(CONFIG)]
        command += ["run", location, "--url", url or self.service.url, "-H", f"Authorization: Bearer {self.key}"]
        done = subprocess.run(
            [*command, "--seed", "1", "--generation-deterministic", *options],
            env=os.environ
            | {"PYTHONPATH": str(ROOT), "HYPOTHESIS_STORAGE_DIRECTORY": str(self.service.log_file.parent)},
            cwd=self.service.log_file.parent,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def guarded(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    scopes = [word for scope in ("tasks:read", "tasks:write", "metrics:read") for word in ("--scope", scope)]
    made = json.loads(run(sys.executable, "-m", "taskmanager", "keys", "new", "--json", *scopes).stdout)
    with server.database(MIGRATED_TEMPLATE) as database:
        variables = {"TASKMANAGER_AUTH": "api_key", "TASKMANAGER_KEYS": made["line"], "TASKMANAGER_LOG_FORMAT": "json"}
        with Service({"DATABASE_URL": database.app_url} | variables, tmp_path_factory.mktemp("asked")) as service:
            service.wait_for("/readyz", 200)
            authorization = {"Authorization": f"Bearer {made['key']}"}
            # Something that a list can tell.
            assert service.request("POST", "/tasks", json={"title": "t"}, headers=authorization).status_code == 201
            yield Guarded(service, made["key"])
            assert "exception.stacktrace" not in service.log


def test_the_service_keeps_what_its_description_promises(guarded: Guarded) -> None:
    status, output = guarded.ask("-n", "15")

    assert status == 0, output
    (generated,) = re.findall(r"(\d+) generated", output)
    assert int(generated) >= FEWEST_CASES
    (selected, tested) = re.findall(r"(?:Selected|Tested): (\d+)", output)
    assert tested == selected.split("/")[0]
    assert all(f"✅ {phase}" in output for phase in PHASES), output


Description = dict[str, Any]
Lie = Callable[[Description], None]


def _of(description: Description, method: str, path: str = "/tasks/{id}") -> dict[str, Any]:
    operation: dict[str, Any] = description["paths"][path][method]
    return operation


def _an_answer_has_another_type(description: Description) -> None:
    description["components"]["schemas"]["Task"]["properties"]["title"]["type"] = "integer"


def _an_answer_has_one_more_member(description: Description) -> None:
    description["components"]["schemas"]["Task"]["required"].append("owner")


def _a_refusal_is_not_told(description: Description) -> None:
    del _of(description, "get")["responses"]["404"]


def _a_media_type_is_another(description: Description) -> None:
    content = _of(description, "get", "/tasks")["responses"]["200"]["content"]
    content["application/xml"] = content.pop("application/json")


def _a_header_is_promised(description: Description) -> None:
    headers = _of(description, "get", "/tasks")["responses"]["200"]["headers"]
    headers["X-Total"] = {"required": True, "schema": {"type": "integer"}}


def _limit(description: Description) -> dict[str, Any]:
    parameters = _of(description, "get", "/tasks")["parameters"]
    (schema,) = [parameter["schema"] for parameter in parameters if parameter["name"] == "limit"]
    assert schema["maximum"] == 200
    found: dict[str, Any] = schema
    return found


def _more_is_promised_than_is_taken(description: Description) -> None:
    _limit(description)["maximum"] = 100_000


def _more_is_taken_than_is_promised(description: Description) -> None:
    _limit(description)["maximum"] = 60


# Each with the operation that it is about, and with what must be found.
LIES: dict[Lie, tuple[str, str]] = {
    _an_answer_has_another_type: ("list_tasks", "ST108"),
    _an_answer_has_one_more_member: ("list_tasks", "ST108"),
    _a_refusal_is_not_told: ("get_task", "ST103"),
    _a_media_type_is_another: ("list_tasks", "ST105"),
    _a_header_is_promised: ("list_tasks", "ST107"),
    _more_is_promised_than_is_taken: ("list_tasks", "ST202"),
    _more_is_taken_than_is_promised: ("list_tasks", "ST201"),
}


def found_in(guarded: Guarded, operation: str, description: Description, folder: Path) -> str:
    """What Schemathesis finds wrong with one operation by this description."""
    file = folder / "description.json"
    file.write_text(json.dumps(description))
    _, output = guarded.ask(
        "-n", "15", "--phases", "coverage,fuzzing", "--include-operation-id", operation, description=str(file)
    )
    assert re.search(r"\d+ generated", output), output
    return output


@pytest.fixture(scope="module")
def found_in_the_truth(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is found by the description as it is, for each operation about which somebody lies."""
    description = guarded.service.get("/openapi.json").json()
    folder = tmp_path_factory.mktemp("truth")
    return {
        operation: found_in(guarded, operation, description, folder)
        for operation in {operation for operation, _ in LIES.values()}
    }


@pytest.mark.parametrize(("lie", "told"), LIES.items(), ids=[lie.__name__.strip("_") for lie in LIES])
def test_a_description_that_lies_is_found_out(
    guarded: Guarded, found_in_the_truth: dict[str, str], tmp_path: Path, lie: Lie, told: tuple[str, str]
) -> None:
    operation, finding = told
    description = guarded.service.get("/openapi.json").json()
    assert finding not in found_in_the_truth[operation]

    lie(description)

    assert finding in found_in(guarded, operation, description, tmp_path)


def test_a_service_that_asks_nobody_for_a_key_is_found_out(guarded: Guarded, server: Server, tmp_path: Path) -> None:
    with server.database(MIGRATED_TEMPLATE) as database, Service({"DATABASE_URL": database.app_url}, tmp_path) as open_:
        open_.wait_for("/readyz", 200)

        status, output = guarded.ask(
            "-n", "5", "--phases", "coverage", "--include-operation-id", "list_tasks", url=open_.url
        )  # fmt: skip

    assert status == 1, output
    assert "API accepts requests without authentication" in output or "ignored_auth" in output, output
