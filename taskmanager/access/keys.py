"""Who may call: the API keys of this process, asked at every request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path

from taskmanager.access.key_lines import (
    METRICS_READ,
    SCOPES,
    TASKS_READ,
    TASKS_WRITE,
    Key,
    KeysError,
    parse,
    read_lines,
)
from taskmanager.refusal import RawHeaders, Refusal

__all__ = ["METRICS_READ", "SCOPES", "TASKS_READ", "TASKS_WRITE", "Keyring", "KeysError", "faults_of", "stored_keys"]

logger = logging.getLogger(__name__)


def _challenge(parameters: str = "") -> RawHeaders:
    value = f'Bearer realm="taskmanager"{", " if parameters else ""}{parameters}'
    return ((b"www-authenticate", value.encode()),)


_NO_KEY = Refusal(401, "unauthenticated", "An API key is needed: Authorization: Bearer tm_<id>_<secret>", _challenge())

# One answer for an unknown id, a wrong secret, an expired key and what is no key at all: telling them apart helps
# whoever guesses.
_INVALID_KEY = Refusal(
    401, "invalid_key", "This API key is not valid, or no longer.", _challenge('error="invalid_token"')
)


def _lacks(scope: str) -> Refusal:
    challenge = _challenge(f'error="insufficient_scope", scope="{scope}"')
    return Refusal(403, "insufficient_scope", f"This API key lacks the scope {scope}.", challenge)


_LACKS = {scope: _lacks(scope) for scope in SCOPES}

# An id has no underscore, so the first one after it ends it. 43 characters are 32 bytes in base64url.
_CREDENTIALS = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +tm_([a-z0-9]{1,32})_([A-Za-z0-9_-]{43})")
_LONGEST_CREDENTIALS = 128

# Whom an unknown id is compared with, so that it takes as long as a known one. Expired, should anybody match it.
_NOBODY = Key("nobody", secrets.token_bytes(32), frozenset(), 0.0)


class Keyring:
    """The keys of a variable and of a file, the file followed while it changes.

    Parameters
    ----------
    inline: lines with newlines or semicolons between them (`TASKMANAGER_KEYS`).
    file: a file of such lines (`TASKMANAGER_KEYS_FILE`). The keys of both count.

    Raises
    ------
    KeysError: the file cannot be read, a line is no key, or two lines have the same id.
    """

    def __init__(self, inline: str | None = None, file: Path | None = None) -> None:
        self._inline = inline
        self._file = file
        self._taken = self._changed = _fingerprint(file)
        self._keys = _by_id(stored_keys(inline, file))

    def usable(self) -> bool:
        """Is there a key that has not expired?"""
        now = time.time()
        return any(not key.expired(now) for key in self._keys.values())

    def check(self, authorization: bytes | None, scope: str) -> Refusal | None:
        """Why a request with this Authorization header may not do what needs `scope`; None where it may.

        Never raises, whatever the bytes are, and takes one or two microseconds. A known id is not told from an
        unknown one, neither by the answer nor by its time.
        """
        if authorization is None:
            return _NO_KEY
        match = _CREDENTIALS.fullmatch(authorization) if len(authorization) <= _LONGEST_CREDENTIALS else None
        if match is None:
            # Of another scheme nothing is said to be wrong with the key: there is none (RFC 6750, section 3.1).
            return _INVALID_KEY if authorization[:6].lower() == b"bearer" else _NO_KEY
        id_, secret = match.groups()
        key = self._keys.get(id_, _NOBODY)
        same = hmac.compare_digest(hashlib.sha256(secret).digest(), key.digest)
        if not same or key.expires_at <= time.time():
            return _INVALID_KEY
        if scope not in key.scopes:
            return _LACKS.get(scope) or _lacks(scope)
        return None

    async def watch(self, every_s: float = 1.0) -> None:
        """Take a changed file up, looking every `every_s` seconds, until cancelled; without a file, return at once.

        A file is taken once two looks find it the same, since one that changes may still be being written. One that
        cannot be used is told once in the log, and the keys of before stay.
        """
        while self._file is not None:
            await asyncio.sleep(every_s)
            # In a thread: a mount that hangs must not hang the requests.
            try:
                await asyncio.to_thread(self._look)
            except Exception:
                # A task that ended here would leave a key that was revoked valid for ever.
                logger.exception("the file of keys could not be looked at")

    def _look(self) -> None:
        found = _fingerprint(self._file)
        before, self._changed = self._changed, found
        if found == self._taken or found != before:
            return
        self._taken = found
        try:
            keys = _by_id(stored_keys(self._inline, self._file))
        except KeysError as error:
            logger.error("the API keys of before stay, since the new ones cannot be used: %s", error)
            return
        changes = {
            "keys_added": _names(keys.keys() - self._keys.keys()),
            "keys_removed": _names(self._keys.keys() - keys.keys()),
        }
        self._keys = keys
        if self.usable():
            logger.info("the API keys have changed", extra=changes)
        else:
            logger.warning("the API keys have changed, and none is left that can be used", extra=changes)


def faults_of(inline: str | None, file: Path | None) -> list[str]:
    """Why no request could ever be let in with these keys: a line for each reason, none where all is well."""
    if not inline and file is None:
        return ["TASKMANAGER_KEYS_FILE: no API key is named; run `taskmanager keys new --file PATH` and set it to PATH"]
    try:
        keyring = Keyring(inline, file)
    except KeysError as error:
        return str(error).splitlines()
    if keyring.usable():
        return []
    variable = "TASKMANAGER_KEYS" if file is None else "TASKMANAGER_KEYS_FILE"
    return [
        f"{variable}: it holds no API key that is still valid; run `taskmanager keys new` and add the line it prints"
    ]


def stored_keys(inline: str | None, file: Path | None) -> list[Key]:
    """The keys of the variable and of the file, expired ones too. Raises KeysError."""
    lines = [
        (f"TASKMANAGER_KEYS: key {number}", line) for number, line in enumerate(re.split(r"[\n;]", inline or ""), 1)
    ]
    if file is not None:
        try:
            lines += [
                (f"TASKMANAGER_KEYS_FILE: {file}, line {number}", line)
                for number, line in enumerate(read_lines(file), 1)
            ]
        except KeysError as error:
            raise KeysError(f"TASKMANAGER_KEYS_FILE: {error}") from None
    return parse(lines)


def _by_id(keys: Iterable[Key]) -> dict[bytes, Key]:
    return {key.id.encode(): key for key in keys}


def _fingerprint(file: Path | None) -> tuple[int, ...] | None:
    """What changes whenever the file does, be it written, replaced or, as Kubernetes does it, linked anew."""
    if file is None:
        return None
    try:
        state = file.stat()
    except (OSError, ValueError):
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino, state.st_dev


def _names(ids: Iterable[bytes]) -> list[str]:
    return sorted(id_.decode() for id_ in ids)
