"""The watch after a deployment, on a real service and Prometheus: content with what is well, and with nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest

from ops.pipeline.watch import Look, Unwatchable, Watch, watch
from stack.process import wait_until
from tests.ops.scene import Scene, scene
from tests.processes import ROOT, free_port

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("watched")) as started:
        assert wait_until(lambda: "Watchdog" in _firing(started), 60)
        # What a start brings about is over; the watch itself would say what fires.
        assert wait_until(lambda: _firing(started) == {"Watchdog"}, 120), _firing(started)
        yield started


def _firing(running: Scene) -> set[str]:
    return {alert["labels"]["alertname"] for alert in running.prometheus.alerts() if alert["state"] == "firing"}


def watched(running: Scene, *options: str) -> subprocess.CompletedProcess[str]:
    addresses = ("--service", running.service.url, "--prometheus", running.monitoring.prometheus.url)
    command = (sys.executable, "-m", "ops.pipeline", "watch", *addresses, "--interval", "0.5", *options)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_service_that_is_well_passes_and_no_task_is_left_behind(running: Scene) -> None:
    done = watched(running, "--minutes", "0.05")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "healthy, in use, no alert" in done.stdout
    assert "It stayed well for 0.05 minutes." in done.stdout
    with psycopg.connect(running.cluster.superuser_url("taskmanager")) as connection:
        left = connection.execute("SELECT count(*) FROM tasks WHERE title LIKE 'watched after%'").fetchone()
    assert left == (0,)


def test_another_commit_than_the_deployed_one_is_a_reason_to_roll_back(running: Scene) -> None:
    done = watched(running, "--minutes", "0.05", "--commit", "0" * 40)

    assert done.returncode == 1
    assert f"and not {'0' * 40}" in done.stderr
    assert "Roll back" in done.stderr


def test_without_prometheus_nothing_is_called_well(running: Scene) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"

    done = watched(running, "--minutes", "0.05", "--prometheus", nowhere)

    assert done.returncode == 2
    assert "Prometheus cannot be asked" in done.stderr


def test_a_service_that_ends_while_it_is_watched_is_a_reason_to_roll_back(running: Scene) -> None:
    """The last of this module: it takes the service away."""
    addresses = ("--service", running.service.url, "--prometheus", running.monitoring.prometheus.url)
    command = (sys.executable, "-u", "-m", "ops.pipeline", "watch", *addresses, "--interval", "0.5", "--minutes", "3")
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "healthy, in use, no alert" in process.stdout.readline()
        running.service.stop()
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()

    assert process.returncode == 1
    # Which of the three is seen first is a matter of tenths of a second.
    assert re.search(r"^FAILED  (health: no answer|tasks: no answer|alert: ServiceDown)", said, re.MULTILINE), said
    assert "Roll back: deploy the image that ran before" in said


WELL = Look({}, frozenset())
UNWELL = Look({"tasks": "POST /tasks answers 500"}, frozenset())
FIRING = Look({}, frozenset({"HighErrorRate"}))


@dataclass
class Told(Watch):
    """A watch whose looks are told beforehand; the last one is repeated."""

    looks: Sequence[Look]
    at: list[Look] = field(default_factory=list)

    def look(self) -> Look:
        self.at.append(self.looks[min(len(self.at), len(self.looks) - 1)])
        return self.at[-1]


def judged(*looks: Look) -> list[str]:
    """What comes of these looks, one a second, the first of them before the clock starts."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    minutes = (len(looks) - 1) / 60
    return watch(Told(looks), minutes=minutes, interval_s=1, say=lambda _line: None, clock=lambda: now[0], sleep=sleep)


@pytest.mark.parametrize(
    ("looks", "reasons"),
    [
        ((WELL, WELL, WELL), []),
        ((WELL, UNWELL, WELL, UNWELL, WELL), []),
        ((WELL, UNWELL, UNWELL, WELL), ["tasks: POST /tasks answers 500"]),
        ((WELL, WELL, UNWELL), ["tasks: POST /tasks answers 500"]),
        ((WELL, FIRING, WELL), ["alert: HighErrorRate fires"]),
        ((FIRING, FIRING, WELL), []),
        ((FIRING, FIRING, FIRING), ["alert: HighErrorRate still fires"]),
        ((FIRING, WELL, FIRING, WELL), ["alert: HighErrorRate fires"]),
    ],
)
def test_one_bad_look_is_forgiven_and_two_in_a_row_or_a_new_alert_are_not(
    looks: tuple[Look, ...], reasons: list[str]
) -> None:
    assert judged(*looks) == reasons


def test_a_prometheus_that_goes_away_later_is_a_reason_too() -> None:
    blind = Look({"prometheus": "no answer that can be read"}, frozenset())

    assert judged(WELL, blind, blind, WELL) == ["prometheus: no answer that can be read"]
    with pytest.raises(Unwatchable):
        judged(blind, WELL)
