"""What becomes of a deployment that is cancelled, left, cut off, or met by something else that goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from stack.process import wait_until
from tests.databases import Database
from tests.deployments.rig import PATIENCE_S, Rig, UnderLoad, finished
from tests.deployments.trees import Migration
from tests.processes import ROOT, Service

pytestmark = pytest.mark.timeout(600)


def slow(seconds: int) -> Migration:
    """A migration that takes its time and changes nothing."""
    return Migration((f'op.execute("SELECT pg_sleep({seconds})")',), ('op.execute("SELECT 1")',))


def wait_for_step(rig: Rig, step: str) -> None:
    assert wait_until(lambda: f"{rig.state['under_way'].get('step', '')}".startswith(step), PATIENCE_S), (
        f"{step} did not come: {rig.state}"
    )


def replicas(rig: Rig) -> dict[str, int]:
    """Process ids of the replicas, by the release that each is of."""
    found = {}
    for child in psutil.Process(rig.launcher.pid).children(recursive=True):
        command = child.cmdline()
        if command[1:4] == ["-m", "taskmanager", "serve"]:
            found[f"{child.cwd().rpartition('/')[2]} {child.pid}"] = child.pid
    return found


def test_a_second_deployment_is_refused_while_one_is_at_work_and_ctrl_c_cancels_that(rig: Rig, served: str) -> None:
    first = rig.begin("deploy", rig.releases.release("slow", slow(5)).commit)
    wait_for_step(rig, "migrate")

    second = finished(rig.begin("deploy", "main"))
    first.send_signal(signal.SIGINT)
    done = finished(first)

    assert second.code == 4
    assert "error: another deployment is at work (deploy of" in second.errors
    assert done.code == 1
    assert "cancelling: the running step is finished first" in done.errors
    assert "migrate: done" in done.errors, "the running step is finished"
    assert "it was cancelled before a replica was touched" in done.errors
    assert rig.version() == served


def test_ctrl_c_in_the_middle_of_the_replicas_takes_back_what_was_begun(rig: Rig, served: str) -> None:
    command = rig.begin("deploy", rig.releases.release("cancelled").commit, "--json")
    wait_for_step(rig, "watch it")
    command.send_signal(signal.SIGINT)
    done = finished(command)

    assert (done.code, done.record["result"], done.record["reason"]) == (6, "rolled_back", "it was cancelled")
    assert rig.version() == served
    assert {slot["release"] for slot in rig.state["slots"]} == {served, ""}
    assert rig.state["under_way"] == {}


def test_a_terminal_that_is_closed_changes_nothing(rig: Rig, served: str) -> None:
    release = rig.releases.release("left alone")
    command = rig.begin("deploy", release.commit)
    wait_for_step(rig, "start")
    command.kill()
    command.communicate()

    assert wait_until(lambda: rig.state["under_way"] == {}, PATIENCE_S)
    assert rig.version() == release.commit
    assert last_record(rig)["result"] == "succeeded"


def test_an_old_replica_that_is_killed_meanwhile_is_started_again(rig: Rig, served: str) -> None:
    release = rig.releases.release("beside a killed replica", slow(5))
    command = rig.begin("deploy", release.commit, "--json")
    wait_for_step(rig, "migrate")
    os.kill(next(iter(replicas(rig).values())), signal.SIGKILL)
    done = finished(command)

    assert done.record["result"] == "succeeded", done
    assert "ended by itself with signal 9 (SIGKILL)" in rig.said
    assert "it is started again" in rig.said
    assert rig.version() == release.commit


def test_a_new_replica_that_is_killed_is_a_reason_to_go_back(rig: Rig, served: str) -> None:
    release = rig.releases.release("whose replica is killed")
    command = rig.begin("deploy", release.commit, "--json")
    wait_for_step(rig, "watch it")
    [victim] = [pid for name, pid in replicas(rig).items() if name.startswith(release.commit)]
    os.kill(victim, signal.SIGKILL)
    done = finished(command)

    assert (done.code, done.record["result"]) == (6, "rolled_back")
    assert "has ended by itself" in done.record["reason"]
    assert rig.version() == served


def test_haproxy_that_is_killed_is_started_again_with_the_same_replicas(rig: Rig, served: str) -> None:
    haproxy(rig).kill()

    assert wait_until(lambda: "HAProxy ended by itself" in rig.said, PATIENCE_S)
    assert wait_until(lambda: answers(rig) == served, PATIENCE_S)


def test_haproxy_that_is_killed_in_the_middle_leaves_one_release(rig: Rig, served: str) -> None:
    release = rig.releases.release("beside a killed proxy").commit
    command = rig.begin("deploy", release, "--json")
    wait_for_step(rig, "watch it")
    haproxy(rig).kill()
    done = finished(command)

    assert done.code in (0, 6), done.record.get("reason", done.errors)
    serves = release if done.code == 0 else served
    assert wait_until(lambda: answers(rig) == serves, PATIENCE_S)
    assert [slot["release"] for slot in rig.state["slots"] if slot["stand"] == "serving"] == [serves] * 2
    assert {slot["release"] for slot in rig.state["slots"]} == {serves, ""}


def test_a_port_that_is_taken_while_haproxy_is_started_again_ends_nothing(rig: Rig, served: str) -> None:
    killed = haproxy(rig)
    killed.kill()
    killed.wait(PATIENCE_S)
    with socket.create_server(("127.0.0.1", rig.port)):
        assert wait_until(lambda: "could not be started again yet" in rig.said, PATIENCE_S)

    assert wait_until(lambda: answers(rig) == served, PATIENCE_S)


def haproxy(rig: Rig) -> psutil.Process:
    [found] = [
        child for child in psutil.Process(rig.launcher.pid).children(recursive=True) if child.name() == "haproxy"
    ]
    return found


def answers(rig: Rig) -> str:
    try:
        return rig.version()
    except httpx.HTTPError:
        return ""


def test_a_launcher_that_is_killed_in_the_middle_heals_at_its_next_start(rig: Rig, served: str) -> None:
    command = rig.begin("deploy", rig.releases.release("cut off", slow(5)).commit)
    wait_for_step(rig, "migrate")
    rig.launcher.kill()
    rig.launcher.wait()
    left = finished(command)
    rig.launch()

    assert left.code == 1
    assert "error: the launcher ended in the middle: start it again" in left.errors
    assert rig.version() == served
    cut_off = last_record(rig)
    assert (cut_off["result"], cut_off["release"] != "") == ("failed", True)
    assert "it was cut off at the step 'migrate'" in f"{cut_off['reason']}"
    assert rig.order("deploy", rig.releases.release("afterwards").commit).code == 0


def last_record(rig: Rig) -> dict[str, object]:
    record: dict[str, object] = json.loads((rig.data / "deployments.jsonl").read_text().splitlines()[-1])
    return record


def test_without_a_launcher_it_is_said_what_to_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack", "deploy", "main", "--data", f"{tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 69
    assert f"error: no `stack up --replicas` runs with the data in {tmp_path}: start one" in done.stderr


def test_the_load_generator_is_red_where_a_service_is_replaced_by_force(
    migrated_database: Database, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": migrated_database.app_url}
    first = Service(environment, tmp_path)
    first.wait_for("/readyz", 200)
    with UnderLoad(first.url, 50) as load:
        assert wait_until(lambda: first.log.count("http.route=/tasks") > 20, PATIENCE_S)
        first.stop(signal.SIGKILL)
        with Service(environment, tmp_path, port=first.port) as second:
            second.wait_for("/readyz", 200)
            assert wait_until(lambda: second.log.count("http.route=/tasks") > 5, PATIENCE_S)

    assert load.code == 1
    assert load.tally["failed"] > 0
    assert load.tally["lost"], "it says that there was no answer"
