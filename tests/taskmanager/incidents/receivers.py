"""The receiver as a process, and the bodies that Alertmanager 0.25 sends it."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.processes import Service, run

COMMAND = (sys.executable, "-m", "taskmanager", "incidents")

# Settings of the service that cannot be used, and no database: none of it is the receiver's business.
BROKEN_SETTINGS = {"DATABASE_URL": "mysql://nowhere", "TASKMANAGER_NO_SUCH_SETTING": "1"}


class Receiver(Service):
    """`taskmanager incidents serve`, beside a service whose settings are broken."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        journal: Path | None = None,
        environment: Mapping[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        self.journal = journal or folder / "incidents" / "journal.jsonl"
        arguments = ("serve", "--port", "{port}", "--journal", str(self.journal), *options)
        self.environment = BROKEN_SETTINGS | dict(environment or {})
        super().__init__(self.environment, folder, command=(*before, *COMMAND, *arguments))
        self.wait_for("/livez", 200)

    def notify(self, *alerts: dict[str, Any], **headers: str) -> int:
        """Send a notification as Alertmanager does, and return the answer's status."""
        body = notification(*alerts)
        return self.request("POST", "/alerts", content=body, headers=JSON | headers).status_code

    def incidents(self, state: str = "all") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/incidents?state={state}").json()
        return found

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`taskmanager incidents …` against it."""
        address = {"TASKMANAGER_INCIDENTS_URL": self.url}
        return run(*COMMAND, *arguments, env=self.environment | address | variables)

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]


JSON = {"Content-Type": "application/json"}

Receivers = Callable[..., Receiver]


@contextmanager
def started(folder: Path, *options: str, **more: Any) -> Iterator[Receiver]:
    with Receiver(folder, *options, **more) as receiver:
        yield receiver


def alert(
    number: int = 1,
    *,
    status: str = "firing",
    starts_at: str = "2026-11-27T21:08:50.14345579Z",
    ends_at: str | None = None,
    annotations: dict[str, str] | None = None,
    **labels: str,
) -> dict[str, Any]:
    """One alert of a notification. Alerts of another number have another fingerprint."""
    return {
        "status": status,
        "labels": {
            "alertname": "HighErrorRate",
            "severity": "critical",
            "service": "taskmanager",
            "env": "test",
            "code": "high_error_rate",
        }
        | labels,
        "annotations": {"runbook_url": "docs/runbooks/high_error_rate.md", "dashboard_url": "/d/taskmanager-incident"}
        | (annotations or {}),
        "startsAt": starts_at,
        "endsAt": ends_at or ("0001-01-01T00:00:00Z" if status == "firing" else "2026-11-27T21:18:57Z"),
        "generatorURL": "http://vm:9090/graph?g0.expr=vector%281%29&g0.tab=1",
        "fingerprint": f"56e3feb13a63{number:04x}",
    }


def watchdog(status: str = "firing", env: str = "test") -> dict[str, Any]:
    """The heartbeat of an environment; those of two have different fingerprints, as Alertmanager's have."""
    labels = {"alertname": "Watchdog", "severity": "none", "code": "watchdog", "service": "monitoring", "env": env}
    return alert(0x10000 + zlib.crc32(env.encode()) % 0xFFFF, status=status, **labels)


def notification(*alerts: dict[str, Any], **changed: Any) -> bytes:
    """A body of Alertmanager's webhook."""
    common = alerts[0] if alerts else {"labels": {}, "annotations": {}}
    content = {
        "receiver": "incidents",
        "status": "firing",
        "alerts": list(alerts),
        "groupLabels": common["labels"],
        "commonLabels": common["labels"],
        "commonAnnotations": common["annotations"],
        "externalURL": "http://vm:9093",
        "version": "4",
        "groupKey": '{}:{alertname="HighErrorRate"}',
        "truncatedAlerts": 0,
    }
    return json.dumps(content | changed).encode()
