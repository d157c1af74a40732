"""The three programs of the monitoring, each by itself and together, without a service."""

import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from stack.errors import StackError
from stack.monitoring import Monitoring, Plan, Ports
from stack.ports import free_port
from stack.process import is_running, wait_until
from tests import plain_http
from tests.monitoring_programs import monitoring_programs

PATIENCE = 30.0


@pytest.fixture
def plan() -> Plan:
    """Two replicas that nobody runs."""
    targets = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    return Plan(targets, monitoring_programs(), Ports(free_port(), free_port(), free_port()))


@pytest.fixture
def running(folder: Path, plan: Plan) -> Iterator[Monitoring]:
    with Monitoring(folder, plan) as monitoring:
        yield monitoring


def scraped(monitoring: Monitoring, job: str) -> set[str]:
    found = plain_http.get(f"{monitoring.prometheus.url}/api/v1/targets", timeout=10).json()["data"]["activeTargets"]
    return {target["labels"]["instance"] for target in found if target["labels"]["job"] == job}


def test_every_replica_is_scraped_and_a_reload_takes_over_what_has_changed(running: Monitoring) -> None:
    assert wait_until(lambda: scraped(running, "taskmanager") == set(running.plan.targets), PATIENCE, pause=0.1)
    running.plan = replace(running.plan, targets=["127.0.0.1:9"])
    running.prometheus.reload()
    assert wait_until(lambda: scraped(running, "taskmanager") == {"127.0.0.1:9"}, PATIENCE, pause=0.1)


def test_a_part_can_be_started_again_after_its_end_and_each_end_is_told_once(running: Monitoring) -> None:
    for _ in range(2):
        running.alertmanager.kill()
        [line] = running.ended()
        assert line.startswith("Alertmanager ended by itself with signal 9 (SIGKILL)")
        assert running.ended() == []
        assert not running.alertmanager.is_running
        running.alertmanager.start()
        assert running.alertmanager.wait_until_ready()
        assert running.ended() == []


def test_a_part_that_runs_is_not_started_twice(running: Monitoring) -> None:
    with pytest.raises(StackError, match=r"^Prometheus is started already$"):
        running.prometheus.start()


def test_leaving_ends_all_in_order_and_leaves_their_data(folder: Path, plan: Plan) -> None:
    with Monitoring(folder, plan) as monitoring:
        pids = [part.pid for part in monitoring.parts]
    assert not any(map(is_running, pids))
    assert [part.poll() for part in monitoring.parts] == [None, None, None]
    assert (folder / "incidents" / "journal.jsonl").is_file()
    assert (folder / "monitoring" / "prometheus" / "wal").is_dir()


def test_what_does_not_start_is_told_with_the_reason_and_the_rest_starts(folder: Path, plan: Plan) -> None:
    with socket.create_server(("127.0.0.1", plan.ports.prometheus)):
        monitoring = Monitoring(folder, plan)
        try:
            [line] = monitoring.start()
            assert "Prometheus ended by itself with code " in line
            assert "address already in use" in line
            assert monitoring.alertmanager.is_ready()
            assert monitoring.receiver.is_ready()
        finally:
            monitoring.stop()


def test_a_broken_original_is_told_and_the_rest_starts(folder: Path, plan: Plan) -> None:
    broken = folder / "prometheus.yml"
    broken.write_text("rule_files: 3\n")
    monitoring = Monitoring(folder, replace(plan, original=broken))
    try:
        [line] = monitoring.start()
        assert line.startswith(f"Prometheus is not started: {broken} is not the configuration it was: ")
        assert monitoring.alertmanager.is_ready()
    finally:
        monitoring.stop()


def test_what_began_before_is_not_started_twice_and_what_failed_is_told_once(folder: Path, plan: Plan) -> None:
    monitoring = Monitoring(folder, replace(plan, receiver=["/no-such-program"]))
    try:
        [line] = monitoring.begin()
        assert line.startswith("the incident receiver is not started: /no-such-program: ")
        began = monitoring.alertmanager.pid
        assert monitoring.start() == []
        assert monitoring.alertmanager.pid == began
        assert monitoring.prometheus.is_running
    finally:
        monitoring.stop()


def test_as_a_context_it_refuses_to_begin_by_halves(folder: Path, plan: Plan) -> None:
    monitoring = Monitoring(folder, replace(plan, receiver=["sh", "-c", "echo no such luck; exit 3"]))
    with (
        pytest.raises(StackError, match=r"the incident receiver ended by itself with code 3: no such luck"),
        monitoring,
    ):
        pytest.fail("it began")
    assert not any(part.is_running for part in monitoring.parts)


def test_a_part_that_does_not_answer_yet_is_told(folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monitoring = Monitoring(folder, replace(plan, receiver=["sleep", "600"]))
    monkeypatch.setattr(monitoring.receiver, "wait_until_ready", lambda: False)
    try:
        [line] = monitoring.start()
        assert line.startswith(
            f"the incident receiver does not answer on 127.0.0.1:{plan.ports.incidents} yet (its log: "
        )
    finally:
        monitoring.stop()


def test_the_data_are_bounded_and_nothing_listens_but_on_this_machine(running: Monitoring) -> None:
    flags = plain_http.get(f"{running.prometheus.url}/api/v1/status/flags").json()["data"]
    assert flags["storage.tsdb.retention.time"] == "30d"
    # Prometheus shows the same number in its own way.
    assert flags["storage.tsdb.retention.size"] in ("1GB", "1GiB")
    assert flags["rules.alert.resend-delay"] == "5s"
    assert flags["web.listen-address"] == running.prometheus.address
    status = plain_http.get(f"{running.alertmanager.url}/api/v2/status").json()
    assert status["cluster"]["status"] == "disabled"
    assert yaml.safe_load(status["config"]["original"])["route"]["receiver"] == "on-call"
    running.prometheus.hasten()
    assert wait_until(lambda: running.prometheus.poll() == 128 + signal.SIGKILL, PATIENCE)


def test_the_receiver_knows_the_alertmanager_beside_it(running: Monitoring) -> None:
    command = psutil.Process(running.receiver.pid).cmdline()
    assert command[command.index("--alertmanager") + 1] == running.alertmanager.url
