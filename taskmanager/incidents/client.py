"""The incidents as a command asks for them: of the server, or of the journal's file where the server is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from taskmanager.incidents import journal, variables, web
from taskmanager.incidents.history import fold

# Exit statuses; 69 and 77 are those of sysexits.h.
FAILED = 1
NO_SUCH_INCIDENT = 3
ALREADY_SO = 5
NO_ANSWER = 69
NOT_ALLOWED = 77

_STATUSES = {404: NO_SUCH_INCIDENT, 409: ALREADY_SO, 401: NOT_ALLOWED, 421: NOT_ALLOWED}


class CommandFailed(Exception):
    """What a command could not do, and its exit status."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


class Source(Protocol):
    """Where incidents are read from. Both raise CommandFailed."""

    def incidents(self, state: str) -> list[dict[str, Any]]: ...

    def incident(self, id_: int) -> dict[str, Any]: ...

    def deployments(self) -> list[dict[str, Any]]: ...

    def damaged_lines(self) -> list[int]: ...


class Server:
    """The receiver that runs."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            keys = variables.keys()
        except variables.UnusableVariable as error:
            raise CommandFailed(str(error), 78) from None
        self._key = keys[0] if keys else None

    def incidents(self, state: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("/incidents", query={"state": state})
        return found

    def incident(self, id_: int) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(f"/incidents/{id_}")
        return found

    def deployments(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("/deployments")
        return found

    def damaged_lines(self) -> list[int]:
        found: list[int] = self._ask("/readyz", fine=(200, 503)).get("damaged_lines", [])
        return found

    def act(self, id_: int, verb: str, by: str, text: str) -> dict[str, Any]:
        """Acknowledge, note or resolve, and return the incident as it is then."""
        found: dict[str, Any] = self._ask(f"/incidents/{id_}/{verb}", body={"by": by, "text": text})
        return found

    def deploy(self, body: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("/deployments", body=body)
        return found

    def _ask(self, path: str, *, fine: tuple[int, ...] = (200, 201), **options: Any) -> Any:
        try:
            answer = web.ask(self._url + path, key=self._key, **options)
        except web.Unreachable as error:
            raise CommandFailed(f"the incident receiver at {self._url} does not answer: {error}", NO_ANSWER) from None
        if answer.status in fine:
            return answer.content
        detail = answer.content.get("detail") if isinstance(answer.content, dict) else None
        message = str(detail or f"the server at {self._url} answered {answer.status}; is it the incident receiver?")
        if answer.status == 401:
            message += f" Set {variables.KEY} or {variables.KEY_FILE}."
        raise CommandFailed(message, _STATUSES.get(answer.status, FAILED))


class JournalFile:
    """The journal itself, read and never written."""

    def __init__(self, path: Path) -> None:
        try:
            self._contents = journal.read(path)
        except journal.JournalUnusable as error:
            raise CommandFailed(str(error)) from None
        self._history = fold(self._contents.entries)

    def incidents(self, state: str) -> list[dict[str, Any]]:
        return [incident.as_json() for incident in self._history.listed(state)]

    def incident(self, id_: int) -> dict[str, Any]:
        incident = self._history.incidents.get(id_)
        if incident is None:
            raise CommandFailed(f"The journal has no incident {id_}.", NO_SUCH_INCIDENT)
        return incident.with_entries()

    def deployments(self) -> list[dict[str, Any]]:
        return [entry.as_json() for entry in reversed(self._history.deployments)]

    def damaged_lines(self) -> list[int]:
        return [damage.line for damage in self._contents.damage]
