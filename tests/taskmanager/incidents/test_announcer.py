"""Somebody is told that alerting is silent although Alertmanager may be what is dead: a real receiver, a real sink."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.notification_sinks import Arrived, Post, http_sink
from tests.processes import free_port, run
from tests.taskmanager.incidents.receivers import COMMAND, Receiver, Receivers, alert, watchdog

URL, URL_FILE = "TASKMANAGER_INCIDENTS_WEBHOOK_URL", "TASKMANAGER_INCIDENTS_WEBHOOK_URL_FILE"
SECRET = "/services/T0/canary-4711?token=canary"


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}{SECRET}"


def _failures(receiver: Receiver) -> float:
    told = re.search(
        r"^taskmanager_incidents_webhook_failures_total (\S+)$", receiver.get("/metrics").text, re.MULTILINE
    )
    assert told is not None
    return float(told[1])


def _texts(sink: Arrived[Post]) -> list[str]:
    return [post.body["text"] for post in sink.all]


SILENT = re.compile(
    r"alerting_silent: the alerting of test has been silent since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC; no alert can be"
    r" trusted to arrive\. Incident 1, docs/runbooks/alerting_silent\.md"
)
BACK = re.compile(r"alerting_silent: the alerting of test is back\. Incident 1, docs/runbooks/alerting_silent\.md")


def test_a_webhook_is_told_of_the_silence_and_of_its_end_until_it_takes_the_news(
    receive: Receivers, tmp_path: Path
) -> None:
    with http_sink(answers_first=(500, 302)) as sink:
        file = tmp_path / "url"
        file.write_text(f"{_address(sink.port)}\n")
        receiver = receive("--watchdog-timeout", "2s", environment={URL_FILE: str(file)})
        receiver.notify(watchdog())
        sink.wait_for(lambda post: len(sink.all) >= 3)
        assert [post.path for post in sink.all] == [SECRET] * 3
        assert sink.all[0].headers["Content-Type"] == "application/json"
        assert set(_texts(sink)) == {sink.all[0].body["text"]}, "the same news, said again"
        assert SILENT.fullmatch(_texts(sink)[0]), _texts(sink)
        first, second, third = (post.at for post in sink.all)
        assert third - second > second - first, "it waits longer each time"
        assert _failures(receiver) == 2

        receiver.notify(watchdog())
        back = sink.wait_for(lambda post: "is back" in post.text)
        assert BACK.fullmatch(back.body["text"]), back
        assert [entry["kind"] for entry in receiver.entries()] == ["watchdog_seen", "opened", "resolved"]
        assert len(sink.all) == 4
    assert "canary" not in receiver.log
    assert receiver.log.count("the webhook did not take") == 1, receiver.log


def test_news_that_is_overtaken_by_the_opposite_is_not_told_any_more(receive: Receivers) -> None:
    port = free_port()
    receiver = receive("--watchdog-timeout", "1h", environment={URL: _address(port)})
    receiver.notify(watchdog())
    receiver.notify(watchdog("resolved"))
    deadline = time.monotonic() + 15
    while _failures(receiver) < 1:
        assert time.monotonic() < deadline, receiver.log
        time.sleep(0.05)
    receiver.notify(watchdog())
    with http_sink(port=port) as sink:
        sink.wait_for(lambda post: True)

        assert len(sink.all) == 1
        assert BACK.fullmatch(_texts(sink)[0])
    assert "canary" not in receiver.log


def test_a_webhook_that_never_answers_holds_nothing_up(receive: Receivers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        receiver = receive("--watchdog-timeout", "1h", environment={URL: _address(deaf.getsockname()[1])})
        receiver.notify(watchdog())
        receiver.notify(watchdog("resolved"))
        connection, _ = deaf.accept()
        with connection:
            began = time.monotonic()
            assert receiver.notify(alert()) == 200
            assert receiver.get("/livez").status_code == 200
            assert time.monotonic() - began < 2


def test_a_receiver_that_is_started_again_in_the_silence_tells_it_again(receive: Receivers) -> None:
    """Whether the one before it was heard, it cannot know."""
    with http_sink() as sink:
        for times in (1, 2):
            receiver = receive("--watchdog-timeout", "1s", "--expect-watchdog", environment={URL: _address(sink.port)})
            sink.wait_for(lambda post, times=times: len(sink.all) == times)  # type: ignore[misc]
            receiver.stop()

    assert all("the alerting has been silent since" in text and "Incident 1," in text for text in _texts(sink))


def test_it_is_told_though_the_journal_cannot_be_written(receive: Receivers) -> None:
    """The disk that is full may be what stopped Prometheus."""
    with http_sink() as sink:
        receiver = receive("--watchdog-timeout", "1s", environment={URL: _address(sink.port)})
        receiver.notify(watchdog())
        away = receiver.journal.rename(receiver.journal.with_name("moved"))
        told = sink.wait_for(lambda post: True)
        assert "the journal cannot be written" in told.body["text"]

        away.rename(receiver.journal)
        sink.wait_for(lambda post: bool(SILENT.fullmatch(post.body["text"])))


def _refused(folder: Path, **variables: str) -> tuple[int, str]:
    done = run(*COMMAND, "serve", "--port", str(free_port()), "--journal", str(folder / "journal"), env=variables)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({URL: "hooks.canary.example/x"}, f"{URL} is no address"),
        ({URL: "https://hooks.example/canary x"}, f"{URL} is no address"),
        ({URL: "ftp://hooks.example/canary"}, f"{URL} is no address"),
        ({URL: "https://user:canary@hooks.example/"}, f"{URL} is no address"),
        ({URL_FILE: "/nothing"}, f"{URL_FILE}: /nothing cannot be read"),
        ({URL_FILE: "/dev/null"}, f"{URL_FILE} is no address"),
        ({URL: "https://hooks.example/canary", URL_FILE: "/dev/null"}, "are both set; set one of them"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_at_the_start_and_not_quoted(
    variables: dict[str, Any], told: str, tmp_path: Path
) -> None:
    status, line = _refused(tmp_path, **variables)

    assert status == 78, line
    assert told in line
    assert "canary" not in line
    assert list(tmp_path.iterdir()) == []
