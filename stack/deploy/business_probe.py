"""What a client would do, done once: a task is created, read and deleted."""

import http.client
import json
import time
from collections.abc import Callable

from stack.deploy.errors import StepFailed
from stack.deploy.slots import Slot
from stack.service import reachable_host

TIMEOUT_SECONDS = 10.0
# Nobody's: it is gone again before the probe ends, and says what it is to whoever sees it meanwhile.
TASK = {"title": "Deployment probe", "tags": ["deployment-probe"]}
ATTEMPTS = 3
PAUSE_SECONDS = 1.0


class _Passing(StepFailed):
    """A 503: the database was busy, say."""


class BusinessProbe:
    """`key` is read at each probe: an API key that may read and write tasks, empty where none is asked for."""

    def __init__(self, host: str, port: int, key: Callable[[], str] = str) -> None:
        self._public = reachable_host(host), port
        self._key = key

    def directly(self, slot: Slot) -> None:
        """Raises StepFailed."""
        self._probe(slot.host, slot.port)

    def in_public(self) -> None:
        """By way of the public port. Raises StepFailed."""
        self._probe(*self._public)

    def _probe(self, host: str, port: int) -> None:
        """What says of itself that it passes may pass; a wrong answer is one at once."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._probe_once(host, port)
            except _Passing:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                return

    def _probe_once(self, host: str, port: int) -> None:
        created = self._ask(host, port, "POST", "/tasks", 201, TASK)
        try:
            path = f"/tasks/{int(json.loads(created)['id'])}"
        except (ValueError, KeyError, TypeError):
            raise StepFailed("the business probe: POST /tasks answered 201 without the task") from None
        try:
            self._read(host, port, path)
            self._ask(host, port, "DELETE", path, 204)
        except StepFailed as fault:
            if left := self._left_behind(host, port, path):
                raise type(fault)(f"{fault}; its task is left, to be deleted: {path} ({left})") from fault
            raise

    def _read(self, host: str, port: int, path: str) -> None:
        try:
            title = json.loads(self._ask(host, port, "GET", path, 200))["title"]
        except (ValueError, KeyError, TypeError):
            title = None
        if title != TASK["title"]:
            raise StepFailed("the business probe: GET of the new task answered another one")

    def _left_behind(self, host: str, port: int, path: str) -> str:
        """Deletes the task, if need be by way of the public port, where another replica answers.

        Returns why that did not work, empty where it did.
        """
        why = ""
        for attempt in range(ATTEMPTS):
            # The proxy itself may have to be started again first.
            time.sleep(PAUSE_SECONDS * attempt)
            for place in ((host, port), self._public):
                try:
                    self._ask(*place, "DELETE", path, 204, gone=404)
                except StepFailed as fault:
                    why = f"{fault}"
                else:
                    return ""
        return why

    def _ask(
        self, host: str, port: int, method: str, path: str, wanted: int, body: object = None, *, gone: int = 0
    ) -> bytes:
        """`gone` is a status that is as good as the wanted one."""
        what = f"{method} {'/tasks' if method == 'POST' else '/tasks/ID'}"
        # Not by urllib, which obeys proxy variables.
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            answered, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StepFailed(f"the business probe: {what} got no answer ({type(error).__name__})") from error
        finally:
            connection.close()
        if answered not in (wanted, gone):
            fault = _Passing if answered == http.client.SERVICE_UNAVAILABLE else StepFailed
            raise fault(f"the business probe: {what} answered {answered}{_code(content)} instead of {wanted}")
        return content


def _code(content: bytes) -> str:
    """` internal_error`, the code of a problem document; nothing from anything else."""
    try:
        return f" {json.loads(content)['code']}"
    except (ValueError, KeyError, TypeError):
        return ""
