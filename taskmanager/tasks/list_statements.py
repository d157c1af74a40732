"""The SQL of the list: one text for each kind of question, prepared once and planned once.

Every statement returns one row: the tasks as the text of a JSON array, and how many they are. It takes every one of
its parameters each time. What a client does not ask for stands there as a bound that holds nothing back, and a first
page begins after a key that is before all: so the plan that serves a first page serves a deep one.

Three forms:

* One index holds the asked order: an ordered scan, from the key on, as far as the page goes.
* Of the index's first columns one is not asked for: one such scan for each value that it can have, under an ORDER BY
  that PostgreSQL plans as a Merge Append. Each scan is read as far as the page needs it.
* Words or a tag: a GIN index finds the matching tasks, which are then filtered and sorted. The fence around them
  keeps the planner from following another index until a page of matches is full, which may be the whole table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from taskmanager.tasks.representation import TASK
from taskmanager.tasks.schemas import Priority, Status
from taskmanager.tasks.words import WORDS_OF_TASK, all_words_of

LONGEST_PAGE = 200

_TYPES = {
    "rows": "int",
    "after_priority": "smallint",
    "after_time": "timestamptz",
    "after_id": "bigint",
    "status": "text",
    "priority": "smallint",
    "least_priority": "smallint",
    "due_from": "timestamptz",
    "due_until": "timestamptz",
    "updated_since": "timestamptz",
    "words": "text",
    "tag": "text",
}


@dataclass(frozen=True, slots=True)
class ListStatement:
    """SQL with $1-style parameters, and their names in that order.

    `rows` is how many tasks to return at most; `after_…` the key of the task before the first one, of which a
    statement takes the parts that its order has; all bounds are inclusive. In a search `status` and `priority` may be
    NULL for any.
    """

    sql: str
    parameters: tuple[str, ...]


def _statement(named: str) -> ListStatement:
    """Number the parameters of SQL that names them: `$status` becomes `$1::text`, say."""
    names = tuple(dict.fromkeys(re.findall(r"\$(\w+)", named)))
    numbered = re.sub(r"\$(\w+)", lambda match: f"${names.index(match[1]) + 1}::{_TYPES[match[1]]}", named)
    return ListStatement(numbered, names)


def _page(tasks: str) -> str:
    # OFFSET 0 keeps the array from being made twice, once for each column that reads it.
    return f"SELECT array_to_json(page)::text, cardinality(page) FROM (SELECT ARRAY({tasks}) AS page OFFSET 0) AS pages"


# Spelled as in tasks_status_due_idx, or that would not serve. Tasks without a due date come last.
_DUE = "coalesce(due_at, 'infinity'::timestamptz)"

# The order of tasks_status_priority_newest_idx and not of tasks_newest_idx; neither column can be NULL.
_NEWEST_BY_STATUS = "created_at DESC NULLS LAST, id DESC NULLS LAST"

_AFTER_NEWER = "(created_at, id) < ($after_time, $after_id)"
_AFTER_MORE_URGENT = "(priority, created_at, id) < ($after_priority, $after_time, $after_id)"
_AFTER_SOONER_DUE = f"({_DUE}, id) > ($after_time, $after_id)"
_AFTER_LATER_UPDATED = "(updated_at, id) < ($after_time, $after_id)"


def _ordered(order: str, *scans: str) -> ListStatement:
    """A page of what the scans find, each of which an index gives in this order.

    The constant limits are for the planner: of a LIMIT that is a parameter it expects a tenth of the table, for which
    it would sort rather than follow an index. What is read is bounded by the outermost limit.
    """
    page = f"ORDER BY {order} LIMIT {LONGEST_PAGE + 1}"
    merged = "\n      UNION ALL ".join(f"(SELECT *, {_DUE} AS due FROM tasks WHERE {scan} {page})" for scan in scans)
    return _statement(
        _page(f"""
    SELECT task FROM ({TASK}
    FROM (SELECT * FROM (
      {merged}
    ) AS tasks {page}) AS tasks LIMIT $rows) AS task""")
    )


def _search(match: str, order: str, after: str) -> ListStatement:
    """A page of the tasks that match, whatever else is asked of them."""
    page = _page(f"""
    SELECT (SELECT row_to_json(task) FROM ({TASK} FROM tasks WHERE tasks.id = chosen.id) AS task)
    FROM (
        SELECT id FROM found
        WHERE ($status IS NULL OR status = $status) AND ($priority IS NULL OR priority = $priority)
          AND due BETWEEN $due_from AND $due_until AND updated_at >= $updated_since AND {after}
        ORDER BY {order} LIMIT $rows
    ) AS chosen""")
    return _statement(f"""
WITH found AS MATERIALIZED (
    SELECT id, status, priority, due_at, {_DUE} AS due, created_at, updated_at FROM tasks WHERE {match}
)
{page}""")


_OF_EACH_STATUS = [f"status = '{status.value}'" for status in Status]
_OF_EACH_PRIORITY = [f"priority = {priority.rank}" for priority in Priority]

# Of one priority the most urgent tasks are its newest: those lists begin at that priority and end with it.
_URGENT_ORDER = f"priority DESC, {_NEWEST_BY_STATUS}"
_URGENT = f"priority >= $least_priority AND {_AFTER_MORE_URGENT}"
_DUE_SOON = f"{_DUE} <= $due_until AND {_AFTER_SOONER_DUE}"

NEWEST = _ordered("created_at DESC, id DESC", _AFTER_NEWER)
NEWEST_OF_STATUS = _ordered(
    _NEWEST_BY_STATUS, *(f"status = $status AND {priority} AND {_AFTER_NEWER}" for priority in _OF_EACH_PRIORITY)
)
URGENT = _ordered(_URGENT_ORDER, *(f"{status} AND {_URGENT}" for status in _OF_EACH_STATUS))
URGENT_OF_STATUS = _ordered(_URGENT_ORDER, f"status = $status AND {_URGENT}")
DUE = _ordered("due, id", *(f"{status} AND {_DUE_SOON}" for status in _OF_EACH_STATUS))
DUE_OF_STATUS = _ordered("due, id", f"status = $status AND {_DUE_SOON}")
UPDATED = _ordered("updated_at DESC, id DESC", f"updated_at >= $updated_since AND {_AFTER_LATER_UPDATED}")

_WORDS = f"{WORDS_OF_TASK} @@ {all_words_of('$words')}"
# Repeats the condition of tasks_tags_idx, or that would not serve.
_TAG = "tags @> ARRAY[$tag] AND tags <> '{}'"

_MATCHES = {"words": _WORDS, "tag": _TAG, "words_and_tag": f"{_WORDS} AND {_TAG}"}
_ORDERS = {
    "newest": ("created_at DESC, id DESC", _AFTER_NEWER),
    "urgent": ("priority DESC, created_at DESC, id DESC", _AFTER_MORE_URGENT),
    "due": ("due, id", _AFTER_SOONER_DUE),
    "updated": ("updated_at DESC, id DESC", _AFTER_LATER_UPDATED),
}

# By order and by what is searched for, as in `SEARCHES["due", "words_and_tag"]`.
SEARCHES: Mapping[tuple[str, str], ListStatement] = MappingProxyType(
    {
        (order, match): _search(_MATCHES[match], by, after)
        for order, (by, after) in _ORDERS.items()
        for match in _MATCHES
    }
)

LIST_STATEMENTS: Mapping[str, ListStatement] = MappingProxyType(
    {
        "list_newest": NEWEST,
        "list_newest_of_status": NEWEST_OF_STATUS,
        "list_urgent": URGENT,
        "list_urgent_of_status": URGENT_OF_STATUS,
        "list_due": DUE,
        "list_due_of_status": DUE_OF_STATUS,
        "list_updated": UPDATED,
    }
    | {f"search_{match}_{order}": statement for (order, match), statement in SEARCHES.items()}
)
