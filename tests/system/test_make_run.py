"""What `make run` runs: the launcher with the real PostgreSQL and the real service, and what survives a kill."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from dotenv import dotenv_values

from tests import plain_http
from tests.processes import Service, run

Launch = Callable[..., Service]

UP = (sys.executable, "-m", "stack", "up", "--port", "{port}", "--data")


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that PostgreSQL's account can enter where root runs the tests; pytest's own cannot be."""
    folder = Path(tempfile.mkdtemp(prefix="taskmanager-run-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def launch(data: Path, tmp_path: Path) -> Iterator[Launch]:
    with ExitStack() as running:

        def start(status: int = 200, **variables: str) -> Service:
            """Returns once /tasks answers with `status`."""
            launcher = running.enter_context(Service(variables, tmp_path, command=(*UP, str(data))))
            launcher.wait_for("/tasks", status)
            running.callback(_end, launcher, _family(launcher.process.pid))
            return launcher

        yield start


def test_it_serves_tells_where_and_stops_without_a_trace(launch: Launch, data: Path) -> None:
    launcher = launch()
    created = launcher.request("POST", "/tasks", json={"title": "kept"})
    assert created.status_code == 201
    _wait_for_line(launcher, "Ctrl-C stops everything")
    for place in ("/tasks", "/docs", "/health", "/metrics"):
        assert launcher.url + place in launcher.log
    addresses = dotenv_values(data / "service.env")
    assert "taskmanager_app" in str(addresses["DATABASE_URL"])
    assert "taskmanager_migrator" in str(addresses["MIGRATION_DATABASE_URL"])
    for address in filter(None, addresses.values()):
        assert str(psycopg.conninfo.conninfo_to_dict(str(address))["password"]) not in launcher.log
    family = _family(launcher.process.pid)

    assert launcher.stop(signal.SIGINT) == 0

    assert not [process for process in family if process.is_running()]
    assert not (data / "service.env").exists()
    assert launch().get("/tasks/1").json()["title"] == "kept"


def test_alembic_finds_the_running_server_when_no_address_is_set(launch: Launch, data: Path) -> None:
    launch()
    environment = {"TASKMANAGER_ENV_FILE": str(data / "service.env")}

    current = run(sys.executable, "-m", "alembic", "current", "--check-heads", env=environment)

    assert current.returncode == 0, current.stderr
    assert "(head)" in current.stdout


@pytest.mark.parametrize("victim", ["launcher", "service", "postmaster"])
def test_after_a_kill_the_next_start_works_and_every_acknowledged_task_is_there(
    launch: Launch, data: Path, victim: str
) -> None:
    launcher = launch()
    processes = _family(launcher.process.pid)
    acknowledged: list[int] = []
    writer = threading.Thread(target=_write_until_it_fails, args=(launcher.url, acknowledged))
    writer.start()
    _wait_for_tasks(30, acknowledged, writer, launcher)

    os.kill(_pid_of(victim, launcher, processes), signal.SIGKILL)

    writer.join(timeout=30)
    assert not writer.is_alive()
    assert launcher.process.wait(timeout=30) != 0
    _, left = psutil.wait_procs(processes, timeout=30)
    assert left == []
    launch()
    # Not by the API, which lists no more than a page.
    with psycopg.connect(str(dotenv_values(data / "service.env")["MIGRATION_DATABASE_URL"])) as connection:
        stored = {row[0] for row in connection.execute("SELECT id FROM tasks")}
    assert set(acknowledged) <= stored


def test_a_second_start_on_the_same_folder_is_refused_in_one_line(launch: Launch, data: Path) -> None:
    first = launch()

    second = run(sys.executable, "-m", "stack", "up", "--port", "8999", "--data", str(data))

    assert second.returncode == 4
    assert second.stderr.count("\n") == 1
    assert first.url in second.stderr
    assert first.get("/tasks").status_code == 200


def test_where_nobody_migrates_the_command_it_tells_lets_traffic_flow(launch: Launch) -> None:
    launcher = launch(503, TASKMANAGER_MIGRATE="never")
    _wait_for_line(launcher, "Ctrl-C stops everything")
    [command] = [line for line in launcher.log.splitlines() if line.endswith("alembic upgrade head")]

    typed = run("/bin/sh", "-c", command)

    assert typed.returncode == 0, typed.stderr
    launcher.wait_for("/tasks", 200)


def _wait_for_tasks(count: int, acknowledged: list[int], writer: threading.Thread, launcher: Service) -> None:
    deadline = time.monotonic() + 30
    while len(acknowledged) < count:
        assert writer.is_alive(), f"writing ended after {len(acknowledged)} tasks:\n{launcher.log}"
        assert time.monotonic() < deadline, f"only {len(acknowledged)} tasks were written:\n{launcher.log}"
        time.sleep(0.01)


def _write_until_it_fails(url: str, acknowledged: list[int]) -> None:
    with plain_http.Client(base_url=url, timeout=5) as client:
        while True:
            try:
                response = client.post("/tasks", json={"title": "kept"})
            except httpx.TransportError:
                return
            if response.status_code != 201:
                return
            acknowledged.append(response.json()["id"])


def _family(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _pid_of(victim: str, launcher: Service, processes: list[psutil.Process]) -> int:
    if victim == "launcher":
        return launcher.process.pid
    marks = {"service": {"-m", "taskmanager", "serve"}, "postmaster": {"-D"}}[victim]
    commands = {process.pid: _command(process) for process in processes}
    found = [
        pid
        for pid, command in commands.items()
        if marks <= set(command) and not any(part.endswith("guardian.py") for part in command)
    ]
    assert len(found) == 1, found
    return found[0]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # PostgreSQL's sessions come and go
        return []


def _end(launcher: Service, processes: list[psutil.Process]) -> None:
    """The launcher's children outlive a killed launcher by a moment; the folder is removed after them."""
    launcher.stop(signal.SIGINT)
    psutil.wait_procs(processes, timeout=20)


def _wait_for_line(service: Service, line: str) -> None:
    deadline = time.monotonic() + 10
    while line not in service.log:
        assert time.monotonic() < deadline, service.log
        time.sleep(0.02)
