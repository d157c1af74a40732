"""Every SQL statement of the task API, by name: one a request, JSON text made by PostgreSQL.

The gate proves each of them against the live database before any traffic flows.

A statement that returns a task returns two columns, the version (behind the ETag) and the task as
JSON text. Times are RFC 3339 in UTC with microseconds and `Z`, the one form of this API.
"""

from collections.abc import Mapping
from types import MappingProxyType

_UTC = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# row_to_json over named columns prints without blanks, which json_build_object does not.
_TASK = f"""
    SELECT id, title, description, status, (ARRAY['low', 'normal', 'high'])[priority] AS priority,
           {_UTC.format("due_at")} AS due_at, {_UTC.format("created_at")} AS created_at,
           {_UTC.format("updated_at")} AS updated_at, {_UTC.format("completed_at")} AS completed_at"""

_TASK_AND_VERSION = f"version, (SELECT row_to_json(task) FROM ({_TASK}) AS task)::text AS task"

# Ordered by the table's column: the bare name would be the text made of it, which no index serves.
LIST_TASKS = f"""
SELECT array_to_json(ARRAY(
    SELECT row_to_json(task)
    FROM ({_TASK} FROM tasks ORDER BY tasks.created_at DESC, tasks.id DESC LIMIT $1::int) AS task
))::text
"""

GET_TASK = f"SELECT {_TASK_AND_VERSION} FROM tasks WHERE id = $1::bigint"

CREATE_TASK = f"""
INSERT INTO tasks (title, description, status, priority, due_at, completed_at)
VALUES ($1::text, $2::text, $3::text, $4::smallint, $5::timestamptz, CASE WHEN $3 = 'done' THEN now() END)
RETURNING id, {_TASK_AND_VERSION}
"""

# A task keeps the time at which it was done for as long as it stays done.
REPLACE_TASK = f"""
UPDATE tasks
SET title = $2::text, description = $3::text, status = $4::text, priority = $5::smallint, due_at = $6::timestamptz,
    completed_at = CASE WHEN $4 = 'done' THEN coalesce(completed_at, now()) END,
    updated_at = now(), version = version + 1
WHERE id = $1::bigint
RETURNING {_TASK_AND_VERSION}
"""

DELETE_TASK = "DELETE FROM tasks WHERE id = $1::bigint RETURNING id"

STATEMENTS: Mapping[str, str] = MappingProxyType(
    {
        "list_tasks": LIST_TASKS,
        "get_task": GET_TASK,
        "create_task": CREATE_TASK,
        "replace_task": REPLACE_TASK,
        "delete_task": DELETE_TASK,
    }
)
