"""Idempotency-Key: the same request sent twice makes one task (draft-ietf-httpapi-idempotency-key-header-07).

What is remembered of a request for 24 hours is its key, a hash of its content and the number of its task. The
database's unique index decides between requests at the same time, whichever process they reach.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from http import HTTPStatus

import asyncpg

from taskmanager.database import Database
from taskmanager.problems import DatabaseUnavailable, MalformedHeader, ProblemError
from taskmanager.tasks import statements
from taskmanager.tasks.schemas import TaskContent

REPLAYED = (b"idempotency-replayed", b"true")

# An sf-string (RFC 9651, section 3.3.3) of visible characters, or the same without its quotes where nothing in it
# needs them. No comma: that would be two header lines, which a proxy may have joined.
_QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_BARE = re.compile(r"[A-Za-z0-9!#$%&'*+./:=^_`|~-]{1,255}", re.ASCII)

# Each attempt fails only if an expired key was removed, or another was made, at that very moment.
_ATTEMPTS = 5


class KeyReused(ProblemError):
    """The key came with another content before."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency_key_reused"


class TaskDeleted(ProblemError):
    """The key's task was made, and deleted since."""

    status = HTTPStatus.CONFLICT
    code = "idempotent_task_deleted"


def key_of(header: str) -> str:
    """The key that a header holds: 1 to 255 visible ASCII characters. `"a"` and `a` are the same key.

    Raises
    ------
    MalformedHeader: there is none.
    """
    value = header.strip(" \t")
    if quoted := _QUOTED.fullmatch(value):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if _BARE.fullmatch(value):
        return value
    raise MalformedHeader("Idempotency-Key", "must be 1 to 255 visible ASCII characters in quotes")


def content_hash(content: TaskContent) -> bytes:
    """SHA-256 of what a task is to be.

    Of what was understood, not of the bytes: a field that is sent with its default is the same as one left out, so
    the hash stays when a later release adds a field. And of a form of our own, members sorted and times in UTC: a
    field that moves, or another release of pydantic, changes no hash while two releases serve side by side.
    """
    sent = content.model_dump(exclude_defaults=True)
    return hashlib.sha256(json.dumps(sent, sort_keys=True, separators=(",", ":"), default=_in_utc).encode()).digest()


def _in_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


async def create_once(
    database: Database, key: str, content: TaskContent, columns: tuple[object, ...]
) -> tuple[int, int, str, bool]:
    """Create the task, unless this key has created it already.

    Returns
    -------
    id, version, the task as JSON text, and whether it was there before.

    Raises
    ------
    KeyReused, TaskDeleted: the key's task is another one, or is no more.
    """
    hash_ = content_hash(content)
    for _ in range(_ATTEMPTS):
        try:
            created = await database.row(statements.CREATE_TASK_ONCE, *columns, key, hash_)
        except asyncpg.UniqueViolationError as error:
            if error.table_name != "idempotency_keys":
                raise
        else:
            assert created is not None  # noqa: S101  INSERT … RETURNING has a row, or raises
            return (*created, False)
        remembered = await database.row(statements.REMEMBERED_TASK, key, hash_)
        if remembered is None:
            continue
        expired, same, id_, version, task = remembered
        if expired:
            await database.row(statements.FORGET_EXPIRED_KEY, key)
            continue
        if not same:
            raise KeyReused("This Idempotency-Key came with another content before. A new task needs a new key.")
        if id_ is None:
            raise TaskDeleted("This request has made its task already, and the task was deleted since.")
        return id_, version, task, True
    raise DatabaseUnavailable("Many requests with this Idempotency-Key came at once. Try again in a moment.")
