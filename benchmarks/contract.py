"""The one contract that every contestant keeps, before it is timed and again afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.failures import WrongAnswer
from benchmarks.tasks import Task, Tasks, difference

LONGEST_TITLE = 200
ABSENT_ID = 2**40
SAMPLES = 12

_FULL: Task = {
    "title": "Réserver la salle",
    "description": "Pour jeudi",
    "status": "in_progress",
    "priority": "high",
    "due_at": "2027-03-31T18:00:00Z",
    "tags": ["bureau", "urgent"],
}


class Contract:
    """The contract of the task API, held against one contestant.

    Parameters
    ----------
    client: speaks to the contestant.
    tasks: what is stored, read past the contestant.
    rows: the tasks 1 to `rows` are there.
    """

    def __init__(self, client: httpx.Client, tasks: Tasks, rows: int) -> None:
        self._client = client
        self._tasks = tasks
        self._rows = rows
        self._random = random.Random(20261121)  # noqa: S311  which tasks are looked at is no secret

    def check(self) -> None:
        """Hold the contestant to all of it. Raises WrongAnswer, which tells every breach."""
        self._hold(
            self._tasks_by_id,
            self._absent_task,
            self._newest_tasks,
            self._refused_limits,
            self._created_task,
            self._created_task_with_everything,
            self._longest_title,
            self._refused_content,
        )

    def check_again(self) -> None:
        """What must still be true after the load. Raises WrongAnswer."""
        self._hold(self._tasks_by_id, self._absent_task, self._newest_tasks)

    def _hold(self, *clauses: Callable[[], None]) -> None:
        breaches = []
        for clause in clauses:
            try:
                clause()
            except WrongAnswer as breach:
                breaches.append(str(breach))
            except httpx.HTTPError as error:
                breaches.append(f"{clause.__name__.strip('_')}: no answer ({error!r})")
        if breaches:
            raise WrongAnswer("; ".join(breaches))

    def _tasks_by_id(self) -> None:
        for number in [1, self._rows, *(self._random.randint(1, self._rows) for _ in range(SAMPLES))]:
            answered = self._json(self._client.get(f"/tasks/{number}"), 200)
            stored = self._tasks.one(number)
            _require(stored is not None, f"task {number} is gone from the table")
            _require_same(answered, stored or {})

    def _absent_task(self) -> None:
        answer = self._client.get(f"/tasks/{ABSENT_ID}")
        _require(answer.status_code == 404, f"an absent task was answered with {answer.status_code}, not 404")

    def _newest_tasks(self) -> None:
        for limit in (1, 50, 200):
            answered = self._json(self._client.get("/tasks", params={"limit": limit}), 200)
            stored = self._tasks.newest(limit)
            _require(isinstance(answered, list), "a list is no JSON array")
            _require(len(answered) == limit, f"limit={limit} was answered with {len(answered)} tasks")
            for one, other in zip(answered, stored, strict=True):
                _require_same(one, other)

    def _refused_limits(self) -> None:
        for limit in ("0", "201", "many"):
            answer = self._client.get("/tasks", params={"limit": limit})
            _require(400 <= answer.status_code < 500, f"limit={limit} was answered with {answer.status_code}")

    def _created_task(self) -> None:
        answered = self._created({"title": "Ma première tâche", "description": "Test de l'API"})
        defaults: Task = {"status": "todo", "priority": "normal", "tags": [], "due_at": None, "completed_at": None}
        for field, value in defaults.items():
            _require(answered[field] == value, f"a new task's {field} is {answered[field]!r}, not {value!r}")
        age_s = abs((datetime.now(UTC) - datetime.fromisoformat(answered["created_at"])).total_seconds())
        _require(age_s < 60, f"a new task's created_at is {answered['created_at']}")

    def _created_task_with_everything(self) -> None:
        answered = self._created(_FULL)
        for field, value in _FULL.items():
            if field != "due_at":
                _require(answered[field] == value, f"a new task's {field} is {answered[field]!r}, not {value!r}")
        due = datetime.fromisoformat(answered["due_at"] or "1970-01-01T00:00:00Z")
        _require(due == datetime(2027, 3, 31, 18, tzinfo=UTC), f"a new task's due_at is {answered['due_at']!r}")

    def _longest_title(self) -> None:
        self._created({"title": "é" * LONGEST_TITLE})

    def _created(self, content: Task) -> Task:
        before = self._tasks.count()
        answer = self._client.post("/tasks", json=content)
        answered = self._json(answer, 201)
        _require(isinstance(answered, dict) and isinstance(answered.get("id"), int), "a new task has no id")
        _require(self._tasks.count() == before + 1, "a 201 stored no task, or more than one")
        location = urlsplit(answer.headers.get("Location", "")).path
        _require(location == f"/tasks/{answered['id']}", f"Location is {location!r} for task {answered['id']}")
        stored = self._tasks.one(answered["id"])
        _require(stored is not None, f"task {answered['id']} was answered with 201 and is not stored")
        _require_same(answered, stored or {})
        _require(answered["title"] == content["title"], "a new task's title is not the one that was sent")
        created: Task = answered
        return created

    def _refused_content(self) -> None:
        before = self._tasks.count()
        wrong: dict[str, dict[str, Any]] = {
            "without a title": {"json": {"description": "x"}},
            "with an empty title": {"json": {"title": ""}},
            "with a title of 201 characters": {"json": {"title": "x" * (LONGEST_TITLE + 1)}},
            "with an unknown status": {"json": {"title": "x", "status": "forgotten"}},
            "that is no JSON": {"content": b"{title", "headers": {"Content-Type": "application/json"}},
        }
        for what, body in wrong.items():
            answer = self._client.post("/tasks", **body)
            _require(400 <= answer.status_code < 500, f"a body {what} was answered with {answer.status_code}")
        _require(self._tasks.count() == before, "a refused body was stored")

    def _json(self, answer: httpx.Response, status: int) -> Any:
        request = f"{answer.request.method} {answer.request.url.raw_path.decode()}"
        told = answer.text[:200]
        _require(
            answer.status_code == status, f"{request} was answered with {answer.status_code}, not {status}: {told}"
        )
        media_type = answer.headers.get("Content-Type", "")
        _require(media_type.startswith("application/json"), f"{request} was answered with {media_type!r}")
        try:
            return answer.json()
        except ValueError:
            raise WrongAnswer(f"{request} was answered with text that is no JSON") from None


def _require(kept: bool, breach: str) -> None:
    if not kept:
        raise WrongAnswer(breach)


def _require_same(answered: object, stored: Task) -> None:
    if different := difference(answered, stored):
        raise WrongAnswer(different)
