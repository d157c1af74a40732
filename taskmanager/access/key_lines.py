"""The written form of API keys: what a key is, and the line that is stored of it.

A key is `tm_<id>_<secret>`. Of it a file or a variable holds one line:

    ID  SHA256_OF_THE_SECRET_IN_HEX  SCOPE,SCOPE  EXPIRY  # a comment, for people alone

EXPIRY is `never` or a time of RFC 3339. The secret has 256 random bits, so a plain SHA-256 of it cannot be
turned back, and needs no slow hash. A key's name belongs into the comment, which is never kept.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

TASKS_READ = "tasks:read"
TASKS_WRITE = "tasks:write"
METRICS_READ = "metrics:read"
SCOPES = (TASKS_READ, TASKS_WRITE, METRICS_READ)

NEVER = math.inf


class KeysError(ValueError):
    """Keys that cannot be used. Its message has a line for each fault, and nothing of any key."""


@dataclass(frozen=True, slots=True)
class Key:
    """What is known of a key. The secret is not."""

    id: str
    digest: bytes = field(repr=False)
    """SHA-256 of the secret's text."""
    scopes: frozenset[str]
    expires_at: float
    """Seconds since 1970, or NEVER."""

    def expired(self, at: float) -> bool:
        return self.expires_at <= at

    def line(self) -> str:
        """The line that is stored."""
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.id} {self.digest.hex()} {scopes} {expiry_text(self.expires_at)}"


# Without those that people take for one another: l and 1, o and 0.
_ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def new_key(scopes: Iterable[str], expires_at: float = NEVER) -> tuple[str, Key]:
    """A new key as its holder gets it, and what is to be stored of it."""
    id_ = "".join(secrets.choice(_ID_LETTERS) for _ in range(8))
    secret = secrets.token_urlsafe(32)
    return f"tm_{id_}_{secret}", Key(id_, hashlib.sha256(secret.encode()).digest(), frozenset(scopes), expires_at)


def expiry_text(at: float) -> str:
    """`never`, or the time of RFC 3339, to the second."""
    return "never" if at == NEVER else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# Many times what people write by hand, and nothing to the memory.
_LARGEST_FILE_BYTES = 1024 * 1024


def read_lines(file: Path) -> list[str]:
    """The lines of a file of keys.

    Raises
    ------
    KeysError: it cannot be read, or it is not text.
    """
    if re.search(r"tm_[a-z0-9]+_[A-Za-z0-9_-]{20}", str(file)):
        # Its path would be told, in messages and in logs.
        raise KeysError("this is a key itself, and not the path of a file of keys")
    try:
        # Opening a pipe would wait for whoever writes into it.
        regular = stat.S_ISREG(file.stat().st_mode)
        content = b""
        if regular:
            with file.open("rb") as opened:
                content = opened.read(_LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise KeysError(f"{file} cannot be read: {os.strerror(error.errno or 0)}") from None
    except ValueError:  # a NUL in it
        raise KeysError("this is no path") from None
    if not regular:
        raise KeysError(f"{file} is not a file")
    if len(content) > _LARGEST_FILE_BYTES:
        raise KeysError(f"{file} has more than {_LARGEST_FILE_BYTES} bytes; it cannot be a file of keys")
    try:
        return content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise KeysError(f"{file} is not UTF-8 text") from None


# What is told of a file that was never meant to hold keys.
_MOST_FAULTS = 10


def parse(lines: Iterable[tuple[str, str]]) -> list[Key]:
    """The keys of lines, each given with its place, expired ones too.

    Raises
    ------
    KeysError: a line is no key, or has the id of another one.
    """
    places: dict[str, str] = {}
    keys: list[Key] = []
    faults: list[str] = []
    for place, line in lines:
        columns = line.partition("#")[0].split()
        if not columns:
            continue
        try:
            key = _key(columns)
            if key.id in places:
                raise ValueError(f"the id {key.id} stands already at {places[key.id]}")
        except ValueError as fault:
            faults.append(f"{place}: {fault}")
            continue
        places[key.id] = place
        keys.append(key)
    if faults:
        raise KeysError("\n".join(faults[:_MOST_FAULTS]))
    return keys


def _key(columns: list[str]) -> Key:
    """The key of one line. The messages quote nothing, since somebody may have pasted a key itself."""
    if any(column.startswith("tm_") for column in columns):
        raise ValueError("this is a key itself; only the line that `taskmanager keys new` prints for it belongs here")
    if len(columns) != 4:
        raise ValueError(f"{len(columns)} columns instead of four: ID SHA256 SCOPES EXPIRY")
    id_, digest, scopes, expiry = columns
    if not re.fullmatch(r"[a-z0-9]{1,32}", id_):
        raise ValueError("the first column must be the id: 1 to 32 lower-case letters and digits")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", digest):
        raise ValueError("the second column must be the SHA-256 of the secret: 64 hexadecimal digits")
    named = frozenset(scopes.split(","))
    if not named <= set(SCOPES):
        raise ValueError(f"the third column must be scopes with commas between them, of {', '.join(SCOPES)}")
    return Key(id_, bytes.fromhex(digest), named, _expiry(expiry))


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)


def _expiry(text: str) -> float:
    if text == "never":
        return NEVER
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):  # the 31st of February, the end of time in another zone
        pass
    raise ValueError("the fourth column must be the expiry: never, or a time such as 2027-01-31T00:00:00Z")
