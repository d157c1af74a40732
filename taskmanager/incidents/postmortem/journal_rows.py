"""The journal's own part of the timeline.

Who acted is left out: a post-mortem is about what happened and not about who, and it is kept for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from taskmanager.incidents.deployments import Result, is_suspect
from taskmanager.incidents.entries import ALERTMANAGER, GONE_SINCE, RECEIVER, read_time
from taskmanager.incidents.postmortem.timeline import Event, Origin, Window

_BY_WHOM = {ALERTMANAGER: "by_alertmanager", RECEIVER: "by_receiver"}


def events(incident: dict[str, Any], deployments: list[dict[str, Any]], window: Window) -> list[Event]:
    """The incident's lines, and the deployments that were recorded in the window, or shortly before the incident."""
    found = [_row(entry, incident) for entry in incident["entries"]]
    if incident["starts_at"]:
        values = {"alert": incident["alert"]}
        found.append(Event(read_time(incident["starts_at"]), Origin.ALERTMANAGER, "alert_starts", values))
    return [*found, *_deployments(deployments, window, read_time(incident["opened_at"]))]


def _row(entry: dict[str, Any], incident: dict[str, Any]) -> Event:
    kind = entry["kind"]
    key = _resolution(entry) if kind == "resolved" else kind
    values = {"id": str(incident["id"]), "alert": incident["alert"], "text": entry.get("text", "")}
    return Event(
        read_time(entry["at"]), Origin.JOURNAL, key, values, mends=key == "resolved_by_hand" and bool(values["text"])
    )


def _resolution(entry: dict[str, Any]) -> str:
    if GONE_SINCE in entry.get("facts", {}):
        return "resolved_found_out"
    return f"resolved_{_BY_WHOM.get(entry['who'], 'by_hand')}"


def _deployments(deployments: list[dict[str, Any]], window: Window, opened_at: datetime) -> Iterator[Event]:
    for entry in deployments:
        at = read_time(entry["at"])
        if window.holds(at) or is_suspect(entry, opened_at):
            facts = entry.get("facts", {})
            what = ", ".join(facts[name] for name in ("version", "commit", "env") if name in facts)
            values = {"what": what, "text": entry.get("text", "")}
            result = facts.get("result", "")
            key = f"deployment_{result}" if result in tuple(Result) else "deployment"
            # One that was not carried through leaves things as they were.
            yield Event(at, Origin.JOURNAL, key, values, mends=result in ("", Result.SUCCEEDED))
