"""The three kinds of requests that are timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GET_ONE = "get_one"
GET_50 = "get_50"
POST = "post"

NEW_TASK: Mapping[str, str] = {"title": "Ma première tâche", "description": "Test de l'API"}


@dataclass(frozen=True)
class Cell:
    """A kind of request; `tasks` is how many of them an answer holds."""

    name: str
    title: str
    request: str
    tasks: int


CELLS = (
    Cell(GET_ONE, "GET one", "GET /tasks/{id}, ids at random", 1),
    Cell(GET_50, "GET 50", "GET /tasks?limit=50", 50),
    Cell(POST, "POST", "POST /tasks, a title and a description", 1),
)
