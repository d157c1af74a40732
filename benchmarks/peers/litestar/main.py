"""The same API on Litestar, asyncpg and msgspec, nothing else added."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Literal

import asyncpg
import msgspec
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from litestar.exceptions import NotFoundException
from litestar.params import Parameter

Status = Literal["todo", "in_progress", "done"]
Priority = Literal["low", "normal", "high"]

PRIORITIES: tuple[Priority, ...] = ("low", "normal", "high")

_TASK = "id, title, description, status, priority, due_at, tags, created_at, updated_at, completed_at"
LIST_TASKS = f"SELECT {_TASK} FROM tasks ORDER BY created_at DESC, id DESC LIMIT $1"  # noqa: S608  constants
GET_TASK = f"SELECT {_TASK} FROM tasks WHERE id = $1"  # noqa: S608
CREATE_TASK = f"""
INSERT INTO tasks (title, description, status, priority, due_at, tags, completed_at)
VALUES ($1, $2, $3::text, $4, $5, $6, CASE WHEN $3 = 'done' THEN now() END)
RETURNING {_TASK}
"""  # noqa: S608


class TaskContent(msgspec.Struct):
    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    description: Annotated[str, msgspec.Meta(max_length=10_000)] = ""
    status: Status = "todo"
    priority: Priority = "normal"
    due_at: datetime | None = None
    tags: list[str] = []


class Task(msgspec.Struct):
    id: int
    title: str
    description: str
    status: str
    priority: Priority
    due_at: datetime | None
    tags: list[str]
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


def _task(row: asyncpg.Record) -> Task:
    number, title, description, status, rank, *rest = row
    return Task(number, title, description, status, PRIORITIES[rank - 1], *rest)


@get("/tasks")
async def list_tasks(state: State, limit: Annotated[int, Parameter(ge=1, le=200)] = 50) -> list[Task]:
    return [_task(row) for row in await state.pool.fetch(LIST_TASKS, limit)]


@post("/tasks")
async def create_task(state: State, data: TaskContent) -> Response[Task]:
    rank = PRIORITIES.index(data.priority) + 1
    task = _task(
        await state.pool.fetchrow(CREATE_TASK, data.title, data.description, data.status, rank, data.due_at, data.tags)
    )
    return Response(task, status_code=201, headers={"Location": f"/tasks/{task.id}"})


@get("/tasks/{task_id:int}")
async def get_task(state: State, task_id: int) -> Task:
    row = await state.pool.fetchrow(GET_TASK, task_id)
    if row is None:
        raise NotFoundException("There is no task with this id")
    return _task(row)


@asynccontextmanager
async def connected(app: Litestar) -> AsyncIterator[None]:
    size = int(os.environ["POOL_SIZE"])
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size) as pool:
        app.state.pool = pool
        yield


app = Litestar([list_tasks, create_task, get_task], lifespan=[connected], openapi_config=None)
