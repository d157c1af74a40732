"""Fifty writers of one task, each reading it, changing it and writing it back: If-Match loses no change."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import plain_http
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.at_once import at_once

Serve = Callable[..., Service]

WRITERS = 50


def add(service: Service, method: str, number: int) -> int:
    """Append the number to the task's description, and return how many attempts it took."""
    with plain_http.Client(base_url=service.url, timeout=30) as client:
        for attempt in range(1, 10 * WRITERS):
            read = client.get("/tasks/1")
            description = f"{read.json()['description']} {number}"
            response = client.request(
                method,
                "/tasks/1",
                json={"title": "shared", "description": description},
                headers={"If-Match": read.headers["etag"]},
            )
            if response.status_code == 200:
                return attempt
            assert response.status_code == 412, response.text
    raise AssertionError(f"writer {number} was never first")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_no_change_of_fifty_writers_is_lost(migrated_database: Database, serve: Serve, method: str) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    service.request("POST", "/tasks", json={"title": "shared"})

    attempts = at_once(WRITERS, lambda number: add(service, method, number))

    task = service.get("/tasks/1")
    assert sorted(map(int, task.json()["description"].split())) == list(range(WRITERS))
    assert task.headers["etag"] == f'"{WRITERS + 1}"'
    # They did get in each other's way, or nothing was tried.
    assert sum(attempts) > WRITERS
