"""One served process for all hostile requests of a worker, looked at after each test."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import psutil
import pytest

from tests.databases import MIGRATED_TEMPLATE, Database, Server
from tests.hostile.wire import CANARY, Answer, answers_in, converse
from tests.processes import Service


@dataclass
class Target:
    """A served process and its database."""

    service: Service
    database: Database
    read_of_log: int = 0

    @property
    def port(self) -> int:
        return self.service.port

    def ask(self, *pieces: bytes, pause_s: float = 0.0) -> Answer:
        """The one answer to what is sent."""
        answers = [
            answer for answer in answers_in(converse(self.port, *pieces, pause_s=pause_s)) if answer.status > 199
        ]
        assert len(answers) == 1, answers
        return answers[0]

    def rss(self) -> int:
        """Bytes of memory."""
        return int(psutil.Process(self.service.process.pid).memory_info().rss)

    def new_log_lines(self) -> list[str]:
        """What was logged since the last time; the last line may still be on its way."""
        with self.service.log_file.open("rb") as log:
            log.seek(self.read_of_log)
            whole, _, _ = log.read().rpartition(b"\n")
            self.read_of_log += len(whole) + (1 if whole else 0)
        return whole.decode().splitlines()

    def titles(self, pattern: str) -> int:
        """How many tasks have a title like this."""
        ((number,),) = self.database.execute("SELECT count(*) FROM tasks WHERE title LIKE %s", pattern)
        assert isinstance(number, int)
        return number


@pytest.fixture(scope="session")
def _target(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with server.database(MIGRATED_TEMPLATE) as database:
        environment = {"DATABASE_URL": database.app_url, "TASKMANAGER_LOG_FORMAT": "json"}
        with Service(environment, tmp_path_factory.mktemp("hostile")) as service:
            service.wait_for("/readyz", 200)
            yield Target(service, database)


@pytest.fixture
def target(_target: Target) -> Iterator[Target]:
    """The service. After the test it must still serve, and its log and its metrics must tell nothing of the test."""
    _target.new_log_lines()
    yield _target
    still_well(_target)


def still_well(target: Target) -> None:
    """Does it serve, without a fault of its own and without a word of what it was sent?"""
    assert target.service.process.poll() is None, target.service.log[-2000:]
    assert target.service.get("/readyz").status_code == 200
    assert target.service.request("POST", "/tasks", json={"title": "still here"}).status_code == 201
    lines = target.new_log_lines()
    for line in lines:
        entry = json.loads(line)
        assert entry["level"] in {"info", "warning"}, line
        assert "exception.stacktrace" not in entry, line
    assert not [line for line in lines if CANARY in line.lower()]
    metrics = target.service.get("/metrics").text
    assert CANARY not in metrics.lower()
    # Whatever was sent, labels are of a few known values.
    assert {*re.findall(r'method="([^"]*)"', metrics)} <= {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER"
    }  # fmt: skip
