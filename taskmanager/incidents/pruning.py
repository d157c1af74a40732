"""Taking off the journal what need not, or must not, be kept any longer.

The journal is written anew beside the old one and takes its place at once, so that whatever happens there is a whole
one. Incidents keep their numbers; a line tells that, and how much, was taken off.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from taskmanager.incidents import journal
from taskmanager.incidents.client import CommandFailed
from taskmanager.incidents.entries import FORGOTTEN, Entry, Kind, line_of
from taskmanager.incidents.history import fold
from taskmanager.incidents.lock import JournalInUse, WriterLock
from taskmanager.incidents.watchdog import name_of

JOURNAL_IN_USE = 4


def prune(path: Path, before: datetime | None, name: str | None, retired: str | None) -> str:
    """Rewrite a journal that nobody writes to, and return what was done, in a sentence.

    Parameters
    ----------
    before: incidents resolved, and deployments made, before it are taken off; None takes none off.
    name: whoever acted under it becomes `(forgotten)`; None forgets nobody.
    retired: the environment whose Watchdog is not waited for any longer; None retires none.

    Raises
    ------
    CommandFailed: a server uses the journal, it cannot be read or written, lines of it are damaged, or it knows no
    Watchdog of that environment.
    """
    lock = WriterLock(path)
    try:
        contents = journal.read(path)
        lock.acquire("pruning")
        contents = journal.read(path)
        return _rewritten(path, contents, before, name, retired)
    except JournalInUse as error:
        raise CommandFailed(f"{path} is in use by {error}; stop it first", JOURNAL_IN_USE) from None
    except journal.JournalUnusable as error:
        raise CommandFailed(str(error)) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise CommandFailed(f"{path} cannot be rewritten, and is as it was: {reason}") from None
    finally:
        lock.release()


def _rewritten(
    path: Path, contents: journal.Contents, before: datetime | None, name: str | None, retired: str | None
) -> str:
    if contents.damage or contents.torn:
        lines = ", ".join(str(damage.line) for damage in contents.damage) or "the last one"
        raise CommandFailed(
            f"{path} has damaged lines ({lines}), which would be lost; copy it, and take them out first"
        )
    history = fold(contents.entries)
    old = {
        incident.id
        for incident in history.incidents.values()
        if before and incident.resolved_at and incident.resolved_at < before
    }
    current = _current_heartbeats(path, contents.entries, retired)
    kept = [entry for entry in contents.entries if not _is_over(entry, old, before, current, retired)]
    forgotten = sum(entry.who == name for entry in kept)
    if name is not None:
        kept = [replace(entry, who=FORGOTTEN) if entry.who == name else entry for entry in kept]
    taken_off = len(contents.entries) - len(kept)
    facts = {"lines": str(taken_off), "names": str(forgotten), "next_incident": str(history.next_id)}
    kept.append(Entry(Kind.PRUNED, datetime.now(UTC), "operator", facts=facts))
    _replace(path, kept)
    mentions = sum(name in entry.text for entry in kept) if name else 0
    told = f"{taken_off} lines of {len(old)} incidents taken off, {forgotten} names forgotten, {len(kept)} lines left."
    return told if not mentions else f"{told} {mentions} notes still mention the name in their text."


def _current_heartbeats(path: Path, entries: Iterable[Entry], retired: str | None) -> set[int]:
    """The numbers of the lines by which the watchdogs are known: the newest of each."""
    seen = [entry for entry in entries if entry.kind is Kind.WATCHDOG_SEEN]
    environments = {_environment(entry) for entry in seen}
    if retired is not None and retired not in environments:
        known = ", ".join(sorted(environments)) or "none"
        raise CommandFailed(f"{path} knows no watchdog of the environment {retired!r}; it knows: {known}")
    return set({name_of(entry.alert): entry.seq for entry in seen if entry.alert}.values())


def _environment(entry: Entry) -> str:
    return entry.alert.labels.get("env", "") if entry.alert else ""


def _is_over(
    entry: Entry, incidents: set[int], before: datetime | None, heartbeats: set[int], retired: str | None
) -> bool:
    if entry.incident is not None:
        return entry.incident in incidents
    if entry.kind is Kind.WATCHDOG_SEEN and _environment(entry) == retired:
        return True
    return before is not None and entry.at < before and entry.seq not in heartbeats


def _replace(path: Path, entries: Iterable[Entry]) -> None:
    new = path.with_name(path.name + ".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for number, entry in enumerate(entries, 1):
                file.write(line_of(entry.numbered(number)))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    journal.sync_folder(path.parent)
