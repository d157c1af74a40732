"""Watch a service for some minutes after a deployment: is it healthy, can it be used, does Prometheus see an alert?

A deployment whose command ended well may still be an outage: a task is written, read and deleted, and the list asked
for, as a client does it. One look that fails may be the network; the second in a row is the service. An alert that was
not firing when the watch began, or that still fires when it ends, fails the watch too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

# It fires always, so that its silence tells that alerting is broken: here it must be seen.
WATCHDOG = "Watchdog"
IN_A_ROW = 2
_TIMEOUT_S = 5.0
# The title says what it is, should the watch be killed between writing and deleting it.
_TITLE = "watched after a deployment, and deleted by it"


class Unwatchable(Exception):
    """What is to be watched could not be asked from the start; the message says what and what to do."""


@dataclass(frozen=True)
class Watched:
    """What is watched.

    Parameters
    ----------
    service, prometheus: addresses such as http://127.0.0.1:8000.
    key: an API key that may read and write tasks, where one is asked for.
    commit: the commit that must be running; any where it is None.
    """

    service: str
    prometheus: str
    key: str | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Look:
    """One look: what is wrong, by the part that was looked at. Empty where all is well."""

    wrong: Mapping[str, str]
    firing: frozenset[str]


class Watch:
    """Looks at a service and its alerts over one connection each."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        headers = {"Authorization": f"Bearer {watched.key}"} if watched.key else {}
        self._service = httpx.Client(base_url=watched.service, timeout=_TIMEOUT_S, headers=headers)
        self._prometheus = httpx.Client(base_url=watched.prometheus, timeout=_TIMEOUT_S)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_error: object) -> None:
        self._service.close()
        self._prometheus.close()

    def look(self) -> Look:
        wrong, firing = {}, frozenset[str]()
        for part, asked in (("health", self._health), ("release", self._release), ("tasks", self._use)):
            try:
                complaint = asked()
            except (httpx.TransportError, ValueError, KeyError) as error:
                complaint = f"no answer that can be read ({type(error).__name__})"
            if complaint:
                wrong[part] = complaint
        try:
            firing = self._firing()
        except (httpx.TransportError, httpx.HTTPStatusError, ValueError, KeyError) as error:
            wrong["prometheus"] = f"no answer that can be read ({type(error).__name__})"
        else:
            if not any(name.startswith(WATCHDOG) for name in firing):
                wrong["alerting"] = f"{WATCHDOG} does not fire, so no other alert can be believed to be silent"
        return Look(wrong, frozenset(name for name in firing if not name.startswith(WATCHDOG)))

    def _health(self) -> str | None:
        answer = self._service.get("/health")
        return None if answer.status_code == 200 else f"/health answers {answer.status_code}"

    def _release(self) -> str | None:
        if self._watched.commit is None:
            return None
        running = self._service.get("/version").json().get("commit")
        return None if running == self._watched.commit else f"commit {running} runs, and not {self._watched.commit}"

    def _use(self) -> str | None:
        """Write a task, read it, and delete it, whatever went wrong in between."""
        made = self._service.post("/tasks", json={"title": _TITLE})
        if made.status_code != 201:
            return f"POST /tasks answers {made.status_code}"
        path = f"/tasks/{made.json()['id']}"
        try:
            read = self._service.get(path)
            listed = self._service.get("/tasks")
        finally:
            gone = self._service.delete(path)
        if read.status_code != 200 or read.json()["title"] != _TITLE:
            return f"the task that was written is not there to read: {read.status_code}"
        if listed.status_code != 200:
            return f"GET /tasks answers {listed.status_code}"
        return None if gone.status_code == 204 else f"DELETE of the task answers {gone.status_code}"

    def _firing(self) -> frozenset[str]:
        answer = self._prometheus.get("/api/v1/alerts").raise_for_status()
        alerts: list[dict[str, Any]] = answer.json()["data"]["alerts"]
        return frozenset(_named(alert["labels"]) for alert in alerts if alert["state"] == "firing")


def _named(labels: Mapping[str, str]) -> str:
    """The alert by its name and what tells several of one name apart."""
    told = ", ".join(labels[key] for key in ("code", "metric", "instance") if labels.get(key))
    return f"{labels['alertname']} ({told})" if told else labels["alertname"]


def watch(
    watch_: Watch,
    *,
    minutes: float,
    interval_s: float,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[str]:
    """Look every `interval_s` for so many minutes, and give the reasons to roll back; none where all stayed well.

    Ends at once where there is such a reason.

    Raises
    ------
    Unwatchable: Prometheus could not be asked at the first look, so its silence means nothing.
    """
    first = watch_.look()
    if "prometheus" in first.wrong:
        raise Unwatchable(f"Prometheus cannot be asked: {first.wrong['prometheus']}. Is its address right?")
    if first.firing:
        say(f"firing already when the watch began: {', '.join(sorted(first.firing))}")
    in_a_row: dict[str, int] = {}
    last, known = first, first.firing
    for last in _looks(watch_, first, minutes, interval_s, clock, sleep):
        in_a_row = {part: in_a_row.get(part, 0) + 1 for part in last.wrong}
        say(_told(last))
        reasons = [f"{part}: {last.wrong[part]}" for part, times in in_a_row.items() if times >= IN_A_ROW]
        reasons += [f"alert: {name} fires" for name in sorted(last.firing - known)]
        # One that ended and begins anew is new.
        known &= last.firing
        if reasons:
            return reasons
    return [f"{part}: {what}" for part, what in last.wrong.items()] + [
        f"alert: {name} still fires" for name in sorted(last.firing)
    ]


def _looks(
    watch_: Watch,
    first: Look,
    minutes: float,
    interval_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Look]:
    end = clock() + minutes * 60
    yield first
    while clock() < end:
        sleep(interval_s)
        yield watch_.look()


def _told(look: Look) -> str:
    parts = [f"{part}: {what}" for part, what in look.wrong.items()] + sorted(look.firing)
    return "; ".join(parts) or "healthy, in use, no alert"
