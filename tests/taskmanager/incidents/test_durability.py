"""Nothing that was answered 200 is lost: not by kill -9, and not by a full disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from taskmanager.incidents.journal import Journal, JournalNotWritable, read
from taskmanager.incidents.receiver import Receiver as InThisProcess
from taskmanager.incidents.webhook import read_notification
from tests import plain_http
from tests.processes import lacking
from tests.taskmanager.incidents.monitoring import Alertmanager
from tests.taskmanager.incidents.receivers import JSON, Receiver, Receivers, alert, notification

WRITERS = 4
ROUNDS = 4

# Run the command that follows, with files of 9 kB at most.
LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
os.execv(sys.argv[1], sys.argv[1:])
"""


class _Writers:
    """Threads that send alerts, each another one, and remember which were answered 200."""

    def __init__(self, receiver: Receiver, numbers: Iterator[int]) -> None:
        self.acknowledged: set[str] = set()
        self._receiver = receiver
        self._numbers = numbers
        self._threads = [threading.Thread(target=self._write) for _ in range(WRITERS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_for(self, alerts: int) -> None:
        _wait(lambda: len(self.acknowledged) >= alerts)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()

    def _write(self) -> None:
        with plain_http.Client(base_url=self._receiver.url, timeout=10) as client:
            while True:
                sent = [alert(next(self._numbers)) for _ in range(3)]
                try:
                    answer = client.post("/alerts", content=notification(*sent), headers=JSON)
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self.acknowledged |= {each["fingerprint"] for each in sent}


class _Numbers(Iterator[int]):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def __next__(self) -> int:
        with self._lock:
            self._last += 1
            return self._last


def test_kill_9_while_it_writes_loses_nothing_that_was_answered_200(receive: Receivers) -> None:
    numbers, chance = _Numbers(), random.Random(4711)  # noqa: S311
    acknowledged: set[str] = set()
    for _ in range(ROUNDS):
        receiver = receive()
        writers = _Writers(receiver, numbers)
        writers.start()
        writers.wait_for(30)
        time.sleep(chance.random() / 2)
        receiver.stop(signal.SIGKILL)
        writers.join()
        acknowledged |= writers.acknowledged

    again = receive()
    kept = [incident["fingerprint"] for incident in again.incidents()]
    assert acknowledged <= set(kept)
    assert len(kept) == len(set(kept)), "an alert that was sent again is no second incident"
    assert again.get("/readyz").json() == {"status": "ready", "damaged_lines": []}
    assert [entry["seq"] for entry in again.entries()] == list(range(1, len(again.entries()) + 1))


def _take_until_refused(receiver: Receiver, numbers: Iterator[int]) -> set[str]:
    taken = set()
    for _ in range(1000):
        sent = alert(next(numbers))
        status = receiver.notify(sent)
        if status != 200:
            assert status == 503
            return taken
        taken.add(sent["fingerprint"])
    raise AssertionError("the disk was never full")


def _is_refused_without_loss(receiver: Receiver, numbers: Iterator[int]) -> set[str]:
    """Fill the disk, and look at what it answers while it is full."""
    taken = _take_until_refused(receiver, numbers)
    refused = receiver.request("POST", "/alerts", content=notification(alert(next(numbers))), headers=JSON)
    assert refused.status_code == 503
    assert refused.json()["code"] == "journal_not_writable"
    assert "send it again" in refused.json()["detail"]
    assert receiver.get("/readyz").status_code == 503
    assert receiver.get("/livez").status_code == 200
    assert {incident["fingerprint"] for incident in receiver.incidents()} == taken
    failures = next(
        line
        for line in receiver.get("/metrics").text.splitlines()
        if line.startswith("taskmanager_incidents_journal_write_failures_total")
    )
    assert float(failures.split()[1]) >= 2
    assert receiver.journal.read_bytes().endswith(b"}\n"), "what was half written is cut off"
    return taken


def test_a_file_that_may_not_grow_refuses_and_keeps_what_it_has(receive: Receivers) -> None:
    receiver = receive(before=(sys.executable, "-c", LIMITED))
    taken = _is_refused_without_loss(receiver, _Numbers())
    receiver.stop(signal.SIGKILL)

    again = receive()
    assert {incident["fingerprint"] for incident in again.incidents()} == taken
    assert again.notify(alert(9999)) == 200


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode
    ):
        lacking("the right to mount a file system", "run the tests as root, in a container with CAP_SYS_ADMIN")
    try:
        yield folder
    finally:
        # Lazily: a process of a test that failed may still hold it.
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_refuses_and_alertmanager_sends_again_what_was_refused(
    receive: Receivers, small_disk: Path, tmp_path: Path
) -> None:
    receiver = receive(journal=small_disk / "incidents" / "journal.jsonl")
    (tmp_path / "key").write_text("no key is asked for")
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 48 * 1024)
    taken = _is_refused_without_loss(receiver, _Numbers())

    with Alertmanager(tmp_path / "am", f"{receiver.url}/alerts", tmp_path / "key") as alertmanager:
        posted = alertmanager.request("POST", "/api/v2/alerts", json=[{"labels": {"alertname": "FullDisk"}}])
        assert posted.status_code == 200
        _wait(lambda: _refusals(alertmanager) > 0)
        assert "full_disk" not in {incident["code"] for incident in receiver.incidents()}
        ballast.unlink()
        _wait(lambda: "full_disk" in {incident["code"] for incident in receiver.incidents()})
    assert receiver.get("/readyz").status_code == 200
    assert taken <= {incident["fingerprint"] for incident in receiver.incidents()}
    assert "No space left on device; what was sent is refused, so that it is sent again" in receiver.log
    assert "the journal can be written again" in receiver.log
    assert "journal_recovered" in {entry["kind"] for entry in receiver.entries()}


async def test_who_writes_first_after_a_failure_writes_that_there_was_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is an alert, which comes before the receiver has looked again."""
    journal = Journal(tmp_path / "journal.jsonl")
    receiver = InThisProcess(journal)
    sent = read_notification(notification(alert(1)))

    def full(entries: object) -> NoReturn:
        raise JournalNotWritable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(journal, "append", full)
        with pytest.raises(JournalNotWritable):
            await receiver.take(sent)
    await receiver.take(sent)

    assert [entry.kind for entry in read(journal.path).entries] == ["opened", "journal_recovered"]
    assert receiver.not_writable_since is None
    await receiver.look()
    assert len(read(journal.path).entries) == 2


def _refusals(alertmanager: Alertmanager) -> float:
    """Requests of its that failed; it counts a notification as failed only when it gives up."""
    name = 'alertmanager_notification_requests_failed_total{integration="webhook"}'
    lines = alertmanager.get("/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(name))


def _wait(is_so: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_restart_on_a_full_disk_still_shows_what_there_is(receive: Receivers, small_disk: Path) -> None:
    receiver = receive(journal=small_disk / "incidents" / "journal.jsonl")
    receiver.notify(alert(1))
    receiver.stop(signal.SIGKILL)
    with receiver.journal.open("ab") as journal:
        journal.write(b'{"seq":2,"torn')
    _fill(small_disk)

    again = receive(journal=receiver.journal)
    assert [incident["id"] for incident in again.incidents()] == [1]
    assert again.notify(alert(2)) == 503
    assert b'{"seq":2,"torn' in b"".join(file.read_bytes() for file in receiver.journal.parent.iterdir()), (
        "the torn end is neither cut off nor lost"
    )
    (small_disk / "ballast").unlink()
    assert again.notify(alert(2)) == 200
    assert [entry["kind"] for entry in again.entries()][:2] == ["opened", "opened"]


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for size in (4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                pass
