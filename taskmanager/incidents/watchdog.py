"""The dead man's switch: an alert that always fires, and what its silence means.

Nobody is told that an alert is missing by those who should have sent it. So Prometheus fires `Watchdog` all the time,
Alertmanager repeats it here, and where it stays away, either of them, or the way here, is broken.
"""

from __future__ import annotations

from datetime import datetime

from taskmanager.incidents.entries import Alert

CODE = "alerting_silent"

# No alert's fingerprint: Alertmanager's are 16 digits.
FINGERPRINT = "0"


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


def silence(watchdog: Alert | None, since: datetime) -> Alert:
    """The alert that the receiver raises itself, for the environment of the Watchdog that it knew."""
    labels = {"alertname": "AlertingSilent", "severity": "critical", "service": "monitoring", "code": CODE}
    if watchdog and "env" in watchdog.labels:
        labels["env"] = watchdog.labels["env"]
    links = {"runbook": f"docs/runbooks/{CODE}.md", "dashboard": "/d/taskmanager-meta"}
    return Alert(FINGERPRINT, CODE, labels, links, since)
