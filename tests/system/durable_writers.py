"""Clients that write without a pause, and the account that each keeps of what it was promised."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import httpx

from tests import plain_http


class Content(NamedTuple):
    """What is compared of a task."""

    title: str
    description: str
    version: int


Rows = Mapping[int, Content]


@dataclass
class Ledger:
    """What one client knows. Nobody else touches the tasks in it.

    Attributes
    ----------
    tasks: what was acknowledged last of each task that is there.
    deleted: whose deletion was acknowledged.
    pending: a change whose answer was lost, None for a deletion: made or not made, both are right.
    unanswered: titles of tasks whose creation was not answered: there once or not at all.
    unanswered_keys: the same with the Idempotency-Key that it is to be repeated with.
    """

    tasks: dict[int, Content] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    pending: dict[int, Content | None] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    unanswered_keys: dict[str, str] = field(default_factory=dict)
    acknowledged: int = 0

    def settle(self, rows: Rows) -> list[str]:
        """What was promised and is not so; then take what is there as the new truth."""
        back = self.deleted & rows.keys()
        faults = [f"deleted task {id_} is back" for id_ in back]
        # Told once, and from now on a task like the others.
        self.deleted -= back
        self.tasks |= {id_: rows[id_] for id_ in back}
        for id_, promised in list(self.tasks.items()):
            found = rows.get(id_)
            allowed = [promised] + ([self.pending[id_]] if id_ in self.pending else [])
            if found not in allowed:
                faults.append(f"task {id_}: promised {promised}, pending {allowed[1:]}, found {found}")
            if found is None:
                del self.tasks[id_]
                self.deleted.add(id_)
            else:
                self.tasks[id_] = found
        self.pending.clear()
        return faults

    def adopt(self, id_: int, found: Content) -> bool:
        """Is this the task whose creation was never answered?"""
        if found.title not in self.unanswered or found.version != 1:
            return False
        self.unanswered.discard(found.title)
        self.tasks[id_] = found
        return True


def faults_of(ledgers: Iterable[Ledger], rows: Rows) -> list[str]:
    """Every write that was lost, doubled or invented."""
    ledgers = list(ledgers)
    faults = [fault for ledger in ledgers for fault in ledger.settle(rows)]
    counted = Counter(content.title for content in rows.values())
    faults += [f"{number} tasks are called {title!r}" for title, number in counted.items() if number > 1]
    known = {id_ for ledger in ledgers for id_ in ledger.tasks}
    faults += [
        f"nobody made task {id_}: {content}"
        for id_, content in rows.items()
        if id_ not in known and not any(ledger.adopt(id_, content) for ledger in ledgers)
    ]
    return faults


class Unexpected(Exception):
    """An answer that no outage explains."""


class Writer:
    """Creates, patches and deletes until it is told to stop or has lost an answer.

    Parameters
    ----------
    name: begins the title of each of its tasks, which no other task has.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.ledger = Ledger()
        self._name = name
        self._chance = random.Random(seed)  # noqa: S311  to be repeated by its seed
        self._made = 0

    def write(self, url: str, stop: threading.Event) -> None:
        with plain_http.Client(base_url=url, timeout=10) as client:
            while not stop.is_set() and self._step(client):
                self.ledger.acknowledged += 1

    def repeat_unanswered(self, client: httpx.Client) -> bool:
        """Send each keyed creation again whose answer was lost; False where one was refused for now."""
        for key, title in list(self.ledger.unanswered_keys.items()):
            answer = self._send(client, "POST", "/tasks", 201, self._body(title), {"Idempotency-Key": f'"{key}"'})
            if answer is None:
                return False
            del self.ledger.unanswered_keys[key]
            self._remember(answer)
        return True

    def _step(self, client: httpx.Client) -> bool:
        """One acknowledged write; False where the answer was lost or the service was unavailable."""
        tasks = self.ledger.tasks
        kind = self._chance.choices(["create", "keyed", "patch", "delete"], [3, 3, 4, 2])[0]
        if kind == "create" or not tasks:
            return self._create(client)
        if kind == "keyed":
            return self._create_with_key(client)
        # Of the newest tasks: what is written last is what a crash would take.
        id_ = self._chance.choice(list(tasks)[-20:])
        return self._patch(client, id_) if kind == "patch" else self._delete(client, id_)

    def _create(self, client: httpx.Client) -> bool:
        title = self._new_title()
        answer = self._send(client, "POST", "/tasks", 201, self._body(title))
        if answer is None:
            self.ledger.unanswered.add(title)
            return False
        self._remember(answer)
        return True

    def _create_with_key(self, client: httpx.Client) -> bool:
        title = self._new_title()
        self.ledger.unanswered_keys[f"key-of-{title}"] = title
        return self.repeat_unanswered(client)

    def _patch(self, client: httpx.Client, id_: int) -> bool:
        before = self.ledger.tasks[id_]
        after = before._replace(description=f"change {self._chance.random()}", version=before.version + 1)
        headers = {"If-Match": f'"{before.version}"'}
        answer = self._send(client, "PATCH", f"/tasks/{id_}", 200, {"description": after.description}, headers)
        if answer is None:
            self.ledger.pending[id_] = after
            return False
        if answer.headers["etag"] != f'"{after.version}"':
            raise Unexpected(f"task {id_} was {before}, and a patch made it {answer.headers['etag']}")
        self.ledger.tasks[id_] = after
        return True

    def _delete(self, client: httpx.Client, id_: int) -> bool:
        headers = {"If-Match": f'"{self.ledger.tasks[id_].version}"'}
        if self._send(client, "DELETE", f"/tasks/{id_}", 204, None, headers) is None:
            self.ledger.pending[id_] = None
            return False
        del self.ledger.tasks[id_]
        self.ledger.deleted.add(id_)
        return True

    def _send(
        self,
        client: httpx.Client,
        method: str,
        path: str,
        expected: int,
        body: dict[str, str] | None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response | None:
        """The answer, None where it was lost or is a 503, after which the write may have been made or not."""
        try:
            answer = client.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            return None
        if answer.status_code == 503:
            return None
        if answer.status_code != expected:
            raise Unexpected(f"{method} {path} was answered {answer.status_code}: {answer.text}")
        return answer

    def _new_title(self) -> str:
        self._made += 1
        return f"{self._name}-{self._made}"

    @staticmethod
    def _body(title: str) -> dict[str, str]:
        return {"title": title, "description": f"of {title}"}

    def _remember(self, answer: httpx.Response) -> None:
        task = answer.json()
        self.ledger.tasks[task["id"]] = Content(
            task["title"], task["description"], int(answer.headers["etag"].strip('"'))
        )
