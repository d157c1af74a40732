"""Every SQL statement of the task API, by name: at most one a request, JSON text made by PostgreSQL.

The gate proves each of them against the live database before any traffic flows.

A statement that returns a task returns two columns, the version (behind the ETag) and the task as
JSON text (see `representation`); its id before them where it may return many, or has made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from types import MappingProxyType

import asyncpg

from taskmanager.batching import BatchStatement, Row
from taskmanager.tasks.list_statements import LIST_STATEMENTS
from taskmanager.tasks.representation import TASK

_TASK_AND_VERSION = f"version, (SELECT row_to_json(task) FROM ({TASK}) AS task)::text AS task"


def _by_id(ids: Sequence[int], rows: list[asyncpg.Record]) -> list[Row]:
    found = {row["id"]: row for row in rows}
    return [found.get(id_) for id_ in ids]


GET_TASK: BatchStatement[int] = BatchStatement(
    f"SELECT id, {_TASK_AND_VERSION} FROM tasks WHERE id = ANY ($1::bigint[])", lambda ids: (ids,), _by_id
)

# title, description, status, rank of the priority, due time, tags
Columns = tuple[str, str, str, int, datetime | None, list[str]]


def _arrays(contents: Sequence[Columns]) -> tuple[object, ...]:
    *others, tags = zip(*contents, strict=True)
    # Arrays of arrays must all have one length, so each goes as text.
    return *others, [array_literal(each) for each in tags]


def array_literal(elements: Iterable[str | None]) -> str:
    """An array as PostgreSQL reads it from text (its manual, section 8.15.6)."""
    quoted = (
        "NULL" if element is None else '"' + element.replace("\\", r"\\").replace('"', r"\"") + '"'
        for element in elements
    )
    return "{" + ",".join(quoted) + "}"


def _in_order_of_ids(contents: Sequence[Columns], rows: list[asyncpg.Record]) -> list[asyncpg.Record]:
    """Ids are drawn in the order of the SELECT, which is that of the contents.

    Only a trigger or a sequence that counts down could make it otherwise, neither of which is ours. Then nobody must be
    given what another one wrote.
    """
    in_order = sorted(rows, key=itemgetter("id"))
    if [row["title"] for row in in_order] != [content[0] for content in contents]:
        raise RuntimeError("the tasks that were made are not, one by one, those that were asked for")
    return in_order


CREATE_TASK: BatchStatement[Columns] = BatchStatement(
    f"""
INSERT INTO tasks (title, description, status, priority, due_at, tags, completed_at)
SELECT title, description, status, priority, due_at, tags::text[], CASE WHEN status = 'done' THEN now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::timestamptz[], $6::text[])
    WITH ORDINALITY AS content (title, description, status, priority, due_at, tags, number)
ORDER BY number
RETURNING id, {_TASK_AND_VERSION}, title
""",
    _arrays,
    _in_order_of_ids,
)

_KEY_LIFETIME = "interval '24 hours'"

# The second request with a key waits here for the first one's transaction, and then fails as a whole (23505): no task
# without its key, no key without its task. Expired keys go with the new ones, so that no job has to remove them; after
# the insert, by the LIMIT that counts it: who waited for a key while holding locks on others could deadlock.
CREATE_TASK_ONCE = f"""
WITH created AS (
    INSERT INTO tasks (title, description, status, priority, due_at, tags, completed_at)
    VALUES ($1::text, $2::text, $3::text, $4::smallint, $5::timestamptz, $6::text[],
            CASE WHEN $3 = 'done' THEN now() END)
    RETURNING id, {_TASK_AND_VERSION}
), remembered AS (
    INSERT INTO idempotency_keys (key, request_hash, task_id) SELECT $7::text, $8::bytea, id FROM created RETURNING key
), forgotten AS (
    DELETE FROM idempotency_keys WHERE key = ANY (ARRAY(
        SELECT key FROM idempotency_keys
        WHERE created_at < now() - {_KEY_LIFETIME}
        ORDER BY created_at LIMIT (SELECT 3 * count(*) FROM remembered) FOR UPDATE SKIP LOCKED
    ))
)
SELECT id, version, task FROM created
"""

REMEMBERED_TASK = f"""
SELECT remembered.created_at < now() - {_KEY_LIFETIME} AS expired, remembered.request_hash = $2::bytea AS same,
       task.id, task.version, task.task
FROM idempotency_keys AS remembered
LEFT JOIN LATERAL (SELECT id, {_TASK_AND_VERSION} FROM tasks WHERE id = remembered.task_id) AS task ON true
WHERE remembered.key = $1::text
"""

FORGET_EXPIRED_KEY = f"""
DELETE FROM idempotency_keys WHERE key = $1::text AND created_at < now() - {_KEY_LIFETIME} RETURNING key
"""

# In the statement that writes, so that nobody can write between the comparison and the change: PostgreSQL compares
# anew after it has waited for another writer.
_MATCHES = "($2::bigint[] IS NULL OR version = ANY ($2))"

# A task keeps the time at which it was done for as long as it stays done.
REPLACE_TASK = f"""
UPDATE tasks
SET title = $3::text, description = $4::text, status = $5::text, priority = $6::smallint, due_at = $7::timestamptz,
    tags = $8::text[], completed_at = CASE WHEN $5 = 'done' THEN coalesce(completed_at, now()) END,
    updated_at = now(), version = version + 1
WHERE id = $1::bigint AND {_MATCHES}
RETURNING {_TASK_AND_VERSION}
"""

# NULL stands for what the patch leaves out. Only a due time can be NULL itself, so it alone has a flag.
PATCH_TASK = f"""
UPDATE tasks
SET title = coalesce($3::text, title), description = coalesce($4::text, description),
    status = coalesce($5::text, status), priority = coalesce($6::smallint, priority),
    due_at = CASE WHEN $7::boolean THEN $8::timestamptz ELSE due_at END, tags = coalesce($9::text[], tags),
    completed_at = CASE WHEN coalesce($5, status) = 'done' THEN coalesce(completed_at, now()) END,
    updated_at = now(), version = version + 1
WHERE id = $1::bigint AND {_MATCHES}
RETURNING {_TASK_AND_VERSION}
"""

DELETE_TASK = f"DELETE FROM tasks WHERE id = $1::bigint AND {_MATCHES} RETURNING id"

# What is asked only after one of those three changed nothing: is the task not there, or is it another version?
TASK_IS_THERE = "SELECT version FROM tasks WHERE id = $1::bigint"

STATEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "get_task": GET_TASK.sql,
        "create_task": CREATE_TASK.sql,
        "create_task_once": CREATE_TASK_ONCE,
        "remembered_task": REMEMBERED_TASK,
        "forget_expired_key": FORGET_EXPIRED_KEY,
        "replace_task": REPLACE_TASK,
        "patch_task": PATCH_TASK,
        "delete_task": DELETE_TASK,
        "task_is_there": TASK_IS_THERE,
    }
    | {name: statement.sql for name, statement in LIST_STATEMENTS.items()}
)
