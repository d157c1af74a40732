"""Where a page ended, as opaque text: the key of its last task, bound to the list that it is of.

Thirty bytes, which are forty characters of base64url without any bit to spare: each cursor has one spelling.

    version (1)  fingerprint of the list (8)  priority (1)  microseconds since 1970 (8)  id (8)  CRC-32 (4)

The checksum is for accidents and not against forgery: a made-up key begins a page at another place, no more.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# asyncpg's word for PostgreSQL's `infinity`.
FOREVER = datetime.max.replace(tzinfo=UTC)

_VERSION = 1
_LAYOUT = struct.Struct(">B8sBqq")
_CHECKSUM = struct.Struct(">I")
_TEXT = re.compile(r"[A-Za-z0-9_-]{40}", re.ASCII)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FOREVER_US = 2**63 - 1


class CursorError(Exception):
    """The text is no cursor of this list. `code` is for programs, the message for people."""

    code = "damaged_cursor"


class CursorOfAnotherList(CursorError):
    code = "cursor_of_another_list"


@dataclass(frozen=True, slots=True)
class Key:
    """What a list's order sees of a task.

    `priority` is its rank, 1 to 3; `time` the one that the list is ordered by, in UTC, FOREVER for no due date.
    """

    priority: int
    time: datetime
    id: int


def fingerprint(parameters: str) -> bytes:
    """Eight bytes that tell one list from another, by the text of its filters and its sort."""
    return hashlib.sha256(parameters.encode()).digest()[:8]


def encode(key: Key, of_list: bytes) -> str:
    time_us = _FOREVER_US if key.time == FOREVER else (key.time - _EPOCH) // _MICROSECOND
    content = _LAYOUT.pack(_VERSION, of_list, key.priority, time_us, key.id)
    return base64.urlsafe_b64encode(content + _CHECKSUM.pack(zlib.crc32(content))).decode("ascii")


def decode(text: str, of_list: bytes) -> Key:
    """The key in a cursor.

    Raises
    ------
    CursorError: this service has never given it out, or it was changed on its way.
    CursorOfAnotherList: it continues a list with other filters or another sort.
    """
    damaged = "This is no cursor, or not all of it; take it from the Link header as it stands"
    if not _TEXT.fullmatch(text):
        raise CursorError(damaged)
    whole = base64.urlsafe_b64decode(text)
    content = whole[: _LAYOUT.size]
    version, its_list, priority, time_us, id_ = _LAYOUT.unpack(content)
    if whole[_LAYOUT.size :] != _CHECKSUM.pack(zlib.crc32(content)) or version != _VERSION:
        raise CursorError(damaged)
    if its_list != of_list:
        raise CursorOfAnotherList(
            "The cursor continues a list with other filters or another sort; send the parameters that it came with"
        )
    try:
        time = FOREVER if time_us == _FOREVER_US else _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        raise CursorError(damaged) from None
    return Key(priority, time, id_)
