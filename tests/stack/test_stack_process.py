import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from stack.errors import StackError
from stack.process import GuardedProcess, describe_end, is_running, wait_until

PATIENCE = 30.0


def gone(*pids: int) -> bool:
    return wait_until(lambda: not any(map(is_running, pids)), PATIENCE)


def test_passes_on_the_exit_code() -> None:
    assert GuardedProcess(["sh", "-c", "exit 7"], name="it").wait(PATIENCE) == 7


def test_reports_a_signal_as_shells_do() -> None:
    process = GuardedProcess(["sh", "-c", "kill -9 $$"], name="it")
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_child_does_not_read_the_launchers_pipe() -> None:
    assert GuardedProcess(["sh", "-c", "cat && exit 7"], name="it").wait(PATIENCE) == 7


def test_stop_sends_the_stop_signal(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'exit 5' INT; touch {ready}; while :; do sleep 0.05; done"
    process = GuardedProcess(["sh", "-c", script], name="it", stop_signal=signal.SIGINT)
    assert wait_until(ready.exists, PATIENCE)
    assert process.stop() == 5


def test_child_that_ignores_the_stop_signal_is_killed_after_the_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done"
    process = GuardedProcess(["sh", "-c", script], name="it", grace=0.2)
    assert wait_until(ready.exists, PATIENCE)
    assert process.stop() == 128 + signal.SIGKILL


def test_hasten_does_not_wait_for_the_grace(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.05; done"
    process = GuardedProcess(["sh", "-c", script], name="it", grace=600)
    assert wait_until(ready.exists, PATIENCE)
    process.hasten()
    assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_paused_child_is_stopped() -> None:
    process = GuardedProcess(["sleep", "600"], name="it", grace=600)
    os.kill(process.child_pid, signal.SIGSTOP)
    assert process.stop() == 128 + signal.SIGTERM


def test_what_the_child_leaves_in_its_group_is_ended() -> None:
    process = GuardedProcess(["sh", "-c", "sleep 600 & kill -STOP $$"], name="it")
    child = psutil.Process(process.child_pid)
    assert wait_until(lambda: child.status() == psutil.STATUS_STOPPED, PATIENCE)
    left = [grandchild.pid for grandchild in child.children()]
    child.kill()
    process.wait(PATIENCE)
    assert left
    assert gone(*left)


def test_killed_guardian_takes_its_child_along() -> None:
    process = GuardedProcess(["sleep", "600"], name="it")
    os.kill(process.pid, signal.SIGKILL)
    process.stop()
    assert gone(process.pid, process.child_pid)


def test_killed_launcher_leaves_nothing(launcher_environment: dict[str, str]) -> None:
    script = (
        "import time; from stack.process import GuardedProcess;"
        "p = GuardedProcess(['sleep', '600'], name='it');"
        "print(p.pid, p.child_pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], env=launcher_environment, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        pids = [int(pid) for pid in launcher.stdout.readline().split()]
        launcher.kill()
    assert len(pids) == 2
    assert gone(*pids)


def test_command_that_cannot_be_executed_is_named() -> None:
    with pytest.raises(StackError, match=r"^it could not be started: .*no-such-program"):
        GuardedProcess(["/no-such-program"], name="it")


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "code 3"), (137, "signal 9 (SIGKILL)"), (-15, "signal 15 (SIGTERM)"), (0, "code 0")],
)
def test_describes_ends(code: int, words: str) -> None:
    assert describe_end(code) == words
