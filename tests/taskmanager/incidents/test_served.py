"""The receiver as a process: webhook, incidents, what people do, and what is refused."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import plain_http
from tests.processes import ROOT, run
from tests.taskmanager.incidents.receivers import (
    BROKEN_SETTINGS,
    COMMAND,
    JSON,
    Receiver,
    Receivers,
    alert,
    notification,
    watchdog,
)

KEY = "key-canary-of-the-receiver-4711"


def _post(receiver: Receiver, path: str, content: object = None, **headers: str) -> httpx.Response:
    return receiver.request("POST", path, content=json.dumps(content), headers=JSON | headers)


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert (content["status"], content["code"], content["type"]) == (status, code, f"/problems/{code}")
    assert content["detail"].endswith((".", "KEY"))
    return content


def test_an_alert_becomes_an_incident_that_people_take_up_and_it_ends_with_the_alert(receive: Receivers) -> None:
    receiver = receive()

    assert receiver.notify(alert()) == 200
    (incident,) = receiver.incidents("open")
    assert (incident["id"], incident["code"], incident["severity"]) == (1, "high_error_rate", "critical")
    acknowledged = _post(receiver, "/incidents/1/acknowledge", {"by": "on-call"})
    assert acknowledged.status_code == 200
    assert acknowledged.json()["acknowledged_by"] == "on-call"
    assert _post(receiver, "/incidents/1/notes", {"by": "on-call", "text": "le disque\u00a0: plein"}).status_code == 200
    assert receiver.notify(alert(status="resolved")) == 200

    assert receiver.incidents("open") == []
    (incident,) = receiver.incidents("resolved")
    assert (incident["resolved_by"], incident["ends_at"]) == ("alertmanager", "2026-11-27T21:18:57.000000Z")
    kinds = [entry["kind"] for entry in receiver.get("/incidents/1").json()["entries"]]
    assert kinds == ["opened", "acknowledged", "note", "resolved"]


def test_what_alertmanager_repeats_is_written_once(receive: Receivers) -> None:
    receiver = receive()
    for _ in range(3):
        assert receiver.notify(alert(1), alert(2)) == 200
    before = receiver.journal.read_bytes()
    assert receiver.notify(alert(1), alert(2)) == 200

    assert receiver.journal.read_bytes() == before
    assert len(receiver.incidents()) == 2


def test_a_person_closes_what_no_alert_closes_and_says_so_once(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert())

    assert _post(receiver, "/incidents/1/resolve", {"by": "ada", "text": "space freed"}).status_code == 200
    told = _problem(_post(receiver, "/incidents/1/resolve", {"by": "bob"}), 409, "already_resolved")
    assert told["detail"] == "Incident 1 is resolved already, by ada."
    _problem(_post(receiver, "/incidents/1/acknowledge", {"by": "bob"}), 409, "already_acknowledged")
    assert _post(receiver, "/incidents/1/notes", {"by": "bob", "text": "afterwards"}).status_code == 200


def test_an_alert_that_still_fires_reopens_what_a_person_closed(receive: Receivers) -> None:
    receiver = receive("--reopen-within", "1s")
    receiver.notify(alert())
    _post(receiver, "/incidents/1/resolve", {"by": "ada"})
    time.sleep(1.1)

    receiver.notify(alert())
    assert [(each["id"], each["reopened"]) for each in receiver.incidents("open")] == [(1, 1)]
    receiver.notify(alert(status="resolved"))
    time.sleep(1.1)
    receiver.notify(alert(starts_at="2026-11-27T22:00:00Z"))
    assert [each["id"] for each in receiver.incidents("open")] == [2]


def test_history_survives_a_restart(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert(1), alert(2))
    _post(receiver, "/incidents/1/acknowledge", {"by": "on-call"})
    receiver.notify(alert(2, status="resolved"))
    before, metrics = receiver.incidents(), _own_metrics(receiver)
    assert receiver.stop() == 0

    again = receive()
    assert again.incidents() == before
    assert _own_metrics(again) == metrics
    again.notify(alert(3))
    assert again.incidents("open")[0]["id"] == 3


def _own_metrics(receiver: Receiver) -> list[str]:
    return [line for line in receiver.get("/metrics").text.splitlines() if line.startswith("taskmanager_")]


def test_the_metrics_count_what_is_open_and_how_long_it_took(receive: Receivers) -> None:
    receiver = receive()
    born = _own_metrics(receiver)
    assert 'taskmanager_incidents_total{severity="critical"} 0.0' in born
    assert "taskmanager_incidents_watchdog_age_seconds NaN" in born
    receiver.notify(alert(1), alert(2, severity="warning"), alert(3, severity="strange"), watchdog())
    _post(receiver, "/incidents/1/acknowledge", {"by": "on-call"})
    receiver.notify(alert(1, status="resolved"))

    found = _own_metrics(receiver)
    for line in (
        'taskmanager_incidents_open{severity="critical"} 0.0',
        'taskmanager_incidents_open{severity="warning"} 1.0',
        'taskmanager_incidents_total{severity="critical"} 1.0',
        'taskmanager_incidents_total{severity="other"} 1.0',
        "taskmanager_incidents_unacknowledged 2.0",
        "taskmanager_incident_time_to_acknowledge_seconds_count 1.0",
        'taskmanager_incident_time_to_resolve_seconds_bucket{le="10.0"} 1.0',
        'taskmanager_incident_time_to_resolve_seconds_bucket{le="86400.0"} 1.0',
        "taskmanager_incidents_journal_write_failures_total 0.0",
        f"taskmanager_incidents_journal_size_bytes {receiver.journal.stat().st_size}.0",
    ):
        assert line in found
    (age,) = [line for line in found if line.startswith("taskmanager_incidents_watchdog_age_seconds")]
    assert 0 <= float(age.split()[1]) < 30


@pytest.fixture(scope="module")
def told_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver that has one incident, for requests that change nothing."""
    with Receiver(tmp_path_factory.mktemp("told-once")) as receiver:
        receiver.notify(alert(1))
        yield receiver


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (notification(alert(), version="5"), 422, "unknown_version"),
        (notification(), 422, "no_notification"),
        (notification(alert() | {"status": "burning"}), 422, "invalid_alerts"),
        (notification(alert(), padding="x" * 4 * 1024 * 1024), 413, "content_too_large"),
    ],
)
def test_a_body_that_cannot_be_taken_is_a_4xx_and_leaves_the_journal_as_it_was(
    told_once: Receiver, content: bytes, status: int, code: str
) -> None:
    before = told_once.journal.read_bytes()

    _problem(told_once.request("POST", "/alerts", content=content, headers=JSON), status, code)
    # Of a length that nobody is told beforehand, too.
    _problem(told_once.request("POST", "/alerts", content=iter([content]), headers=JSON), status, code)
    assert told_once.journal.read_bytes() == before


def test_the_good_alerts_of_a_faulty_body_are_taken(receive: Receivers) -> None:
    receiver = receive()

    answer = receiver.request(
        "POST", "/alerts", content=notification(alert(1), {"status": "x"}, alert(3)), headers=JSON
    )
    told = _problem(answer, 422, "invalid_alerts")
    assert told["detail"].startswith("1 of 3 alerts cannot be understood; the others were taken.")
    assert [error["pointer"] for error in told["errors"]] == ["#/alerts/1/status"]
    assert len(receiver.incidents("open")) == 2


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("/incidents/1/acknowledge", {}, "by is needed"),
        ("/incidents/1/acknowledge", {"by": "receiver"}, "must not be the name by which a program signs"),
        ("/incidents/1/acknowledge", {"by": "a\x1b[2J"}, "printable characters in one line"),
        ("/incidents/1/acknowledge", {"by": "a", "since": 1}, "1 field(s) are not known; there are by, text."),
        ("/incidents/1/notes", {"by": "a"}, "text is needed"),
        ("/incidents/1/notes", {"by": "a", "text": "x" * 2001}, "at most 2000 printable characters"),
        ("/incidents/1/notes", {"by": "a", "text": "\u202egnp.exe"}, "printable characters"),
        ("/deployments", {"by": "a"}, "version is needed, or commit"),
        ("/deployments", {"by": "a", "version": "one two"}, "version must be"),
        ("/incidents/1/notes", [], "must be a JSON object"),
    ],
)
def test_what_people_send_is_checked_and_told(told_once: Receiver, path: str, content: object, told: str) -> None:
    assert told in _problem(_post(told_once, path, content), 422, "invalid_request")["detail"]
    assert [entry["kind"] for entry in told_once.entries()] == ["opened"]


def test_what_is_not_there_is_404_and_what_is_asked_wrongly_is_told(receive: Receivers) -> None:
    receiver = receive()

    for path in ("/incidents/1", "/incidents/0", "/incidents/x", "/incidents/٣", "/incidents/99999999999", "/nothing"):
        _problem(receiver.get(path), 404, "not_found")
    _problem(_post(receiver, "/incidents/1/resolve", {"by": "a"}), 404, "not_found")
    _problem(receiver.get("/incidents?state=burning"), 422, "invalid_request")
    answer = receiver.get("/alerts")
    _problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    text = receiver.request("POST", "/alerts", content=notification(alert()), headers={"Content-Type": "text/plain"})
    _problem(text, 415, "unsupported_media_type")


def test_a_key_is_asked_for_everything_but_the_probes(receive: Receivers) -> None:
    receiver = receive("--host", "0.0.0.0", environment={"TASKMANAGER_INCIDENTS_KEY": KEY})  # noqa: S104
    for path in ("/incidents", "/incidents/1", "/metrics", "/deployments"):
        answer = receiver.get(path)
        _problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert receiver.notify(alert()) == 401
    for wrong in (f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Basic {KEY}", KEY, "Bearer", "Bearer é"):
        headers = {"Authorization": wrong.encode()}
        assert plain_http.get(receiver.url + "/metrics", headers=headers).status_code == 401
    assert not receiver.journal.read_bytes()

    assert receiver.notify(alert(), Authorization=f"Bearer {KEY}") == 200
    assert receiver.request("GET", "/metrics", headers={"Authorization": f"bearer {KEY}"}).status_code == 200
    for path in ("/livez", "/readyz"):
        assert receiver.get(path).status_code == 200
    assert KEY not in receiver.log


def test_two_keys_of_a_file_are_valid_while_one_is_replaced(receive: Receivers, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# Alertmanager's\n{KEY}\n\nanother-key-0123456789\n")
    receiver = receive(environment={"TASKMANAGER_INCIDENTS_KEY_FILE": str(file)})

    for key in (KEY, "another-key-0123456789"):
        assert receiver.notify(alert(), Authorization=f"Bearer {key}") == 200
    assert receiver.notify(alert(), Authorization="Bearer # Alertmanager's") == 401


def _refused(*arguments: str, **variables: str) -> tuple[int, str]:
    done = run(*COMMAND, "serve", "--port", "0", *arguments, env=BROKEN_SETTINGS | variables)
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_the_key_for_development_is_refused_in_production_and_nowhere_else(receive: Receivers, tmp_path: Path) -> None:
    file = ROOT / "ops" / "development" / "incidents_key"
    journal = str(tmp_path / "journal.jsonl")
    for variables in ({"TASKMANAGER_INCIDENTS_KEY_FILE": str(file)}, {"TASKMANAGER_INCIDENTS_KEY": file.read_text()}):
        status, line = _refused("--journal", journal, **variables, TASKMANAGER_ENV="Production")
        assert status == 78
        assert "the key is the one for development, which everybody knows" in line
        assert file.read_text().strip() not in line
    assert list(tmp_path.iterdir()) == []

    development = {"TASKMANAGER_INCIDENTS_KEY_FILE": str(file), "TASKMANAGER_ENV": "development"}
    assert receive("--host", "0.0.0.0", environment=development).get("/livez").status_code == 200  # noqa: S104


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com"])  # noqa: S104
def test_without_a_key_no_other_machine_is_answered(host: str, tmp_path: Path) -> None:
    status, line = _refused("--host", host, "--journal", str(tmp_path / "journal.jsonl"))

    assert status == 78
    assert f"with --host {host} other machines reach this receiver, and it has no key; set" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"TASKMANAGER_INCIDENTS_KEY": "short-canary"}, "TASKMANAGER_INCIDENTS_KEY: a key has 16 to 512"),
        ({"TASKMANAGER_INCIDENTS_KEY_FILE": "/nothing"}, "TASKMANAGER_INCIDENTS_KEY_FILE: /nothing cannot be read"),
        ({"TASKMANAGER_INCIDENTS_KEY_FILE": "/dev/null"}, "/dev/null holds no key"),
        (
            {"TASKMANAGER_INCIDENTS_KEY": KEY, "TASKMANAGER_INCIDENTS_KEY_FILE": "/dev/null"},
            "are both set; set one of them",
        ),
    ],
)
def test_a_key_that_cannot_be_used_is_told_and_not_quoted(variables: dict[str, str], told: str, tmp_path: Path) -> None:
    status, line = _refused("--journal", str(tmp_path / "journal.jsonl"), **variables)

    assert status == 78
    assert told in line
    assert "canary" not in line


def test_a_page_of_another_origin_asks_in_vain(receive: Receivers) -> None:
    """Its name may resolve to 127.0.0.1; the Host header still holds the name."""
    receiver = receive()
    for name in ("evil.example", "evil.example:9095", "127.0.0.1.evil.example", "localhost.evil.example", ""):
        _problem(receiver.request("GET", "/incidents", headers={"Host": name}), 421, "host_not_allowed")
    for name in ("localhost", "LOCALHOST:9095", "127.0.0.1:1", "[::1]:9095"):
        assert receiver.request("GET", "/incidents", headers={"Host": name}).status_code == 200


def test_a_second_receiver_on_one_journal_is_told_who_has_it(receive: Receivers) -> None:
    receiver = receive()

    status, line = _refused("--journal", str(receiver.journal))
    assert status == 4
    assert f"is in use by process {receiver.process.pid} (serving {receiver.url})" in line
    receiver.stop(signal.SIGKILL)
    receive(journal=receiver.journal).get("/livez")


def test_a_port_that_is_taken_is_told_and_the_journal_not_touched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run(*COMMAND, "serve", "--port", port, "--journal", str(tmp_path / "a" / "journal.jsonl"))

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use; choose another with --port" in done.stderr
    assert not (tmp_path / "a" / "journal.jsonl").exists()


def test_damage_is_told_at_the_start_and_to_whoever_asks(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert(1))
    receiver.notify(alert(2))
    receiver.notify(alert(3))
    receiver.stop()
    lines = receiver.journal.read_bytes().split(b"\n")
    lines[1] = lines[1][:-10] + b"0" * 10
    receiver.journal.write_bytes(b"\n".join(lines) + b'{"torn')

    again = receive()
    assert "line 2 is left out: its checksum does not fit" in again.log
    assert "ended in the middle of a line; what there was of it is in" in again.log
    assert again.get("/readyz").json() == {"status": "ready", "damaged_lines": [2]}
    assert [incident["id"] for incident in again.incidents()] == [3, 1]
    listed = again.command("list")
    assert "line 2 of the journal is damaged and left out" in listed.stderr
    (aside,) = again.journal.parent.glob("*.torn-*")
    assert aside.read_bytes() == b'{"torn'


def test_sigterm_ends_it_with_status_0_and_its_last_line_is_whole(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert())

    assert receiver.stop(signal.SIGTERM) == 0
    assert receiver.journal.read_bytes().endswith(b"}\n")
