"""Without a DSN nothing of Sentry is there; with one, whether it answers is no matter to anybody."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.databases import Database
from tests.processes import ROOT, Service, free_port, run
from tests.taskmanager.observability.capture import Capture
from tests.taskmanager.observability.conftest import FAULTY_SERVICE

Serve = Callable[..., Service]

CANARY = "canary4711"
TASK = {"title": CANARY}


def test_without_a_dsn_the_library_is_not_even_imported(migrated_database: Database, tmp_path: Path) -> None:
    command = (
        "import sys; from taskmanager.app import create_app; from taskmanager.observability import sentry;"
        " create_app(); sentry.report(ValueError('x')); sentry.report_state('x', code='x'); sentry.flush();"
        " print([name for name in sys.modules if name.startswith('sentry_sdk')])"
    )
    environment = {"DATABASE_URL": migrated_database.app_url, "PYTHONPATH": str(ROOT)}

    done = run(sys.executable, "-c", command, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr
    with_one = run(
        sys.executable, "-c", command, env=environment | {"SENTRY_DSN": "http://k@127.0.0.1:9/1"}, cwd=tmp_path
    )
    assert "'sentry_sdk'" in with_one.stdout.splitlines()[-1], with_one.stderr


def test_without_a_dsn_a_migration_does_not_import_it_either(migrated_database: Database, tmp_path: Path) -> None:
    command = (
        "import sys; from taskmanager.cli import main; status = main(['migrate']);"
        " print(status, [name for name in sys.modules if name.startswith('sentry_sdk')])"
    )
    environment = {"DATABASE_URL": migrated_database.app_url, "MIGRATION_DATABASE_URL": migrated_database.migrator_url}

    done = run(sys.executable, "-c", command, env=environment | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path)

    assert done.stdout.splitlines()[-1] == "0 []", done.stderr


@pytest.mark.parametrize("silent", [False, True], ids=["nothing listens", "it takes and never answers"])
def test_a_sentry_that_is_gone_is_no_matter_to_anybody(migrated_database: Database, serve: Serve, silent: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1] if silent else free_port()
        service = serve(
            migrated_database,
            command=FAULTY_SERVICE,
            SENTRY_DSN=f"http://key@127.0.0.1:{port}/1",
            TASKMANAGER_LOG_FORMAT="json",
        )
        service.wait_for("/tasks", 200)
        durations = []
        for _ in range(20):
            began = time.monotonic()
            assert service.request("PUT", "/faulty/1", json=TASK).status_code == 500
            durations.append(time.monotonic() - began)
        assert service.get("/tasks").status_code == 200
        # One event takes five seconds to be given up.
        assert max(durations) < 4

        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 8
    lines = [json.loads(line) for line in service.log.splitlines() if line.startswith("{")]
    losses = [line for line in lines if line["logger"] == "taskmanager.observability.sentry"]
    assert len(losses) <= 1
    assert silent or losses[0]["event"] == "Sentry did not take an event: network"


@pytest.mark.parametrize(
    ("dsn", "fault"),
    [
        (f"{CANARY}", "does not begin with https://"),
        (f"https://{CANARY}.example/1", "no public key"),
        (f"https://key@{CANARY}.example/", "does not end with the project's number"),
        (f"https://key@{CANARY}.example/project", "does not end with the project's number"),
        (f"https://key:{CANARY}@/1", "names no host"),
        (f"https://key@{CANARY}.example:port/1", "this is no address"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_without_being_told(dsn: str, fault: str, tmp_path: Path) -> None:
    done = run(
        sys.executable, "-m", "taskmanager", "serve", env={"SENTRY_DSN": dsn, "PYTHONPATH": str(ROOT)}, cwd=tmp_path
    )

    assert done.returncode == 78
    assert done.stderr.startswith("taskmanager: SENTRY_DSN: ")
    assert fault in done.stderr
    assert "https://PUBLIC_KEY@HOST/PROJECT_NUMBER" in done.stderr
    assert CANARY not in done.stderr


def test_what_ends_the_process_is_told(migrated_database: Database, sentry: Capture, tmp_path: Path) -> None:
    command = (
        f"from taskmanager.app import create_app; create_app()\ndef start(): raise RuntimeError({CANARY!r})\nstart()"
    )
    environment = {"DATABASE_URL": migrated_database.app_url, "SENTRY_DSN": sentry.dsn, "PYTHONPATH": str(ROOT)}

    done = run(sys.executable, "-c", command, env=environment, cwd=tmp_path)

    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    (event,) = sentry.events()
    assert (event["level"], event["tags"]["code"]) == ("fatal", "crashed")
    assert CANARY not in sentry.everything
