"""Asking the service what it is as the post-mortem is written."""

from __future__ import annotations

from dataclasses import dataclass

from taskmanager.incidents import web
from taskmanager.incidents.postmortem.signals import NOT_TOLD
from taskmanager.incidents.postmortem.timeline import SourceFailed


@dataclass(frozen=True, slots=True)
class Now:
    """The release that runs, and whether it takes traffic."""

    version: str
    commit: str
    ready: bool


def ask(url: str) -> Now:
    """Raises SourceFailed."""
    try:
        version = web.ask(url.rstrip("/") + "/version")
        ready = web.ask(url.rstrip("/") + "/readyz")
    except web.Unreachable as error:
        raise SourceFailed(str(error)) from None
    if version.status != 200 or not isinstance(version.content, dict):
        raise SourceFailed(f"it answered {version.status}")
    return Now(
        str(version.content.get("version") or NOT_TOLD),
        str(version.content.get("commit") or NOT_TOLD),
        ready.status == 200,
    )
