"""The shipped rules with shorter windows: what takes hours by design is proven in minutes, and says so.

Done by rule and not by hand: every duration in the ranges, offsets and waits of the alert under proof, and of the
recording rules that it reads, is divided by one number. Thresholds stay. So do the rules that nothing of it reads.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

# A window holds four scrapes at least, since increase() needs two of them.
SHORTEST_S = 4.0

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 31_536_000.0}
_RANGE = re.compile(r"\[([0-9a-z]+)\]")
_OFFSET = re.compile(r"\boffset ([0-9a-z]+)")
_WAITS = ("for", "keep_firing_for")

GroupAndRule = tuple[dict[str, Any], dict[str, Any]]


def seconds(text: str) -> float:
    """A duration of Prometheus', such as 1h30m, in seconds."""
    parts = re.findall(r"(\d+)(ms|[smhdwy])", text)
    assert "".join(number + unit for number, unit in parts) == text, f"{text!r} is no duration"
    return sum(int(number) * _UNITS_S[unit] for number, unit in parts)


def windows_s(expr: str) -> list[float]:
    """The ranges in an expression, in seconds."""
    return [seconds(text) for text in _RANGE.findall(expr)]


def rule_files(folder: Path) -> dict[str, Any]:
    """The files of rules in a folder, parsed, by name."""
    return {path.name: parsed(path) for path in sorted(folder.glob("*.yml"))}


def parsed(file: Path) -> Any:
    """A file of YAML. It is asked for anew for each alert, and parsed once."""
    return copy.deepcopy(_parsed(file.read_text()))


@functools.cache
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


def rules_of(files: dict[str, Any]) -> Iterator[GroupAndRule]:
    """Every group with each of its rules."""
    for content in files.values():
        for group in content["groups"]:
            for rule in group["rules"]:
                yield group, rule


def closure(files: dict[str, Any], alert: str) -> list[GroupAndRule]:
    """The rules of an alert and the recording rules that they read, with their groups; none where there is no such
    alert."""
    return _with_what_they_read(files, [each for each in rules_of(files) if each[1].get("alert") == alert])


def closures(files: dict[str, Any], alert: str) -> list[list[GroupAndRule]]:
    """The same for each rule of the alert by itself, that rule first."""
    return [_with_what_they_read(files, [each]) for each in rules_of(files) if each[1].get("alert") == alert]


def _with_what_they_read(files: dict[str, Any], found: list[GroupAndRule]) -> list[GroupAndRule]:
    recording = [each for each in rules_of(files) if "record" in each[1]]
    for _, reader in found:  # grows while it is walked
        found += [each for each in recording if _reads(reader["expr"], each[1]["record"]) and each not in found]
    return found


def _reads(expr: str, record: str) -> bool:
    return re.search(rf"(?<![\w:]){re.escape(record)}(?![\w:])", expr) is not None


def shorten(files: dict[str, Any], alert: str, factor: int) -> dict[str, Any]:
    """A copy of the files in which the alert's durations are a `factor`-th.

    Groups that are evaluated seldom, since their windows are long, come round faster by as much.
    """
    files = copy.deepcopy(files)
    if factor == 1:
        return files
    for group, rule in closure(files, alert):
        rule["expr"] = _OFFSET.sub(
            lambda match: f"offset {_part(match[1], factor, shortest_s=1.0)}",
            _RANGE.sub(lambda match: f"[{_part(match[1], factor, shortest_s=SHORTEST_S)}]", rule["expr"]),
        )
        for wait in _WAITS:
            if wait in rule:
                rule[wait] = _part(rule[wait], factor, shortest_s=1.0)
        if "interval" in group and seconds(group["interval"]) > 5.0:
            group["interval"] = _part(group["interval"], factor, shortest_s=1.0)
    return files


def _part(duration: str, factor: int, *, shortest_s: float) -> str:
    whole_s = seconds(duration)
    if whole_s == 0:
        return duration
    return f"{round(max(whole_s / factor, min(shortest_s, whole_s)) * 1000)}ms"


def write(files: dict[str, Any], folder: Path) -> None:
    """Write the files to a folder."""
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000))
