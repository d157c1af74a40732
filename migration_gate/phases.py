"""Which phase of a change a revision is: expand, contract, or data.

The code of the release before runs on the schema while and after a revision is applied. A revision *expands*
where that code works as before, and *contracts* where something that it may use is taken away or made
stricter. The verdict on a database that is ahead of its code hangs on this, so it is worked out
from the SQL alone, without Alembic or any other library.

What counts as contracting, beside what is dropped, renamed, moved or given another type: a constraint of any
kind, or a unique index, on a table that this list of statements did not create, since writes that used to
pass may now be refused, `NOT VALID` or not. Three are free: a check or foreign key over nothing but
columns that were added here (older code writes none of them), uniqueness of a column that was added here without a
default (it holds NULLs), and `UNIQUE USING INDEX` (the index refused those rows already). Dropping an index, a
constraint or NOT NULL makes the schema wider. What a function does when it is called is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType

from migration_gate.errors import MigrationGateError
from migration_gate.sql_changes import Change, changes_in

#: What a migration file may declare.
DECLARATIONS = ("gate_phase", "gate_minimum_code", "gate_rerunnable")

_REVISION_ID = re.compile(r"[^\s@+:-][^\s@+:]*")


class Phase(StrEnum):
    """What a revision does to the code of the release before."""

    EXPAND = "expand"
    CONTRACT = "contract"
    DATA = "data"


@dataclass(frozen=True)
class Declared:
    """What a migration file says of itself; None or False where it says nothing.

    `minimum_code` is the oldest head whose code runs on the schema after this revision. `rerunnable` promises that
    the revision may be run again from its start after it was cut off in the middle of a non-transactional step.
    """

    phase: Phase | None = None
    minimum_code: str | None = None
    rerunnable: bool = False


def phase_of(statements: Iterable[str]) -> Phase:
    """The phase of a revision that runs `statements`, in this order; a text may hold several.

    EXPAND where there are none.
    """
    changes = [change for text in statements for change in changes_in(text)]
    if any(True for _ in contractions(changes)):
        return Phase.CONTRACT
    created = created_tables(changes)
    if any(change.moves_data and change.on not in created for change in changes):
        return Phase.DATA
    return Phase.EXPAND


# A statement for each way in which one is read.
_ONE_OF_EACH = (
    "CREATE TABLE t (a int); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT 1; DROP VIEW v; REVOKE ALL ON t FROM r",
    "ALTER TABLE t ADD a int, ADD CONSTRAINT c CHECK (a > 0), ALTER a SET NOT NULL, VALIDATE CONSTRAINT c, DROP b",
    "ALTER TABLE t RENAME a TO b; ALTER TABLE t RENAME TO u; ALTER TABLE u SET SCHEMA s; ALTER TYPE e ADD VALUE 'x'",
    "WITH w AS (SELECT 1) UPDATE t SET a = 1; INSERT INTO t SELECT 1; COPY t FROM STDIN; TRUNCATE t; DO $$ $$",
)


def compile_patterns() -> None:
    """Do beforehand what the first statement of each kind costs: reading takes far less time than learning to read.

    A migration's phase is worked out while it still holds its locks.
    """
    phase_of(_ONE_OF_EACH)


def created_tables(changes: Iterable[Change]) -> frozenset[str]:
    """The tables that `changes` create: nobody uses them yet."""
    return frozenset(change.on for change in changes if change.verb == "create table")


def contractions(changes: Iterable[Change]) -> Iterator[Change]:
    """Those of `changes`, in order, that take something away from older code or make it stricter."""
    changes = list(changes)
    created: set[str] = set()
    columns: dict[tuple[str, str], bool] = {}  # added here: whether with a default
    # A view under a table's old name, made in the same breath, keeps old code working.
    stand_ins = {change.on for change in changes if change.verb in {"create view", "replace view"}}
    for change in changes:
        if change.verb.startswith("create ") and not change.verb.endswith(" index"):
            created.add(change.on)
        elif change.verb == "add column":
            columns[change.on, change.name] = change.has_default
        elif change.verb == "set default" and (change.on, change.name) in columns:
            columns[change.on, change.name] = True
        elif change.verb == "rename table" and change.on in stand_ins:
            continue
        elif change.verb.startswith("rename ") and (change.on in created or (change.on, change.name) in columns):
            created.add(change.to)
            columns[change.on, change.to] = columns.get((change.on, change.name), False)
            continue
        if change.on not in created and _contracts(change, columns):
            yield change


_TAKES_AWAY = frozenset(
    {"drop column", "drop default", "drop identity", "drop expression", "change type", "add generated"}
)
_MOVES_OR_REVOKES = frozenset({"set schema", "detach partition", "revoke", "enable row security"})


def _contracts(change: Change, columns: dict[tuple[str, str], bool]) -> bool:
    key = (change.on, change.name)
    if change.verb in _TAKES_AWAY:
        return key not in columns
    if change.verb == "set not null":
        return not columns.get(key, False)
    if change.verb == "add column":
        return change.required
    if change.verb in {"add check", "add foreign key"}:
        return not change.columns or any((change.on, column) not in columns for column in change.columns)
    if change.verb in {"add unique", "create unique index"}:
        return not change.using_index and not any(
            columns.get((change.on, column), True) is False for column in change.columns
        )
    if change.verb in {"add primary key", "add exclude", "add not null", "add domain constraint"}:
        return True
    if change.verb.startswith(("drop ", "rename ")):
        return change.verb not in {"drop index", "drop constraint", "drop not null", "rename index"}
    return change.verb in _MOVES_OR_REVOKES


def declared(module: ModuleType) -> Declared:
    """What a migration module declares in `gate_phase`, `gate_minimum_code` and `gate_rerunnable`.

    Raises
    ------
    MigrationGateError: one of them holds something that it cannot hold.
    """
    where = getattr(module, "__file__", None) or module.__name__
    phase = getattr(module, "gate_phase", None)
    if phase is not None and phase not in tuple(Phase):
        raise MigrationGateError(
            f"{where} declares gate_phase = {phase!r}.",
            solution=f"write one of {', '.join(repr(str(each)) for each in Phase)}, or leave it to be worked out",
        )
    minimum_code = getattr(module, "gate_minimum_code", None)
    if minimum_code is not None and not (isinstance(minimum_code, str) and _REVISION_ID.fullmatch(minimum_code)):
        raise MigrationGateError(
            f"{where} declares gate_minimum_code = {minimum_code!r}.",
            solution="write the id of the oldest revision whose code runs on the schema after this one, as text",
        )
    rerunnable = getattr(module, "gate_rerunnable", False)
    if not isinstance(rerunnable, bool):
        raise MigrationGateError(
            f"{where} declares gate_rerunnable = {rerunnable!r}.",
            solution="write True where it may be run again after it was cut off, and otherwise nothing",
        )
    return Declared(None if phase is None else Phase(phase), minimum_code, rerunnable)
