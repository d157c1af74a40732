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

from tests.processes import Service, run

Launch = Callable[[], Service]

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

        def start() -> Service:
            launcher = running.enter_context(Service({}, tmp_path, command=(*UP, str(data))))
            launcher.wait_for("/tasks", 200)
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
    for address in addresses.values():
        assert psycopg.conninfo.conninfo_to_dict(str(address))["password"] not in launcher.log
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
def test_after_a_kill_the_next_start_works_and_every_acknowledged_task_is_there(launch: Launch, victim: str) -> None:
    launcher = launch()
    processes = _family(launcher.process.pid)
    acknowledged: list[int] = []
    writer = threading.Thread(target=_write_until_it_fails, args=(launcher.url, acknowledged))
    writer.start()
    while len(acknowledged) < 30:
        time.sleep(0.01)

    os.kill(_pid_of(victim, launcher, processes), signal.SIGKILL)

    writer.join(timeout=30)
    assert not writer.is_alive()
    assert launcher.process.wait(timeout=30) != 0
    _, left = psutil.wait_procs(processes, timeout=30)
    assert left == []
    stored = {task["id"] for task in launch().get("/tasks?limit=200").json()}
    assert set(acknowledged[-100:]) <= stored


def test_a_second_start_on_the_same_folder_is_refused_in_one_line(launch: Launch, data: Path) -> None:
    first = launch()

    second = run(sys.executable, "-m", "stack", "up", "--port", "8999", "--data", str(data))

    assert second.returncode == 4
    assert second.stderr.count("\n") == 1
    assert first.url in second.stderr
    assert first.get("/tasks").status_code == 200


def _write_until_it_fails(url: str, acknowledged: list[int]) -> None:
    with httpx.Client(base_url=url, timeout=5) as client:
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
