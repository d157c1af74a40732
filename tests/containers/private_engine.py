"""A `dockerd` of this checkout alone, started by hand, in two phases on one data root."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_START_WITHIN_S = 60
_STOP_WITHIN_S = 60

# On the host's network it makes no bridge and no rule of the firewall: whoever else uses it sees nothing of that.
_ON_THE_HOST = (
    "--iptables=false",
    "--ip6tables=false",
    "--bridge=none",
    "--ip-forward=false",
    "--ip-masq=false",
)

_NEEDED = ("docker", "dockerd", "containerd", "runc", "iptables", "unshare", "nsenter", "ip")


class EngineDidNotStart(Exception):
    """The daemon ended or did not answer. Its message has the last lines of its log."""


class PrivateEngine:
    """The daemon whose data root is `folder`/data; it outlives the process that starts it, until `stop`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A socket's path may have 107 characters, and a checkout can lie deep.
        mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self.run_folder = Path("/run") / f"taskmanager-containers-{mark}"
        self.socket = self.run_folder / "docker.sock"
        self.pid_file = self.run_folder / "docker.pid"
        self.state_file = folder / "engine.json"
        self.log_file = folder / "dockerd.log"

    @staticmethod
    def lacks() -> str | None:
        """What a private engine cannot be started without, or None."""
        if os.geteuid() != 0:
            return "a private one is started by root alone"
        missing = [name for name in _NEEDED if shutil.which(name) is None]
        return f"a private one needs {', '.join(missing)}" if missing else None

    @property
    def name(self) -> str:
        said = subprocess.run(["dockerd", "--version"], capture_output=True, text=True, check=True).stdout
        version = re.search(r"[0-9]+\.[0-9]+\.[0-9]+", said)
        return f"private dockerd {version[0] if version else said.strip()}"

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0", "COMPOSE_DOCKER_CLI_BUILD": "0"}

    @property
    def network(self) -> str | None:
        """The network that it is on, "host" or "own"; None unless it runs."""
        state = self._state()
        return state["network"] if state else None

    @property
    def is_running(self) -> bool:
        return self._state() is not None

    @property
    def pid(self) -> int:
        """Raises EngineDidNotStart unless it runs."""
        state = self._state()
        if state is None:
            raise EngineDidNotStart("it does not run; start it: python -m tests.containers.engine start")
        return int(state["pid"])

    def enter_namespace(self) -> list[str]:
        """What to put before a command, so that it runs where published ports are."""
        return ["nsenter", "-t", str(self.pid), "-n"] if self.network == "own" else []

    def start(self, network: str) -> None:
        """Have it running on `network`; containers that run on the other one are stopped. Raises EngineDidNotStart."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if self.network == network:
                return
            self._stop()
            self.run_folder.mkdir(mode=0o700, exist_ok=True)
            command = [
                "dockerd",
                "--data-root", str(self.folder / "data"),
                "--exec-root", str(self.run_folder / "exec"),
                "--host", f"unix://{self.socket}",
                "--pidfile", str(self.pid_file),
            ]  # fmt: skip
            if network == "host":
                command += _ON_THE_HOST
            else:
                command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command]
            with self.log_file.open("w") as log:
                process = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
            self._wait_until_it_answers(process)
            state = {"pid": process.pid, "started": _start_of(process.pid), "network": network}
            self.state_file.write_text(json.dumps(state))

    def stop(self) -> None:
        """End it and what runs on it."""
        if self.folder.is_dir():
            with self._alone():
                self._stop()

    def _stop(self) -> None:
        state = self._state()
        if state is None:
            return
        os.kill(state["pid"], signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN_S
        while self._state() is not None:
            if time.monotonic() > deadline:
                os.kill(state["pid"], signal.SIGKILL)
                deadline += _STOP_WITHIN_S
            with suppress(ChildProcessError):
                os.waitpid(state["pid"], os.WNOHANG)
            time.sleep(0.05)
        self.state_file.unlink()

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            asked = subprocess.run(
                ["docker", "version", "--format", "{{.Server.Version}}"],
                env=os.environ | self.environment,
                capture_output=True,
                check=False,
            )
            if asked.returncode == 0:
                return
            time.sleep(0.05)
        else:
            process.kill()
            process.wait()
        last = "\n".join(self.log_file.read_text().splitlines()[-15:])
        raise EngineDidNotStart(f"dockerd did not start; {self.log_file} ends with:\n{last}")

    def _state(self) -> dict[str, Any] | None:
        """What `start` wrote, as long as that very process lives: a pid may have become another's."""
        try:
            state = json.loads(self.state_file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return state if _start_of(state["pid"]) == state["started"] else None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "engine.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # The daemon would inherit it otherwise, and hold the lock for as long as it lives.
            os.set_inheritable(lock.fileno(), False)
            yield


def _start_of(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None where it is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
