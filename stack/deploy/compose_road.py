"""Replicas as containers: a slot is a service of docker/compose.replicas.yml."""

from collections.abc import Callable, Mapping
from typing import Any

from stack.deploy.compose_engine import Compose, docker, image_of, inspect, must_docker
from stack.deploy.errors import StepFailed
from stack.deploy.readiness import wait_until_ready
from stack.deploy.slots import Slot, Stand

PORT = 8000
READY_SECONDS = 40.0
EVIDENCE_LINES = 8


class ComposeRoad:
    """See rollout.Road. Replicas are asked at their containers' addresses, which a Linux host reaches."""

    def __init__(self, compose: Compose, *, ready_timeout: float = READY_SECONDS) -> None:
        self._compose = compose
        self._ready_timeout = ready_timeout
        self._containers: dict[str, str] = {}
        # Those that this road has started itself, by their slots.
        self._own: set[str] = set()

    def find(self, slot: Slot) -> None:
        """Fills a slot in from what stands in it now; the release is its image's id."""
        container = self._compose.container(slot.name)
        found = inspect(container) if container else None
        if found is None:
            slot.clear()
            return
        self._containers[slot.name] = container
        slot.release = f"{found['Image']}".removeprefix("sha256:")
        # So that the way back finds it, though the name under which it came has moved on.
        must_docker("tag", f"sha256:{slot.release}", image_of(slot.release))
        slot.host, slot.port, slot.stand = _address(found), PORT, Stand.DRAINED

    def start(self, slot: Slot, release: str) -> None:
        self._compose.must("up", "-d", "--no-deps", "--no-build", slot.name, release=release)
        self._containers[slot.name] = self._compose.container(slot.name)
        self._own.add(slot.name)
        found = inspect(self._containers[slot.name])
        if found is None:
            raise StepFailed(f"compose has started no container for {slot.name}")
        slot.host, slot.port = _address(found), PORT

    def wait_until_ready(self, slot: Slot, give_up: Callable[[], bool]) -> None:
        wait_until_ready(
            slot,
            lambda: self._end_of(slot),
            lambda: self.last_words(slot),
            timeout=self._ready_timeout,
            give_up=give_up,
        )

    def has_ended(self, slot: Slot) -> bool:
        return bool(self._end_of(slot))

    def stop(self, slot: Slot) -> None:
        # SIGTERM and the file's stop_grace_period; then the container is gone, so that no restart brings it back.
        self._compose.must("rm", "--stop", "--force", slot.name)
        self._containers.pop(slot.name, None)
        self._own.discard(slot.name)

    def last_words(self, slot: Slot) -> list[str]:
        container = self._containers.get(slot.name)
        if container is None:
            return []
        told = docker("logs", "--tail", f"{EVIDENCE_LINES}", container)
        return [line for line in (told.output + told.errors).splitlines() if line.strip()]

    def _end_of(self, slot: Slot) -> str:
        container = self._containers.get(slot.name)
        found = inspect(container) if container else None
        if found is None:
            return "nothing left of it"
        state = _part(found, "State")
        # A new replica that was restarted has ended once, and that is too much. An old one may have been, weeks ago:
        # it serves, so that its requests are awaited and it is a way back.
        if slot.name in self._own and found.get("RestartCount"):
            # Its status is that of the one that was started after it.
            return "a fault, after which it was started again,"
        if state.get("Running") and not state.get("Restarting"):
            return ""
        return f"status {state.get('ExitCode')}"


def _address(container: Mapping[str, object]) -> str:
    networks = _part(_part(container, "NetworkSettings"), "Networks")
    return next((f"{each['IPAddress']}" for each in networks.values() if each.get("IPAddress")), "")


def network_of(container: Mapping[str, object]) -> str:
    """The network that a container is in."""
    networks = _part(_part(container, "NetworkSettings"), "Networks")
    if not networks:
        raise StepFailed("a container is in no network")
    return next(iter(networks))


def _part(whole: Mapping[str, object], name: str) -> dict[str, Any]:
    part = whole.get(name)
    return part if isinstance(part, dict) else {}
