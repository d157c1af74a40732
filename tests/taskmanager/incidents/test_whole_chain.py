"""An incident from its first bad sample to its post-mortem: a real service on an empty database, real Prometheus and
Alertmanager, the receiver, and the commands that an operator types."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.databases import Database
from tests.processes import Service, run
from tests.taskmanager.incidents.monitoring import Alertmanager, Prometheus
from tests.taskmanager.incidents.receivers import COMMAND, Receiver, Receivers

KEY = "key-canary-of-the-receiver-4711"

RULES = [
    {
        "alert": "SchemaNotMigrated",
        "expr": 'max by (service, env, state) (migration_gate_state{state=~"never_migrated|behind"}) == 1',
        "labels": {"severity": "critical", "code": "{{ $labels.state }}"},
        "annotations": {
            "summary": "mail canary@example.com",
            "runbook_url": "docs/runbooks/{{ $labels.state }}.md",
            "dashboard_url": "/d/taskmanager-incident",
        },
    },
    {
        "alert": "RequestsFail",
        "expr": 'sum by (service, env) (increase(http_requests_total{status="503"}[5s])) > 0',
        "labels": {"severity": "warning", "code": "high_error_rate"},
    },
    {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none", "code": "watchdog", "env": "test"}},
]


def _wait(what: Callable[[], Any], within_s: float = 30.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come")


def _incident(receiver: Receiver, code: str, state: str) -> dict[str, Any] | None:
    found = receiver.request("GET", "/incidents?state=all", headers={"Authorization": f"Bearer {KEY}"}).json()
    return next((each for each in found if each["code"] == code and each["state"] == state), None)


# Words of people that Alertmanager holds, and that nothing of ours may keep.
SILENCE = {
    "matchers": [{"name": "alertname", "value": "Nothing", "isRegex": False, "isEqual": True}],
    "createdBy": "canary@example.com",
    "comment": "canary@example.com asked for it",
}


@pytest.mark.timeout(180)
def test_an_incident_from_its_first_bad_sample_to_its_post_mortem(
    tmp_path: Path,
    receive: Receivers,
    serve: Callable[..., Service],
    empty_database: Database,
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}  # the receiver's\n")
    alertmanagers_key = tmp_path / "alertmanagers-key"
    alertmanagers_key.write_text(KEY)
    with ExitStack() as running:
        receiver = receive("--watchdog-timeout", "10s", environment={"TASKMANAGER_INCIDENTS_KEY_FILE": str(key_file)})
        service = serve(empty_database)
        alertmanager = running.enter_context(Alertmanager(tmp_path / "am", f"{receiver.url}/alerts", alertmanagers_key))
        targets = {"taskmanager": f"127.0.0.1:{service.port}"}
        prometheus = running.enter_context(Prometheus(tmp_path / "prometheus", targets, RULES, alertmanager))

        incident = _wait(lambda: _incident(receiver, "never_migrated", "open"))
        id_ = str(incident["id"])
        _fail_20_requests(service, prometheus)
        _silence(alertmanager)
        assert receiver.command("ack", id_, "--by", "on-call").returncode == 0
        _migrate(empty_database)
        _wait(lambda: _incident(receiver, "never_migrated", "resolved"))
        service.wait_for("/tasks", 200)
        assert receiver.command("note", id_, "nobody", "|", "had", "migrated", "--by", "on-call").returncode == 0
        _wait_until_scraped(prometheus, 'migration_gate_last_run{result="succeeded"} == 1')

        places = (*_places(prometheus, alertmanager, service), "--ledger")
        english = _postmortem(receiver, empty_database, id_, "en", places)
        french = _postmortem(receiver, empty_database, id_, "fr", places)
        _tells_the_incident(english)
        _tells_the_incident_in_french(french)

        prometheus.stop(signal.SIGKILL)
        silent = _wait(lambda: _incident(receiver, "alerting_silent", "open"))
        assert silent["severity"] == "critical"
        assert silent["labels"]["env"] == "test"
        later = _postmortem(receiver, empty_database, id_, "en", _places(prometheus, alertmanager, service))

    assert "- Prometheus: could not be read: connection refused." in later
    assert "- migrations' ledger: was not asked." in later
    assert "| Time to detect | not known |" in later
    assert "Not known: no metrics could be read." in later
    for text in (english, french, later, receiver.journal.read_text(), receiver.log):
        assert "canary" not in text


def _fail_20_requests(service: Service, prometheus: Prometheus) -> None:
    _wait_until_scraped(prometheus, 'up{job="taskmanager"} == 1')
    # A rate is told from two samples, and the series begins with the first failure.
    for more, failed in ((1, 1), (19, 20)):
        for _ in range(more):
            assert service.get("/tasks").status_code == 503
        _wait_until_scraped(prometheus, f'sum(http_requests_total{{status="503"}}) == {failed}')


def _wait_until_scraped(prometheus: Prometheus, query: str) -> None:
    def answer() -> Any:
        return prometheus.request("GET", "/api/v1/query", params={"query": query}).json()["data"]["result"]

    _wait(answer)


def _silence(alertmanager: Alertmanager) -> None:
    now = datetime.now(UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
    assert alertmanager.request("POST", "/api/v2/silences", json=SILENCE | times).status_code == 200


def _migrate(database: Database) -> None:
    migrated = run(sys.executable, "-m", "taskmanager", "migrate", env=_urls(database))
    assert migrated.returncode == 0, migrated.stderr


def _places(prometheus: Prometheus, alertmanager: Alertmanager, service: Service) -> tuple[str, ...]:
    return ("--prometheus", prometheus.url, "--alertmanager", alertmanager.url, "--service", service.url)


def _postmortem(receiver: Receiver, database: Database, id_: str, lang: str, places: tuple[str, ...]) -> str:
    # The ledger's command reads the service's settings, which are therefore whole here.
    done = run(
        *(*COMMAND, "postmortem", id_, "--lang", lang, *places),
        env={
            "TASKMANAGER_INCIDENTS_URL": receiver.url,
            "TASKMANAGER_INCIDENTS_KEY": KEY,
            **_urls(database),
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _urls(database: Database) -> dict[str, str]:
    return {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}


def _rows(text: str) -> list[list[str]]:
    """The rows of the timeline: time, what happened, source."""
    section = re.split(r"^## ", text, flags=re.MULTILINE)[4]
    return [re.split(r"(?<!\\) \| ", line.strip("| ")) for line in section.splitlines() if line.startswith("| 20")]


def _tells_the_incident(text: str) -> None:
    assert re.match(r"# Incident \d+: SchemaNotMigrated, \d+ \w+ 20\d\d\n", text)
    assert "the service answered 20 requests, and 20 of them failed (5xx): 100.0%." in text
    detected = re.search(r"\| Time to detect \| (\S+) (ms|s) \|", text)
    assert detected is not None
    assert float(detected[1]) < {"ms": 1000, "s": 10}[detected[2]]
    rows = _rows(text)
    assert rows == sorted(rows, key=lambda row: row[0])
    told = {(what, source) for _, what, source in rows}
    for row in (
        ("The condition of SchemaNotMigrated holds", "Prometheus"),
        ("SchemaNotMigrated fires", "Prometheus"),
        ("More than 5% of requests fail (at the worst 100.0%)", "Prometheus"),
        ("Beside it, RequestsFail (warning) fires", "Prometheus"),
        ('A silence that does not cover this alert begins: alertname="Nothing"', "Alertmanager"),
        ("Somebody took the incident up", "incident journal"),
        ("Note: “nobody \\| had migrated”", "incident journal"),
        ("Run 1 (upgrade) begins", "migrations' ledger"),
        ("Run 1 (upgrade) ends: `succeeded`", "migrations' ledger"),
    ):
        assert row in told, rows
    assert any(what.endswith("the schema is `current`") for what, _ in told)
    assert "The database has no schema: no migration has ever been applied to it." in text
    assert "[never_migrated](../runbooks/never_migrated.md)" in text
    mended = text.partition("## What mended it")[2].partition("## ")[0]
    assert "Run 1 (upgrade) begins" in mended
    assert "ready for traffic" in mended
    assert text.count("*to be filled in*") == 9
    assert "could not be read" not in text
    assert "on-call" not in text, "a post-mortem names nobody"


def _tells_the_incident_in_french(text: str) -> None:
    assert "dont 20 ont échoué (5xx), soit 100,0\u00a0%." in text
    for sentence in (
        "| L'exécution 1 (upgrade) commence | registre des migrations |",
        "Quelqu'un prend l'incident en charge",
        "La base n'a pas de schéma\u00a0: aucune migration n'y a jamais été appliquée.",
    ):
        assert sentence.replace("'", "\u2019") in text
    assert not re.search(r"'| [:;?!»]", text.replace('="', "")), "typed and not typeset"
