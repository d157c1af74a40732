"""The task resource over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response, status

from taskmanager.access.api_key_scheme import needs
from taskmanager.access.key_lines import TASKS_READ, TASKS_WRITE
from taskmanager.database import CurrentDatabase, Database
from taskmanager.dispatch.direct_route import DirectRoute
from taskmanager.json_text import JsonText, RawHeaders
from taskmanager.problems import NoPatchMediaType, NotFound, PreconditionFailed, ProblemError, is_patch_media_type
from taskmanager.tasks import answers, idempotency, served_lists, statements
from taskmanager.tasks.listing import ListParameters
from taskmanager.tasks.parameters import ContentType, IdempotencyKey, IdInPath, IfMatch, IfNoneMatch
from taskmanager.tasks.preconditions import entity_tag, is_known, versions_to_match
from taskmanager.tasks.schemas import Priority, Status, Task, TaskContent, TaskPatch

router = APIRouter(tags=["tasks"], route_class=DirectRoute)

JSON = "application/json"
READ = [needs(TASKS_READ)]
WRITE = [needs(TASKS_WRITE)]

NO_TASK = "There is no task with this id."
OTHER_VERSION = "The task has another version than If-Match names. Read it again, and decide anew."


@router.get(
    "/tasks",
    operation_id="list_tasks",
    dependencies=READ,
    response_model=list[Task],
    summary="List tasks",
    description=served_lists.DESCRIPTION,
    response_description="A page of tasks",
    responses=served_lists.ANSWERS,
)
async def list_tasks(database: CurrentDatabase, parameters: Annotated[ListParameters, Query()]) -> Response:
    return await parameters.question.ask(database)


@router.post(
    "/tasks",
    operation_id="create_task",
    dependencies=WRITE,
    response_model=Task,
    status_code=status.HTTP_201_CREATED,
    summary="Create a task",
    response_description="The task that was made",
    responses=answers.CREATE_TASK,
    openapi_extra=answers.CONTENT_EXAMPLES,
)
async def create_task(
    database: CurrentDatabase, content: TaskContent, idempotency_key: IdempotencyKey = None
) -> Response:
    """A field that is left out takes its default. With an Idempotency-Key the request can be sent again after an
    answer was lost: it makes no second task."""
    if idempotency_key is not None:
        key = idempotency.key_of(idempotency_key)
        id_, version, task, replayed = await idempotency.create_once(database, key, content, _columns(content))
        return _created(id_, version, task, (idempotency.REPLAYED,) if replayed else ())
    row = await database.row_of(statements.CREATE_TASK, _columns(content))
    assert row is not None  # noqa: S101  INSERT … RETURNING has a row, or raises
    id_, version, task, _ = row
    return _created(id_, version, task)


@router.get(
    "/tasks/{id}",
    operation_id="get_task",
    dependencies=READ,
    response_model=Task,
    summary="Get a task",
    response_description="The task",
    responses=answers.GET_TASK,
)
async def get_task(database: CurrentDatabase, id: IdInPath, if_none_match: IfNoneMatch = None) -> Response:
    """With If-None-Match, a version that the client has already is not sent again."""
    row = await database.row_of(statements.GET_TASK, id)
    if row is None:
        raise NotFound(NO_TASK)
    _, version, task = row
    if if_none_match is not None and is_known(if_none_match, version):
        return JsonText(status_code=status.HTTP_304_NOT_MODIFIED, headers=((b"etag", entity_tag(version)),))
    return _found(version, task)


@router.put(
    "/tasks/{id}",
    operation_id="replace_task",
    dependencies=WRITE,
    response_model=Task,
    summary="Replace a task",
    response_description="The task as it is now",
    responses=answers.REPLACE_TASK,
    openapi_extra=answers.CONTENT_EXAMPLES,
)
async def replace_task(
    database: CurrentDatabase, id: IdInPath, content: TaskContent, if_match: IfMatch = None
) -> Response:
    """Every field is set: one that is left out returns to its default. PATCH changes some and leaves the rest."""
    versions = versions_to_match(if_match)
    row = await database.row(statements.REPLACE_TASK, id, versions, *_columns(content))
    if row is None:
        raise await _why_nothing_changed(database, id, versions)
    return _found(*row)


@router.patch(
    "/tasks/{id}",
    operation_id="patch_task",
    dependencies=WRITE,
    response_model=Task,
    summary="Change some fields of a task",
    response_description="The task as it is now",
    responses=answers.PATCH_TASK,
    openapi_extra=answers.PATCH_EXAMPLES,
)
async def patch_task(
    database: CurrentDatabase,
    id: IdInPath,
    patch: TaskPatch,
    if_match: IfMatch = None,
    content_type: ContentType = None,
) -> Response:
    """A JSON merge patch (RFC 7396): a field that is left out stays as it is, and `null` returns it to its default.
    A patch of no fields changes nothing, the version included."""
    if not is_patch_media_type(content_type):
        raise NoPatchMediaType
    versions = versions_to_match(if_match)
    if not patch.model_fields_set:
        row = await database.row_of(statements.GET_TASK, id)
        if row is None:
            raise NotFound(NO_TASK)
        _, version, task = row
        if versions is not None and version not in versions:
            raise PreconditionFailed(OTHER_VERSION)
        return _found(version, task)
    row = await database.row(statements.PATCH_TASK, id, versions, *_changes(patch))
    if row is None:
        raise await _why_nothing_changed(database, id, versions)
    return _found(*row)


@router.delete(
    "/tasks/{id}",
    operation_id="delete_task",
    dependencies=WRITE,
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a task",
    response_description="The task is gone",
    responses=answers.DELETE_TASK,
)
async def delete_task(database: CurrentDatabase, id: IdInPath, if_match: IfMatch = None) -> Response:
    """A second time it is 404."""
    versions = versions_to_match(if_match)
    if await database.row(statements.DELETE_TASK, id, versions) is None:
        raise await _why_nothing_changed(database, id, versions)
    return JsonText(status_code=status.HTTP_204_NO_CONTENT)


def _columns(content: TaskContent) -> statements.Columns:
    return (
        content.title,
        content.description,
        content.status.value,
        content.priority.rank,
        content.due_at,
        content.tags,
    )


def _changes(patch: TaskPatch) -> tuple[object, ...]:
    """The parameters of PATCH_TASK. A field that was sent as null takes the default that it has in a PUT."""
    sent = patch.model_fields_set
    return (
        patch.title if "title" in sent else None,
        (patch.description or "") if "description" in sent else None,
        (patch.status or Status.TODO).value if "status" in sent else None,
        (patch.priority or Priority.NORMAL).rank if "priority" in sent else None,
        "due_at" in sent,
        patch.due_at,
        (patch.tags or []) if "tags" in sent else None,
    )


def _found(version: int, task: str) -> JsonText:
    return JsonText(task, headers=((b"etag", entity_tag(version)),))


def _created(id: int, version: int, task: str, more: RawHeaders = ()) -> JsonText:
    headers = ((b"location", b"/tasks/%d" % id), (b"etag", entity_tag(version)), *more)
    return JsonText(task, status.HTTP_201_CREATED, headers)


async def _why_nothing_changed(database: Database, id: int, versions: list[int] | None) -> ProblemError:
    if versions is None or await database.row(statements.TASK_IS_THERE, id) is None:
        return NotFound(NO_TASK)
    return PreconditionFailed(OTHER_VERSION)
