"""The dead man's switch: an alert that always fires, and what its silence means.

Nobody is told that an alert is missing by those who should have sent it. So Prometheus fires `Watchdog` all the time,
Alertmanager repeats it here, and where it stays away, either of them, or the way here, is broken.
"""

from __future__ import annotations

from collections.abc import Iterable

from taskmanager.incidents.entries import Alert

# Those who send here hold a key; what can be told apart is bounded all the same.
MOST_WATCHDOGS = 32

# The watchdog that is expected and has never come, so that nobody knows its name.
UNNAMED = ""


def name_of(watchdog: Alert) -> str:
    """Which watchdog it is. Not its fingerprint: a rule that gets another label makes no other environment."""
    return f"{watchdog.labels.get('service', '')}/{watchdog.labels.get('env', '')}"


class DeadMansSwitch:
    """Whether the heartbeat is there. Times are seconds of a clock that nobody sets and that stands while the machine
    sleeps (`time.monotonic`): a notebook that wakes up has missed none."""

    def __init__(self, timeout_s: float, expected_since: float | None = None) -> None:
        """`expected_since`: when waiting began, None where the first heartbeat is not awaited."""
        self.timeout_s = timeout_s
        self._awaited_since = expected_since
        self._seen: float | None = None
        self._stopped = False

    def beat(self, now: float) -> None:
        self._seen = self._awaited_since = now
        self._stopped = False

    def stop(self) -> None:
        """Alertmanager says that the Watchdog no longer fires: Prometheus is silent, without a need to wait."""
        self._stopped = True

    def silent(self, now: float) -> bool:
        if self._stopped:
            return True
        return self._awaited_since is not None and now - self._awaited_since > self.timeout_s

    def heard(self, now: float) -> bool:
        """Whether a heartbeat came to this process, and recently."""
        return self._seen is not None and not self.silent(now)

    def age_s(self, now: float) -> float | None:
        """Seconds since the last heartbeat, None before the first one of this process."""
        return None if self._seen is None else max(0.0, now - self._seen)

    def awaited_s(self, now: float) -> float:
        """Seconds since the last heartbeat, or since this process began to wait for the first one."""
        return 0.0 if self._awaited_since is None else max(0.0, now - self._awaited_since)


class Switches:
    """A switch for each watchdog: the heartbeat of one environment says nothing of another.

    Parameters
    ----------
    known: the names of those that came before this process began.
    expected: whether one is awaited although none ever came.
    """

    def __init__(self, timeout_s: float, known: Iterable[str], now: float, *, expected: bool) -> None:
        self.timeout_s = timeout_s
        awaited = list(known) or ([UNNAMED] if expected else [])
        self._switches = {name: DeadMansSwitch(timeout_s, now) for name in awaited}

    def beat(self, name: str, now: float) -> None:
        self._switch(name).beat(now)

    def stop(self, name: str) -> None:
        self._switch(name).stop()

    def silent(self, now: float) -> list[str]:
        return [name for name, switch in self._switches.items() if switch.silent(now)]

    def heard(self, now: float) -> bool:
        """Whether the heartbeat of each came to this process, and recently."""
        return bool(self._switches) and all(switch.heard(now) for switch in self._switches.values())

    def age_s(self, name: str, now: float) -> float | None:
        return self._switches[name].age_s(now)

    def oldest_age_s(self, now: float) -> float | None:
        """The oldest of all, None before the first heartbeat that comes to this process."""
        if all(switch.age_s(now) is None for switch in self._switches.values()):
            return None
        return max(switch.awaited_s(now) for switch in self._switches.values())

    def _switch(self, name: str) -> DeadMansSwitch:
        self._switches.pop(UNNAMED, None)
        return self._switches.setdefault(name, DeadMansSwitch(self.timeout_s))
