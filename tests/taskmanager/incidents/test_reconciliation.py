"""Open incidents are compared with what a real Alertmanager has: what ended while it was muted is resolved, and
nothing that a restarted Alertmanager has not been told of yet."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from taskmanager.incidents.absences import Held
from taskmanager.incidents.journal import Journal
from taskmanager.incidents.metrics import new_registry
from taskmanager.incidents.receiver import Receiver as History
from taskmanager.incidents.reconciliation import Reconciliation, asking
from taskmanager.incidents.web import Unreachable
from taskmanager.incidents.webhook import read_notification
from tests.processes import free_port, run
from tests.taskmanager.incidents.monitoring import Alertmanager
from tests.taskmanager.incidents.receivers import COMMAND, Receiver, Receivers, alert, notification, watchdog

SYMPTOM = {
    "alertname": "RequestsFail",
    "severity": "warning",
    "service": "taskmanager",
    "env": "test",
    "code": "high_error_rate",
}
CAUSE = SYMPTOM | {"alertname": "SchemaNotMigrated", "severity": "critical", "code": "behind"}
WATCHDOG = {"alertname": "Watchdog", "severity": "none", "env": "test", "code": "watchdog"}


class _Prometheus:
    """What Prometheus does to Alertmanager: posts alerts, and their ends. The times are its own."""

    def __init__(self, alertmanager: Alertmanager) -> None:
        self.alertmanager = alertmanager
        self._starts: dict[str, datetime] = {}

    def fires(self, labels: dict[str, str], *, anew: bool = False) -> None:
        starts = self._starts
        if anew or labels["alertname"] not in starts:
            starts[labels["alertname"]] = datetime.now(UTC)
        self._post(labels, datetime.now(UTC) + timedelta(hours=1))

    def ends(self, labels: dict[str, str]) -> None:
        self._post(labels, datetime.now(UTC))

    def state(self, labels: dict[str, str]) -> str | None:
        found = self.alertmanager.get("/api/v2/alerts").json()
        return next((each["status"]["state"] for each in found if each["labels"] == labels), None)

    def _post(self, labels: dict[str, str], ends: datetime) -> None:
        starts = self._starts[labels["alertname"]].isoformat()
        alert = {"labels": labels, "startsAt": starts, "endsAt": ends.isoformat()}
        assert self.alertmanager.request("POST", "/api/v2/alerts", json=[alert]).status_code == 200


def _wait(is_so: Callable[[], Any], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def _state(receiver: Receiver, code: str) -> str | None:
    return next((each["state"] for each in receiver.incidents() if each["code"] == code), None)


@pytest.mark.timeout(180)
def test_an_alert_that_ends_while_it_is_muted_is_resolved_and_its_return_reopens_it(
    tmp_path: Path, receive: Receivers
) -> None:
    port = free_port()
    url = {"TASKMANAGER_INCIDENTS_ALERTMANAGER": f"http://127.0.0.1:{port}/"}
    receiver = receive("--gone-after", "1s", environment=url)
    key_file = tmp_path / "no-key"
    key_file.write_text("")
    with Alertmanager(tmp_path / "am", f"{receiver.url}/alerts", key_file, port=port) as alertmanager:
        prometheus = _Prometheus(alertmanager)
        for labels in (WATCHDOG, SYMPTOM):
            prometheus.fires(labels)
        _wait(lambda: _state(receiver, "high_error_rate") == "open")
        prometheus.fires(CAUSE)
        _wait(lambda: _state(receiver, "behind") == "open" and prometheus.state(SYMPTOM) == "suppressed")
        prometheus.ends(SYMPTOM)
        _wait(lambda: prometheus.state(SYMPTOM) is None)

        _wait(lambda: _state(receiver, "high_error_rate") == "resolved", within_s=50)
        [symptom] = [each for each in receiver.incidents() if each["code"] == "high_error_rate"]
        assert (symptom["resolved_by"], symptom["ends_at"]) == ("alertmanager", None)
        assert _state(receiver, "behind") == "open", "it is still there"
        assert "Alertmanager did not tell the alert's end; asked" in receiver.command("show", str(symptom["id"])).stdout

        # Alertmanager takes it for the firing that it has notified, and would be silent for an hour.
        prometheus.ends(CAUSE)
        _wait(lambda: _state(receiver, "behind") == "resolved")
        prometheus.fires(SYMPTOM, anew=True)
        _wait(lambda: _state(receiver, "high_error_rate") == "open", within_s=35)
    told = receiver.command("postmortem", str(symptom["id"])).stdout
    assert "resolved: Alertmanager, asked, no longer has the alert, whose end it had not told" in told


class _Desk:
    """The receiver's history in this process, and looks whenever the test wants one."""

    def __init__(self, journal: Journal, ask: Callable[[], Held]) -> None:
        self.receiver = History(journal)
        self.reconciliation = Reconciliation(self.receiver, ask, gone_after_s=0)

    async def told(self, *alerts: dict[str, Any]) -> None:
        await self.receiver.take(read_notification(notification(*alerts)))

    async def looks(self, times: int) -> None:
        for _ in range(times):
            await self.reconciliation.look()

    @property
    def open(self) -> list[str]:
        return [incident.alert.fingerprint for incident in self.receiver.history.listed("open")]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.jsonl")
    yield journal
    journal.close()


async def test_an_empty_alertmanager_after_a_restart_closes_nothing(
    tmp_path: Path, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "taskmanager.incidents")
    port = free_port()
    desk = _Desk(journal, asking(f"http://127.0.0.1:{port}"))
    nobody = f"http://127.0.0.1:{free_port()}/alerts"
    with ExitStack() as running:
        first = running.enter_context(Alertmanager(tmp_path / "first", nobody, tmp_path / "no-key", port=port))
        prometheus = _Prometheus(first)
        for labels in (WATCHDOG, SYMPTOM, CAUSE):
            prometheus.fires(labels)
        fingerprints = {each["labels"]["code"]: each["fingerprint"] for each in first.get("/api/v2/alerts").json()}
        symptom, cause = (alert() | {"fingerprint": fingerprints[code]} for code in ("high_error_rate", "behind"))
        await desk.told(watchdog(), symptom, cause)
        _wait(lambda: prometheus.state(SYMPTOM) == "suppressed")
        await desk.looks(3)
        assert len(desk.open) == 2, "one that is muted is there"

        first.stop()
        await desk.looks(3)
        assert len(desk.open) == 2
        assert desk.receiver.alertmanager_failures == 3

        second = running.enter_context(Alertmanager(tmp_path / "second", nobody, tmp_path / "no-key", port=port))
        assert second.get("/api/v2/alerts").json() == []
        await desk.looks(3)
        assert len(desk.open) == 2, "Prometheus has not told it yet what fires"
        prometheus.alertmanager = second
        for labels in (SYMPTOM, WATCHDOG):
            prometheus.fires(labels)
        await desk.looks(1)
        assert len(desk.open) == 2
        await desk.looks(2)
        assert desk.open == [symptom["fingerprint"]], "the cause ended while no Alertmanager ran"

    assert [record.message for record in caplog.records if record.name.startswith("taskmanager")] == [
        "Alertmanager does not say which alerts it has: connection refused; nothing is resolved until it does",
        "Alertmanager says again which alerts it has",
    ]
    failures = new_registry(desk.receiver).get_sample_value("taskmanager_incidents_alertmanager_failures_total")
    assert failures == 3


WITH_WATCHDOG = Held({}, frozenset(), watchdog=True)


@pytest.mark.parametrize(
    ("heard", "found"),
    [
        ([], WITH_WATCHDOG),
        ([watchdog(), watchdog("resolved")], WITH_WATCHDOG),
        ([watchdog()], Held({}, frozenset(), watchdog=False)),
    ],
    ids=["never heard", "heard to end", "not in the answer"],
)
async def test_without_the_watchdog_nothing_is_over(journal: Journal, heard: list[dict[str, Any]], found: Held) -> None:
    desk = _Desk(journal, lambda: found)
    await desk.told(alert(), *heard)

    await desk.looks(4)
    assert len(desk.open) == 1
    desk.reconciliation._ask = lambda: WITH_WATCHDOG
    await desk.told(watchdog())
    await desk.looks(1)
    assert len(desk.open) == 1, "the looks before do not count"
    await desk.looks(1)
    assert desk.open == []


async def test_a_look_without_an_answer_parts_the_two_that_are_needed(journal: Journal) -> None:
    answers: list[Held | Unreachable] = [WITH_WATCHDOG, Unreachable("no answer in time"), WITH_WATCHDOG, WITH_WATCHDOG]

    def ask() -> Held:
        answer = answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer

    desk = _Desk(journal, ask)
    await desk.told(alert(), watchdog())
    await desk.looks(3)
    assert len(desk.open) == 1
    await desk.looks(1)
    assert desk.open == []


async def test_nobody_is_asked_while_nothing_is_open(journal: Journal) -> None:
    asked: list[None] = []

    def ask() -> Held:
        asked.append(None)
        return WITH_WATCHDOG

    desk = _Desk(journal, ask)
    await desk.told(watchdog())
    await desk.looks(2)
    assert asked == []
    await desk.told(alert())
    await desk.looks(1)
    assert len(asked) == 1


async def test_a_webhook_does_not_wait_for_an_alertmanager_that_hangs(journal: Journal) -> None:
    hangs, asked = threading.Event(), threading.Event()

    def ask() -> Held:
        asked.set()
        hangs.wait(30)
        return WITH_WATCHDOG

    desk = _Desk(journal, ask)
    await desk.told(alert(1), watchdog())
    look = asyncio.create_task(desk.reconciliation.look())
    try:
        await asyncio.to_thread(asked.wait, 10)
        await asyncio.wait_for(desk.told(alert(2)), 10)
        assert len(desk.open) == 2
        assert not look.done()
    finally:
        hangs.set()
        await look


async def test_a_look_that_fails_is_told_and_not_the_last_one(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [RuntimeError("a fault of ours")]
    asked_again = threading.Event()

    def ask() -> Held:
        if faults:
            raise faults.pop()
        asked_again.set()
        return WITH_WATCHDOG

    desk = _Desk(journal, ask)
    await desk.told(alert(), watchdog())
    task = asyncio.create_task(desk.reconciliation.keep_looking(every_s=0.01))
    assert await asyncio.to_thread(asked_again.wait, 10)
    task.cancel()
    assert "comparing the open incidents with Alertmanager's alerts failed" in caplog.text


@pytest.mark.parametrize(
    "url", ["localhost:9093", "http://", "http://canary:secret@h:9093", "http://h:9093/?q=canary", "http://h:x"]
)
@pytest.mark.parametrize("by", ["option", "variable"])
def test_an_address_that_is_none_is_refused_and_not_quoted(tmp_path: Path, url: str, by: str) -> None:
    option = ("--alertmanager", url) if by == "option" else ()
    variables = {"TASKMANAGER_INCIDENTS_ALERTMANAGER": url} if by == "variable" else {}
    journal = tmp_path / "journal.jsonl"
    done = run(*COMMAND, "serve", "--port", str(free_port()), "--journal", str(journal), *option, env=variables)

    assert done.returncode == 78
    name = "--alertmanager" if by == "option" else "TASKMANAGER_INCIDENTS_ALERTMANAGER"
    assert f"{name} is no address: http://HOST:9093" in done.stderr
    assert "canary" not in done.stderr
    assert not journal.exists()
