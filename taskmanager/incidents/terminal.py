"""What people see: tables and durations, coloured on a terminal. A colour never says what no word says."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from taskmanager.incidents.deployments import described
from taskmanager.incidents.entries import read_time

_CODES = {"critical": "1;31", "warning": "33", "open": "1", "resolved": "32"}


class Painter:
    """Colours words, where there is somebody to see them: a terminal, and NO_COLOR (no-color.org) not set."""

    def __init__(self, stream: TextIO = sys.stdout, environment: Mapping[str, str] = os.environ) -> None:
        dumb = environment.get("TERM") == "dumb" or bool(environment.get("NO_COLOR"))
        self._paints = stream.isatty() and not dumb

    def paint(self, text: str, word: str) -> str:
        """The text in the colour of a word, if that has one."""
        code = _CODES.get(word)
        return f"\x1b[{code}m{text}\x1b[0m" if self._paints and code else text


def harmless(text: object) -> str:
    """One line without what could repaint a terminal."""
    characters = str(text).replace("\n", " ").replace("\t", " ")
    return "".join("?" if unicodedata.category(character)[0] == "C" else character for character in characters)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], painter: Painter) -> str:
    """Columns as wide as their widest cell. A cell is painted by what it says."""
    clean = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in (list(header), *clean)) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(header, widths, strict=True)).rstrip()]
    for row in clean:
        cells = [
            painter.paint(cell, cell.partition(" ")[0]) + " " * (width - len(cell))
            for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`, `2 d 4 h`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s" if whole < 600 and whole % 60 else f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def between(start: str | None, end: str | None) -> str:
    """How long from one time to another, `-` where one is missing."""
    if not start or not end:
        return "-"
    return duration((read_time(end) - read_time(start)).total_seconds())


def when(text: str | None) -> str:
    """A time to the second, in UTC; `-` where there is none."""
    return read_time(text).strftime("%Y-%m-%d %H:%M:%S") if text else "-"


LIST_HEADER = ("ID", "SEVERITY", "STATE", "OPENED (UTC)", "CODE", "SERVICE", "TAKEN UP BY")


def list_row(incident: dict[str, Any], now: datetime | None = None) -> tuple[str, ...]:
    """An incident as a row of the list."""
    opened = incident["opened_at"]
    if incident["state"] == "open":
        age_s = ((now or datetime.now(UTC)) - read_time(opened)).total_seconds()
        state = f"open {duration(age_s)}"
    else:
        state = f"resolved in {between(opened, incident['resolved_at'])}"
    service = "/".join(incident["labels"].get(name, "") for name in ("service", "env")).strip("/")
    taken = incident["acknowledged_by"] or "-"
    return str(incident["id"]), incident["severity"], state, when(opened), incident["code"], service or "-", taken


_SAID = {
    "opened": "opened",
    "notified_again": "notified again",
    "acknowledged": "acknowledged",
    "note": "note",
    "resolved": "resolved",
    "reopened": "reopened",
}


def details(incident: dict[str, Any], painter: Painter, deployments: Sequence[dict[str, Any]] = ()) -> str:
    """One incident in full: its facts, then its lines in the order in which they were written.

    `deployments` are those shortly before it.
    """
    labels = ", ".join(f"{name}={value}" for name, value in incident["labels"].items())
    facts = [
        ("alert", incident["alert"]),
        ("code", incident["code"]),
        ("labels", labels),
        ("opened", f"{when(incident['opened_at'])} UTC"),
        ("acknowledged", _act(incident, "acknowledged")),
        ("resolved", _act(incident, "resolved")),
        *(("deployed", f"{when(each['at'])} UTC, {described(each)}") for each in deployments),
        *((name, link) for name, link in incident["links"].items()),
    ]
    if incident["reopened"]:
        facts.insert(4, ("reopened", f"{incident['reopened']} time(s)"))
    state = f"incident {incident['id']}: {incident['severity']}, {incident['state']}"
    lines = [painter.paint(state, incident["severity"] if incident["state"] == "open" else "resolved")]
    lines += [f"  {name:<13} {harmless(value)}" for name, value in facts]
    lines.append("")
    for entry in incident["entries"]:
        text = f": {harmless(entry['text'])}" if entry.get("text") else ""
        said = _SAID.get(entry["kind"], entry["kind"])
        lines.append(f"  {when(entry['at'])}  {said:<14}  {harmless(entry['who'])}{text}")
    return "\n".join(lines)


def _act(incident: dict[str, Any], verb: str) -> str:
    at = incident[f"{verb}_at"]
    if not at:
        return "not yet"
    after = between(incident["opened_at"], at)
    return f"{when(at)} UTC by {incident[f'{verb}_by']}, {after} after the opening"
