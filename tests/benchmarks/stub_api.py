"""A contestant without a server or a database: a small honest API, of which a test makes a liar."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

ROWS = 300
BEGINNING = datetime(2025, 1, 1, tzinfo=UTC)
CONTENT = {"title", "description", "status", "priority", "due_at", "tags"}


def task(id: int, **fields: Any) -> dict[str, Any]:
    """A task as it is stored, its times as datetimes."""
    created = BEGINNING + timedelta(seconds=id, microseconds=123_456)
    return {
        "id": id,
        "title": f"Task {id}",
        "description": "",
        "status": "todo",
        "priority": "normal",
        "due_at": None,
        "tags": [],
        "created_at": created,
        "updated_at": created,
        "completed_at": None,
    } | fields


class StoredTasks:
    """What is stored, as the contract reads it."""

    def __init__(self) -> None:
        self.rows = {number: task(number) for number in range(1, ROWS + 1)}

    def one(self, id: int) -> dict[str, Any] | None:
        return self.rows.get(id)

    def newest(self, limit: int) -> list[dict[str, Any]]:
        return sorted(self.rows.values(), key=lambda row: (row["created_at"], row["id"]), reverse=True)[:limit]

    def count(self) -> int:
        return len(self.rows)

    def count_like(self, title: str, description: str) -> int:
        return sum(row["title"] == title and row["description"] == description for row in self.rows.values())


class StubApi:
    """Answers as the contract asks. A subclass overrides what it lies about."""

    def __init__(self) -> None:
        self.stored = StoredTasks()

    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self.answer), base_url="http://stub")

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return self.create(request)
        if request.url.path == "/tasks":
            return self.list(request.url.params.get("limit", "50"))
        return self.get(int(request.url.path.rpartition("/")[2]))

    def get(self, id: int) -> httpx.Response:
        found = self.stored.one(id)
        return self.json(404, {"detail": "none"}) if found is None else self.json(200, self.shown(found))

    def list(self, limit: str) -> httpx.Response:
        if not limit.isdigit() or not 1 <= int(limit) <= 200:
            return self.json(422, {"detail": "limit"})
        return self.json(200, [self.shown(row) for row in self.stored.newest(int(limit))])

    def create(self, request: httpx.Request) -> httpx.Response:
        try:
            content = json.loads(request.content)
        except ValueError:
            return self.json(400, {"detail": "no JSON"})
        if not self.valid(content):
            return self.json(422, {"detail": "title"})
        return self.created(self.store(content))

    def valid(self, content: dict[str, Any]) -> bool:
        statuses = ("todo", "in_progress", "done")
        return 1 <= len(content.get("title", "")) <= 200 and content.get("status", "todo") in statuses

    def store(self, content: dict[str, Any]) -> dict[str, Any]:
        fields = {name: value for name, value in content.items() if name in CONTENT}
        if fields.get("due_at"):
            fields["due_at"] = datetime.fromisoformat(fields["due_at"])
        now = datetime.now(UTC)
        new = task(max(self.stored.rows) + 1, **fields) | {"created_at": now, "updated_at": now}
        self.stored.rows[new["id"]] = new
        return new

    def created(self, new: dict[str, Any]) -> httpx.Response:
        return self.json(201, self.shown(new), {"Location": f"/tasks/{new['id']}"})

    def shown(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}

    def json(self, status: int, content: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return httpx.Response(status, json=content, headers=headers)
