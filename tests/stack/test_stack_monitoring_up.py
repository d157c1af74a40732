"""`stack up --monitoring` with the real programs; with the service and its PostgreSQL where they matter."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import yaml
from dotenv import dotenv_values

from stack.monitoring.beside_service import BOARD
from stack.ports import free_port
from stack.process import wait_until
from tests import plain_http
from tests.monitoring_programs import monitoring_programs
from tests.stack.launched import PATIENCE, Launched, Launcher, gone

# The word that stands for each in options, logs and jobs; what people call it; how its command line begins.
PROGRAMS = {
    "prometheus": ("Prometheus", "prometheus --config.file"),
    "alertmanager": ("Alertmanager", "alertmanager --config.file"),
    "incidents": ("the incident receiver", "-m taskmanager incidents serve"),
}
RECEIVER_KEY = "a-key-of-the-incident-receiver"


@dataclass
class Monitored:
    """A launched service and where its monitoring listens."""

    launched: Launched
    ports: dict[str, int]

    @property
    def output(self) -> str:
        return self.launched.output

    def get(self, program: str, path: str, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return plain_http.get(f"http://127.0.0.1:{self.ports[program]}{path}", headers=headers, timeout=10).json()

    def targets(self) -> dict[str, str]:
        """Each job's health, and what was wrong at the last scrape."""
        found = self.get("prometheus", "/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: f"{target['health']} {target['lastError']}".strip() for target in found}

    def wait_for_targets(self, **expected: str) -> None:
        """All up, unless `expected` tells something else of a job."""
        wanted = dict.fromkeys(("taskmanager", *PROGRAMS), "up") | expected
        assert wait_until(lambda: self.targets() == wanted, PATIENCE, pause=0.2), (self.targets(), self.output)

    def codes(self, key: str = "") -> set[str]:
        """Of the incidents that are open."""
        return {incident["code"] for incident in self.get("incidents", "/incidents", key)}

    def pid(self, program: str) -> int:
        family = psutil.Process(self.launched.process.pid).children(recursive=True)
        commands = {member.pid: " ".join(member.cmdline()) for member in family}
        [found] = [
            pid for pid, command in commands.items() if PROGRAMS[program][1] in command and "guardian.py" not in command
        ]
        return found


Start = Callable[..., Monitored]


@pytest.fixture
def start(launch: Launcher) -> Start:
    """Start `stack up --monitoring` on ports of its own, with the service itself unless `stand_in` serves for it."""
    monitoring_programs()

    def start(*, stand_in: bool = False, data: Path | None = None, **variables: str) -> Monitored:
        ports = {program: free_port() for program in PROGRAMS}
        options = "--monitoring " + " ".join(f"--{program}-port {port}" for program, port in ports.items())
        launched = launch(command=None if stand_in else [], options=options, data=data, **variables)
        launched.wait_ready()
        return Monitored(launched, ports)

    return start


def rename(launched: Launched, old: str, new: str) -> None:
    url = dotenv_values(launched.data / "service.env")["MIGRATION_DATABASE_URL"]
    with psycopg.connect(str(url), autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_an_alert_of_the_service_reaches_the_incident_receiver_and_its_end_does_too(start: Start) -> None:
    run = start()
    for name, program, path in (
        ("Prometheus", "prometheus", ""),
        ("alerts", "prometheus", "/alerts"),
        ("Alertmanager", "alertmanager", ""),
        ("incidents", "incidents", ""),
    ):
        assert f"\n{name:13} http://127.0.0.1:{run.ports[program]}{path} " in run.output
    board = f"http://127.0.0.1:{run.ports['prometheus']}/consoles/{BOARD.name}"
    assert board in run.output
    assert plain_http.get(board).status_code == 200
    run.wait_for_targets()
    free = run.get("prometheus", "/api/v1/query?query=taskmanager_disk_free_bytes")["data"]["result"]
    assert float(free[0]["value"][1]) > 0
    assert run.codes() == set()
    rename(run.launched, "tasks", "elsewhere")
    assert wait_until(lambda: "statement_broken" in run.codes(), PATIENCE, pause=0.2), run.output
    rename(run.launched, "elsewhere", "tasks")
    assert wait_until(lambda: "statement_broken" not in run.codes(), PATIENCE, pause=0.2), run.output
    pids = run.launched.family()
    assert run.launched.end(signal.SIGINT) == 0
    assert gone(pids)
    # What is stopped on purpose is no incident.
    assert "service_down" not in (run.launched.data / "incidents" / "journal.jsonl").read_text()
    for name in ("prometheus.yml", "alertmanager.yml"):
        assert (run.launched.data / "monitoring" / name).stat().st_mode & 0o777 == 0o600


def test_parts_that_are_killed_are_told_once_and_the_service_goes_on(start: Start) -> None:
    run = start(stand_in=True)
    for program, (name, _) in PROGRAMS.items():
        os.kill(run.pid(program), signal.SIGKILL)
        line = f"{name} ended by itself with signal 9 (SIGKILL)"
        assert wait_until(lambda line=line: line in run.output, PATIENCE), run.output
        assert f"(its log: {run.launched.data / 'monitoring' / program}.log). The service goes on" in run.output
    # The launcher looks five times a second.
    time.sleep(1)
    assert run.output.count("ended by itself") == len(PROGRAMS)
    assert run.launched.get("/readyz")
    assert run.launched.end(signal.SIGINT) == 0


def test_the_end_of_the_service_ends_the_monitoring(start: Start) -> None:
    run = start(stand_in=True)
    pids = run.launched.family()
    os.kill(int(run.launched.get("/")["PID"]), signal.SIGKILL)
    assert run.launched.process.wait(PATIENCE) == 1
    assert "error: the service ended by itself with signal 9 (SIGKILL)" in run.output
    assert gone(pids)


def test_a_killed_launcher_leaves_no_monitoring_and_the_next_works_on_the_same_data(start: Start) -> None:
    run = start(stand_in=True)
    pids = run.launched.family()
    assert len(pids) > 10
    run.launched.process.kill()
    run.launched.process.wait()
    assert gone(pids)
    again = start(stand_in=True)
    assert all(again.pid(program) for program in PROGRAMS)
    assert "ended by itself" not in again.output


def test_two_run_beside_each_other_with_their_own_data(start: Start, folder: Path) -> None:
    one, other = start(stand_in=True), start(stand_in=True, data=folder / "other")
    addresses = [
        yaml.safe_load((run.launched.data / "monitoring" / "prometheus.yml").read_text())["scrape_configs"][0]
        for run in (one, other)
    ]
    for run, job in zip((one, other), addresses, strict=True):
        assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{run.launched.port}"]
        assert all(run.pid(program) for program in PROGRAMS)


def test_a_port_that_is_asked_for_and_taken_ends_it_before_anything_starts(launch: Launcher) -> None:
    monitoring_programs()
    taken = free_port()
    with socket.create_server(("127.0.0.1", taken)):
        launched = launch(options=f"--monitoring --prometheus-port {taken}")
        assert launched.process.wait(PATIENCE) == 3
    assert launched.output.startswith(f"error: port {taken} on 127.0.0.1 is taken by pid {os.getpid()} (")
    assert launched.output.count("\n") == 1
    assert not (launched.data / "postgres").exists()


def test_without_the_programs_the_service_runs_and_says_how_to_have_them(launch: Launcher, folder: Path) -> None:
    launched = launch(options="--monitoring on", PATH=str(folder))
    launched.wait_ready()
    assert (
        "the service runs without monitoring: there is no prometheus in PATH and there is no alertmanager in PATH. "
        "To have it:\n  Debian, Ubuntu: apt-get install --no-install-recommends prometheus prometheus-alertmanager\n"
    ) in launched.output
    assert "brew install prometheus alertmanager" in launched.output
    assert "\nPrometheus " not in launched.output
    assert not (launched.data / "monitoring").exists()


def test_where_it_is_left_to_the_machine_a_line_says_that_there_is_none(launch: Launcher, folder: Path) -> None:
    launched = launch(options="--monitoring auto", PATH=str(folder))
    launched.wait_ready()
    [line] = [line for line in launched.output.splitlines() if "monitoring" in line]
    assert line.startswith("no monitoring: there is no prometheus in PATH and there is no alertmanager in PATH (")
    assert "make run MONITORING=on" in line


def test_unless_it_is_asked_for_nothing_is_said_of_it(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    assert "monitoring" not in launched.output
    assert "\nPrometheus " not in launched.output


def new_key(file: Path, scope: str) -> str:
    command = [sys.executable, "-m", "taskmanager", "keys", "new", "--scope", scope, "--file", file]
    environment = os.environ | {"TASKMANAGER_ENV_FILE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    return done.stdout.strip()


def test_in_production_prometheus_gets_a_key_for_the_metrics_and_for_nothing_else(start: Start, folder: Path) -> None:
    user = new_key(folder / "keys", "tasks:read")
    before = (folder / "keys").read_text()
    run = start(
        TASKMANAGER_ENV="production",
        TASKMANAGER_KEYS_FILE=str(folder / "keys"),
        TASKMANAGER_INCIDENTS_KEY=RECEIVER_KEY,
    )
    run.wait_for_targets()
    key_file = run.launched.data / "monitoring" / "metrics.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    key = key_file.read_text().strip()
    status = {
        (name, path): plain_http.get(
            f"http://127.0.0.1:{run.launched.port}{path}", headers={"Authorization": f"Bearer {value}"}
        ).status_code
        for name, value in (("user", user), ("prometheus", key))
        for path in ("/tasks", "/metrics")
    }
    assert status == {
        ("user", "/tasks"): 200,
        ("user", "/metrics"): 403,
        ("prometheus", "/tasks"): 403,
        ("prometheus", "/metrics"): 200,
    }
    # The user's keys stay the user's, and no key is shown.
    assert (folder / "keys").read_text() == before
    assert key not in run.output
    rename(run.launched, "tasks", "elsewhere")
    assert wait_until(lambda: "statement_broken" in run.codes(RECEIVER_KEY), PATIENCE, pause=0.2), run.output


def test_a_key_of_the_users_that_the_service_refuses_is_told(start: Start, folder: Path) -> None:
    new_key(folder / "keys", "tasks:read")
    (folder / "metrics").write_text(new_key(folder / "keys", "tasks:read"))
    run = start(
        TASKMANAGER_AUTH="api_key",
        TASKMANAGER_KEYS_FILE=str(folder / "keys"),
        TASKMANAGER_METRICS_KEY_FILE=str(folder / "metrics"),
    )
    assert (
        "the service refuses Prometheus its metrics (403), so that alerts call it down: make a key with " in run.output
    )
    run.wait_for_targets(taskmanager="down server returned HTTP status 403 Forbidden")
    assert not (run.launched.data / "monitoring" / "metrics.key").exists()


def test_a_key_file_that_is_not_there_is_told_and_the_service_goes_on(start: Start, folder: Path) -> None:
    run = start(stand_in=True, TASKMANAGER_AUTH="api_key", TASKMANAGER_METRICS_KEY_FILE=str(folder / "nothing"))
    assert (
        f"TASKMANAGER_METRICS_KEY_FILE names {folder / 'nothing'}, which cannot be read: No such file or directory. "
        "Until that is mended, monitoring lacks the key\n"
    ) in run.output


def test_receivers_that_are_half_configured_are_told_and_the_incident_receiver_gets_the_alerts(start: Start) -> None:
    run = start(stand_in=True, ALERT_EMAIL_TO="somebody@example.com", ALERT_WEBHOOK_URL="http://hook.example/")
    assert (
        "ALERT_EMAIL_TO is set, and ALERT_EMAIL_FROM is not: set both\n"
        "ALERT_EMAIL_TO is set, and SMTP_HOST is not: set both\n"
        "alerts go to the incident receiver alone until that is mended\n"
    ) in run.output
    told = run.get("alertmanager", "/api/v2/status")["config"]["original"]
    assert "hook.example" not in told
    assert "email" not in told


def test_receivers_of_the_environment_are_told_of_alerts_as_well(start: Start, folder: Path) -> None:
    (folder / "settings").write_text(
        "ALERT_WEBHOOK_URL=http://hook.example/\n"
        # Meant for a container.
        "ALERT_INCIDENTS_URL=http://incidents:9095/alerts\nALERT_INCIDENTS_KEY_FILE=/run/secrets/incidents\n"
    )
    run = start(stand_in=True, TASKMANAGER_ENV_FILE=str(folder / "settings"))
    assert "alerts go to the incident receiver alone" not in run.output
    status = run.get("alertmanager", "/api/v2/status")
    receivers = yaml.safe_load(status["config"]["original"])["receivers"]
    assert [len(receiver["webhook_configs"]) for receiver in receivers] == [1, 2]
    written = (run.launched.data / "monitoring" / "alertmanager.yml").read_text()
    assert written.count(f"url: http://127.0.0.1:{run.ports['incidents']}/alerts") == 2
    assert "credentials_file" not in written
