"""docs/proof/events.jsonl: what each round found, a line each, as it was measured."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine
from stack.monitoring import Programs
from tests.alerts.quiet_scenarios import NONE, QuietOutcome
from tests.alerts.trial import Outcome
from tests.processes import ROOT

EVENTS = ROOT / "docs/proof/events.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class Circumstances:
    """What a proof was made on and with: no name of a machine or of a person."""

    machine: Mapping[str, Any]
    versions: Mapping[str, str]


def circumstances(programs: Programs, postgresql: str) -> Circumstances:
    """This machine and these programs, now."""
    machine = describe_machine()
    told = {
        "processor": machine.processor,
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "load_average": machine.load_average,
    }
    versions = {
        "python": platform.python_version(),
        "postgresql": postgresql,
        "prometheus": programs.prometheus_version,
        "alertmanager": programs.alertmanager_version,
    }
    return Circumstances(told, versions)


def event(
    outcome: Outcome, number: int, seed: int, sources: Mapping[str, str], around: Circumstances
) -> dict[str, Any]:
    """A round as a line of the file."""
    fault = outcome.fault
    return {
        "format": FORMAT,
        "alert": fault.alert,
        "fault": fault.name,
        "round": number,
        "passed": outcome.passed,
        "problems": outcome.problems,
        "began": _time(outcome.began),
        "seed": seed,
        "seen_by": fault.seen_by.value,
        "shortened_by": fault.setting.shortened,
        "steady_s": _rounded(outcome.steady_s),
        "told_s": _rounded(outcome.told_s),
        "repaired_s": _rounded(outcome.repaired_s),
        "resolved_s": _rounded(outcome.resolved_s),
        "labels": {name: _without_folder(value) for name, value in outcome.labels.items()},
        "also_told": {name: _rounded(at) for name, at in outcome.also_told.items()},
        "fired": outcome.fired,
        "answers": outcome.answers,
        "sources": dict(sources),
        "machine": dict(around.machine),
        "versions": dict(around.versions),
    }


def quiet_event(outcome: QuietOutcome, number: int, around: Circumstances) -> dict[str, Any]:
    """A scenario in which nothing may fire as a line of the file; the same keys as far as they mean something."""
    return {
        "format": FORMAT,
        "alert": NONE,
        "fault": outcome.scenario.name,
        "round": number,
        "passed": not outcome.problems,
        "problems": outcome.problems,
        "began": _time(outcome.began),
        "steady_s": _rounded(outcome.steady_s),
        "lasted_s": _rounded(outcome.lasted_s),
        "also_told": {name: _rounded(at) for name, at in outcome.also_told.items()},
        "fired": outcome.fired,
        "answers": outcome.answers,
        "machine": dict(around.machine),
        "versions": dict(around.versions),
    }


def _without_folder(value: str) -> str:
    """A rule's group is named by its file, and that lies in a folder that is the round's own."""
    return re.sub(r"^/.*/", "", value)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def read(file: Path = EVENTS) -> list[dict[str, Any]]:
    """The rounds; none where there is no file."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(events: Iterable[Mapping[str, Any]], file: Path = EVENTS) -> None:
    """Replace the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in events), encoding="utf-8")


def merged(
    old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]], order: list[str]
) -> list[Mapping[str, Any]]:
    """The old rounds of alerts that were not proven anew, and the new ones, by alert."""
    new = list(new)
    proven = {each["alert"] for each in new}
    kept = [each for each in old if each["alert"] not in proven and each["alert"] in order]
    return sorted([*kept, *new], key=lambda each: (order.index(each["alert"]), each["round"]))
