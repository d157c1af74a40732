"""The task resource over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response, status

from taskmanager.database import CurrentDatabase
from taskmanager.problems import PROBLEM_RESPONSES, NotFound
from taskmanager.tasks import statements
from taskmanager.tasks.schemas import ListParameters, Task, TaskContent, TaskId

router = APIRouter(tags=["tasks"], responses=PROBLEM_RESPONSES)

JSON = "application/json"
IdInPath = Annotated[TaskId, Path(description="The task's number")]


@router.get("/tasks", operation_id="list_tasks", response_model=list[Task], summary="List tasks, newest first")
async def list_tasks(database: CurrentDatabase, parameters: Annotated[ListParameters, Query()]) -> Response:
    (tasks,) = await database.row(statements.LIST_TASKS, parameters.limit) or ("[]",)
    return Response(tasks, media_type=JSON)


@router.post(
    "/tasks",
    operation_id="create_task",
    response_model=Task,
    status_code=status.HTTP_201_CREATED,
    summary="Create a task",
)
async def create_task(database: CurrentDatabase, content: TaskContent) -> Response:
    row = await database.row(statements.CREATE_TASK, *_columns(content))
    assert row is not None  # noqa: S101  INSERT … RETURNING has a row, or raises
    id_, version, task = row
    return Response(
        task, status.HTTP_201_CREATED, {"Location": f"/tasks/{id_}", "ETag": f'"{version}"'}, media_type=JSON
    )


@router.get("/tasks/{id}", operation_id="get_task", response_model=Task, summary="Get a task")
async def get_task(database: CurrentDatabase, id: IdInPath) -> Response:
    return _task_or_404(await database.row(statements.GET_TASK, id))


@router.put("/tasks/{id}", operation_id="replace_task", response_model=Task, summary="Replace a task")
async def replace_task(database: CurrentDatabase, id: IdInPath, content: TaskContent) -> Response:
    return _task_or_404(await database.row(statements.REPLACE_TASK, id, *_columns(content)))


@router.delete(
    "/tasks/{id}", operation_id="delete_task", status_code=status.HTTP_204_NO_CONTENT, summary="Delete a task"
)
async def delete_task(database: CurrentDatabase, id: IdInPath) -> Response:
    if await database.row(statements.DELETE_TASK, id) is None:
        raise NotFound("There is no task with this id.")
    return Response(status_code=status.HTTP_204_NO_CONTENT)


def _columns(content: TaskContent) -> tuple[object, ...]:
    return (content.title, content.description, content.status.value, content.priority.rank, content.due_at)


def _task_or_404(row: tuple[object, ...] | None) -> Response:
    if row is None:
        raise NotFound("There is no task with this id.")
    version, task = row
    return Response(str(task), headers={"ETag": f'"{version}"'}, media_type=JSON)
