"""Replicas as processes of this machine, each under a guardian and with a log of its own."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from stack.deploy.errors import StepFailed
from stack.deploy.readiness import wait_until_ready
from stack.deploy.releases import Releases, new_log
from stack.deploy.slots import Slot
from stack.errors import StackError
from stack.log_file import bound_log, last_lines
from stack.ports import LOOPBACK, free_port, is_free
from stack.process import GuardedProcess, describe_end

STOP_GRACE_SECONDS = 15.0
EVIDENCE_LINES = 8


class _Replica:
    def __init__(self, process: GuardedProcess, log: Path, log_begin: int) -> None:
        self.process = process
        self.log = log
        self.log_begin = log_begin


class LocalRoad:
    """See rollout.Road. `variables` are the service's, `ready_timeout` is in seconds."""

    def __init__(
        self, data: Path, releases: Releases, variables: Mapping[str, str], *, ready_timeout: float = 30.0
    ) -> None:
        self._logs = data.absolute() / "replicas"
        self._releases = releases
        self._variables = variables
        self._ready_timeout = ready_timeout
        self._replicas: dict[str, _Replica] = {}
        # The keeper of those that serve and a deployment start and stop from threads of their own.
        self._turn = threading.RLock()

    def start(self, slot: Slot, release: str) -> None:
        with self._turn:
            found = self._releases.checked_out(release)
            if found is None:
                raise StepFailed(f"the release {release[:12]} is not here any more: deploy it again")
            slot.host = LOOPBACK
            # A slot keeps its port while it can, so that what is measured of it stays under one name.
            slot.port = slot.port if slot.port and is_free(slot.port) else free_port()
            log, begin = new_log(self._logs, slot.name)
            arguments = ("taskmanager", "serve", "--host", slot.host, "--port", f"{slot.port}")
            process = found.begin(*arguments, variables=self._variables, log=log, grace=STOP_GRACE_SECONDS)
            self._replicas[slot.name] = _Replica(process, log, begin)

    def wait_until_ready(self, slot: Slot, give_up: Callable[[], bool] = lambda: False) -> None:
        wait_until_ready(
            slot,
            lambda: "" if (code := self._poll(slot)) is None else describe_end(code),
            lambda: self.last_words(slot),
            timeout=self._ready_timeout,
            give_up=give_up,
        )

    def has_ended(self, slot: Slot) -> bool:
        with self._turn:
            return slot.name not in self._replicas or self._poll(slot) is not None

    def revive(self, slot: Slot) -> str:
        """Starts again what has ended by itself; how it ended, empty where it runs."""
        with self._turn:
            replica = self._replicas.get(slot.name)
            # A deployment has taken it out meanwhile.
            if replica is None or (code := replica.process.poll()) is None:
                return ""
            words = last_lines(replica.log, 1, replica.log_begin)
            self.start(slot, slot.release)
            return f"{describe_end(code)}{f': {words}' if words else ''}"

    def stop(self, slot: Slot) -> None:
        with self._turn:
            replica = self._replicas.pop(slot.name, None)
        if replica is not None:
            replica.process.stop()

    def hasten(self) -> None:
        for replica in list(self._replicas.values()):
            replica.process.hasten()

    def last_words(self, slot: Slot) -> list[str]:
        replica = self._replicas.get(slot.name)
        if replica is None:
            return []
        try:
            return last_lines(replica.log, EVIDENCE_LINES, replica.log_begin).split(" | ")
        except OSError:
            return []

    def bound_logs(self) -> None:
        for replica in list(self._replicas.values()):
            if bound_log(replica.log):
                replica.log_begin = 0

    def _poll(self, slot: Slot) -> int | None:
        replica = self._replicas.get(slot.name)
        if replica is None:
            raise StackError(f"nothing runs in {slot.name}")
        return replica.process.poll()
