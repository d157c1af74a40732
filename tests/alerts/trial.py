"""One round: a steady state, the fault, who is told and when, the repair, and who is told of the end."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.alerts.fault import WATCHDOG, Fault, SeenBy
from tests.alerts.rig import Laboratory, NotSteady, Rig
from tests.alerts.rig.capture import FIRING, RESOLVED, Notice
from tests.alerts.rig.traffic import MARKS
from tests.processes import ROOT

LOOK_EVERY_S = 0.1
# Alertmanager tells the receiver and the webhook at the same time.
RECORDED_WITHIN_S = 5.0
# A fault comes at any moment between two scrapes.
PHASE_S = 1.0
# What else is told of a fault is waited for so long after the alert's end: nothing more may come.
QUIET_AFTERWARDS_S = 2.0

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")
_REQUIRED_ANNOTATIONS = ("summary", "description", "runbook_url", "dashboard_url")


@dataclass
class Outcome:
    """What a round found. Times are in seconds from the fault on, `resolved_s` from the repair on; None where it did
    not come. `also_told` has when each other alert was first told, `fired` what fired in Prometheus and for how many
    seconds, told or not. A round without `problems` is passed."""

    fault: Fault
    began: float = 0.0
    steady_s: float = 0.0
    told_s: float | None = None
    repaired_s: float = 0.0
    resolved_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    also_told: dict[str, float] = field(default_factory=dict)
    fired: dict[str, float] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.problems


def run(
    fault: Fault,
    laboratory: Laboratory,
    folder: Path,
    seed: int,
    change: Callable[[dict[str, Any]], None] = lambda rules: None,
    *,
    patience: float = 1.0,
    until_resolved: bool = True,
) -> Outcome:
    """Run a round with a rig of its own in an empty folder.

    Parameters
    ----------
    seed: of the moment at which the fault comes, between two scrapes.
    change: what is done to the rules beforehand, to see a proof fail.
    patience: the fault's times are waited for so many times as long.
    until_resolved: whether the end of the alert is waited for too.
    """
    began, started = time.time(), time.monotonic()
    try:
        with Rig(laboratory, folder, fault.setting, fault.alert, change) as rig:
            steady_s = time.monotonic() - started
            time.sleep(random.Random(seed).uniform(0, PHASE_S))  # noqa: S311  to be repeated by its seed
            outcome = run_on(rig, fault, patience=patience, until_resolved=until_resolved)
            outcome.steady_s = steady_s
            return outcome
    except NotSteady as error:
        return Outcome(fault, began=began, problems=[f"not steady: {error}"])


def run_on(rig: Rig, fault: Fault, *, patience: float = 1.0, until_resolved: bool = True) -> Outcome:
    """Run a round on a rig that is there and is steady."""
    outcome = Outcome(fault, began=time.time())
    _Round(rig, fault, outcome, patience).run(until_resolved=until_resolved)
    return outcome


class _Round:
    def __init__(self, rig: Rig, fault: Fault, outcome: Outcome, patience: float) -> None:
        self.rig = rig
        self.fault = fault
        self.outcome = outcome
        self._patience = patience

    def run(self, *, until_resolved: bool) -> None:
        fault, outcome = self.fault, self.outcome
        began_utc = time.time()
        with fault.inject(self.rig) as began:
            seen = self._wait(FIRING, began, fault.within_s)
            if seen is None:
                outcome.problems.append(f"{fault.alert} was not told within {fault.within_s * self._patience:.0f} s")
            else:
                outcome.told_s = seen.at - began
                outcome.labels, outcome.annotations = seen.labels, seen.annotations
                self._require_incident(seen, "open")
                time.sleep(fault.hold_s)
        repaired = time.monotonic()
        outcome.repaired_s = repaired - began
        if seen is not None and until_resolved:
            # A repair that takes a while may have ended it before it was over itself.
            end = self._wait(RESOLVED, repaired, fault.resolved_within_s, seen)
            if end is None:
                within_s = fault.resolved_within_s * self._patience
                outcome.problems.append(f"the end of {fault.alert} was not told within {within_s:.0f} s of the repair")
            else:
                outcome.resolved_s = max(0.0, end.at - repaired)
                self._require_incident(seen, "resolved")
            time.sleep(QUIET_AFTERWARDS_S)
        outcome.answers = {str(answer): count for answer, count in self.rig.traffic.answers.items()}
        self._look_at_what_was_told(began, began_utc)

    def _require_incident(self, seen: Notice, state: str) -> None:
        """The incident receiver is told as well, and keeps it."""
        if self.fault.seen_by is not SeenBy.WEBHOOK or self.fault.deafens_the_receiver:
            return
        deadline = time.monotonic() + RECORDED_WITHIN_S * self._patience
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                for incident in self.rig.receiver_answers("/incidents?state=all"):
                    if (incident["fingerprint"], incident["state"]) == (seen.fingerprint, state):
                        return
            time.sleep(LOOK_EVERY_S)
        self.outcome.problems.append(f"the incident receiver has no incident of it that is {state}")

    def _look_at_what_was_told(self, began: float, began_utc: float) -> None:
        fault, outcome = self.fault, self.outcome
        for notice in self.rig.capture.notices:
            if notice.at >= began and notice.status == FIRING and notice.alert not in (fault.alert, WATCHDOG):
                outcome.also_told.setdefault(notice.alert, notice.at - began)
        try:
            outcome.fired = self.rig.prometheus.fired(began_utc)
        except OSError:
            outcome.problems.append("Prometheus does not answer after the repair")
        not_allowed = outcome.also_told.keys() - fault.allowed
        outcome.problems += [f"{alert} was told too" for alert in sorted(not_allowed)]
        unexpected = outcome.fired.keys() - fault.allowed - fault.muted - {fault.alert, WATCHDOG} - not_allowed
        outcome.problems += [f"{alert} fired too" for alert in sorted(unexpected)]
        if outcome.told_s is not None:
            outcome.problems += _faults_of(outcome, fault)
        outcome.problems += [
            f"a notification has {mark!r}" for body in self.rig.capture.bodies for mark in MARKS if mark in body
        ]

    def _wait(self, status: str, since: float, within_s: float, seen: Notice | None = None) -> Notice | None:
        """The first word of the alert since the fault; of one that was seen, the last word, once that is its end."""
        deadline = since + within_s * self._patience
        if self.fault.seen_by is not SeenBy.WEBHOOK:
            return self._look_until(status, deadline)
        if seen is None:
            return self.rig.capture.first(
                lambda notice: notice.at >= since and notice.status == status and self._is_wanted(notice), deadline
            )
        return self.rig.capture.last_of(seen.fingerprint, status, deadline)

    def _look_until(self, status: str, deadline: float) -> Notice | None:
        look = self._incidents if self.fault.seen_by is SeenBy.RECEIVER else self._page
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                wanted = next((notice for notice in look() if self._is_wanted(notice)), None)
                if status == FIRING and wanted is not None:
                    return wanted
                if status == RESOLVED and wanted is None:
                    return Notice(time.monotonic(), RESOLVED, {}, {}, "", "")
            time.sleep(LOOK_EVERY_S)
        return None

    def _is_wanted(self, notice: Notice) -> bool:
        wanted = {"alertname": self.fault.alert} | dict(self.fault.labels)
        return wanted.items() <= notice.labels.items()

    def _page(self) -> Iterator[Notice]:
        for alert in self.rig.prometheus.alerts():
            if alert["state"] == "firing":
                yield Notice(time.monotonic(), FIRING, alert["labels"], alert["annotations"], alert["activeAt"], "")

    def _incidents(self) -> Iterator[Notice]:
        for incident in self.rig.receiver_answers("/incidents?state=open"):
            links = {f"{name}_url": link for name, link in incident["links"].items()}
            yield Notice(time.monotonic(), FIRING, incident["labels"], links, incident["starts_at"], "")


def _faults_of(outcome: Outcome, fault: Fault) -> Iterator[str]:
    """What is wrong with what somebody reads who is told."""
    annotations = outcome.annotations
    if fault.seen_by is not SeenBy.RECEIVER:
        yield from (f"it has no {name}" for name in _REQUIRED_ANNOTATIONS if not annotations.get(name))
    runbook = annotations.get("runbook_url", "")
    if not (ROOT / runbook).is_file():
        yield f"there is no runbook {runbook!r}"
    for text in (*outcome.labels.values(), *annotations.values()):
        if "<no value>" in text or "<error" in text:
            yield f"a template of it failed: {text!r}"
        if _EMAIL.search(text):
            yield f"it has an e-mail address: {text!r}"
