"""What a revision does outside a transaction, statement by statement, so that it can go on where it stopped.

Most revisions are one transaction, and a failure leaves nothing. One with an autocommit block is not: what came
before the block is committed when the block begins, and each statement in it by itself. Of such a revision the
ledger keeps a row a statement, committed before the statement begins and completed with it. The next run of the
same revision leaves out what is done, clears away what a failed CREATE INDEX CONCURRENTLY left, and refuses
where it cannot know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from migration_gate.errors import UpgradeRefused
from migration_gate.observed import UnfinishedStep
from migration_gate.sql_text import statements_in, without_values
from migration_gate.states import SETTLE
from migration_gate.tables import STEP_TABLE, VersionTable
from migration_gate.timeouts import is_concurrent

_COMMENT = re.compile(r"\s*(?:--[^\n]*\n|/\*.*?\*/)", re.DOTALL)
_READS = frozenset({"select", "show", "explain", "values", "table", "with", "set", "reset", "savepoint", "release"})
_DATA = frozenset({"insert", "update", "delete", "merge", "copy", "truncate"})
# What PostgreSQL refuses inside a transaction, or what may end one by itself.
_ALONE = re.compile(
    r"\s*(?:VACUUM|REINDEX|CLUSTER|CALL|DO|CREATE\s+DATABASE|DROP\s+DATABASE|ALTER\s+SYSTEM|CREATE\s+TABLESPACE"
    r"|DROP\s+TABLESPACE|CREATE\s+SUBSCRIPTION|DROP\s+SUBSCRIPTION|ALTER\s+DATABASE|BEGIN|COMMIT|START|END|ROLLBACK)\b",
    re.IGNORECASE,
)
_HARMLESS_AGAIN = re.compile(
    r"\s*(?:VACUUM|ANALYZE|REINDEX|CLUSTER|ALTER\s+SYSTEM|REFRESH)\b|\bIF\s+(?:NOT\s+)?EXISTS\b", re.IGNORECASE
)
_COMMITS = frozenset({"commit", "end"})
_MAY_COMMIT = re.compile(r"\b(?:COMMIT|END)\b", re.IGNORECASE)
_NAME = r'(?:"(?:[^"]|"")+"|[\w$]+)(?:\.(?:"(?:[^"]|"")+"|[\w$]+))?'
_CREATE_INDEX = re.compile(
    rf"\s*CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>{_NAME})\s+ON\s+"
    rf"(?:ONLY\s+)?(?P<table>{_NAME})",
    re.IGNORECASE,
)


@dataclass
class Revision:
    """The revision that is being applied or taken back, and what it has done so far."""

    ids: tuple[str, ...]
    action: str
    rerunnable: bool = False
    resumed: dict[int, UnfinishedStep] = field(default_factory=dict)
    statements: list[str] = field(default_factory=list)
    number: int = 0
    unwritten: list[tuple[int, str]] = field(default_factory=list)
    #: Whether the migration's own function is running, and not what Alembic does around it.
    inside: bool = False


class Steps:
    """Listens to the migrating connection. `revision` is set while one is under way."""

    def __init__(self, connection: Connection, table: VersionTable, lock_timeout: str) -> None:
        self.revision: Revision | None = None
        self.run_id = 0
        self._connection = connection
        self._steps = table.beside(STEP_TABLE)
        self._lock_timeout = lock_timeout
        engine: Engine = connection.engine
        event.listen(engine, "do_execute", self._on_execute)
        event.listen(engine, "do_execute_no_params", self._on_execute_no_params)
        event.listen(engine, "do_executemany", self._on_executemany)
        event.listen(connection, "commit", self._on_commit)

    def begin(self, ids: tuple[str, ...], action: str, *, rerunnable: bool) -> Revision:
        """Begin a revision: what an earlier run did of it is read, and the transaction for that is ended."""
        self.revision = Revision(ids, action, rerunnable)
        if not rerunnable:
            rows = self._connection.exec_driver_sql(
                "SELECT DISTINCT ON (number) number, statement, began_at::text, ended_at IS NOT NULL, error"
                f" FROM {self._steps} WHERE revision = %s AND action = %s AND NOT settled ORDER BY number, id DESC",
                (ids[0], action),
            ).all()
            self._connection.commit()
            self.revision.resumed = {row[0]: UnfinishedStep(ids[0], *row) for row in rows}
        return self.revision

    def settle(self, connection: Connection, ids: tuple[str, ...]) -> None:
        """In the transaction in which a revision is recorded: its steps are part of it now."""
        connection.exec_driver_sql(
            f"UPDATE {self._steps} SET settled = true WHERE revision = ANY(%s) AND NOT settled", (list(ids),)
        )

    # Returning True tells SQLAlchemy that the statement was taken care of.
    def _on_execute(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return self._takes_care_of(cursor, statement, lambda: cursor.execute(statement, parameters))

    def _on_execute_no_params(self, cursor: Any, statement: str, context: Any) -> bool:
        return self._takes_care_of(cursor, statement, lambda: cursor.execute(statement))

    def _on_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any) -> bool:
        return self._takes_care_of(cursor, statement, lambda: cursor.executemany(statement, parameters))

    def _takes_care_of(self, cursor: Any, statement: str, execute: Callable[[], object]) -> bool:
        revision, session = self.revision, cursor.connection
        if revision is None or not revision.inside or session is not self._session:
            return False
        verb = _verb(statement)
        if verb in _READS:
            return False
        revision.number += 1
        revision.statements.append(statement)
        if revision.resumed and self._is_done(revision, statement, verb, session):
            return True
        if session.autocommit:
            self._execute_alone(revision, session, statement, execute)
            return True
        if _commits(statement):
            self._execute_commit(revision, session, statement, execute)
            return True
        revision.unwritten.append((revision.number, statement))
        return False

    @property
    def _session(self) -> Any:
        return self._connection.connection.dbapi_connection

    def _on_commit(self, _: Connection) -> None:
        """A commit in the middle of a migration: what it has done so far is there to stay."""
        revision = self.revision
        if revision is not None and revision.inside:
            self._write_done(revision)

    def _write_done(self, revision: Revision) -> None:
        for number, statement in revision.unwritten:
            self._session.execute(
                f"INSERT INTO {self._steps} (run_id, revision, action, number, statement, ended_at)"
                " VALUES (%s, %s, %s, %s, %s, clock_timestamp())",
                (self.run_id, revision.ids[0], revision.action, number, statement),
            )
        revision.unwritten.clear()

    def _write_begun(self, revision: Revision, session: Any, statement: str) -> str:
        """Note that a statement begins, and return the SQL that notes its end."""
        step = session.execute(
            f"INSERT INTO {self._steps} (run_id, revision, action, number, statement)"
            " VALUES (%s, %s, %s, %s, %s) RETURNING id",
            (self.run_id, revision.ids[0], revision.action, revision.number, statement),
        ).fetchone()[0]
        return f"UPDATE {self._steps} SET ended_at = clock_timestamp() WHERE id = {step}"

    def _execute_commit(self, revision: Revision, session: Any, statement: str, execute: Callable[[], object]) -> None:
        """A text that commits, of which SQLAlchemy knows nothing: what is to stay is noted before, with it."""
        if _first_word(statements_in(statement)[-1]) in _COMMITS:
            revision.unwritten.append((revision.number, statement))
            self._write_done(revision)
            execute()
        else:
            self._write_done(revision)
            ended = self._write_begun(revision, session, statement)
            execute()
            session.execute(ended)
        # The driver begins another transaction, in which nothing is set.
        session.execute(f"SET LOCAL lock_timeout = '{self._lock_timeout}'")

    def _execute_alone(self, revision: Revision, session: Any, statement: str, execute: Callable[[], object]) -> None:
        ended = self._write_begun(revision, session, statement)
        wait = "0" if is_concurrent(statement) else self._lock_timeout
        try:
            if _needs_no_transaction(statement):
                session.execute(f"SET lock_timeout = '{wait}'")
                try:
                    execute()
                finally:
                    if not session.broken:
                        session.execute("SET lock_timeout = 0")
                session.execute(ended)
            else:
                # One transaction for the statement and for the word that it ended: neither is there without the other.
                with session.transaction():
                    session.execute(f"SET LOCAL lock_timeout = '{wait}'")
                    execute()
                    session.execute(ended)
        except Exception as error:
            if not session.broken:
                message = getattr(getattr(error, "diag", None), "sqlstate", None) or type(error).__name__
                session.execute(ended.replace(" WHERE", ", error = %s WHERE"), (message,))
            raise

    def _is_done(self, revision: Revision, statement: str, verb: str, session: Any) -> bool:
        """Whether an earlier run has done this statement. What it left halfway is cleared away.

        Raises
        ------
        UpgradeRefused: that cannot be known, or the file says something else than it did.
        """
        step = revision.resumed.pop(revision.number, None)
        if step is None:
            return False
        if " ".join(step.statement.split()) != " ".join(statement.split()):
            raise self._unknown(revision, step, "the file has another statement in its place now")
        if index := _CREATE_INDEX.match(statement):
            return self._index_is_there(index["name"], index["table"], session)
        if step.error is not None:
            return False
        if not step.ended:
            # Any other statement was rolled back together with the word that it had ended.
            if not _needs_no_transaction(statement) or _HARMLESS_AGAIN.search(statement):
                return False
            raise self._unknown(revision, step, "nobody was told whether PostgreSQL finished it")
        if verb in _DATA or verb in {"do", "call"}:
            raise self._unknown(revision, step, "it was done, and running it again would change data twice")
        return True

    def _unknown(self, revision: Revision, step: UnfinishedStep, why: str) -> UpgradeRefused:
        return UpgradeRefused(
            f"Revision {step.revision} stopped halfway, and cannot be gone on with: {why}."
            f" It is statement {step.number}, begun {step.began_at[:19]}: {without_values(step.statement)}",
            solution="where the whole revision may be run again from its start, write gate_rerunnable = True into its"
            f" file; where it is finished by hand: alembic stamp {step.revision}; where it is undone by hand: {SETTLE}",
        )

    def _index_is_there(self, name: str, table: str, session: Any) -> bool:
        """Whether the index is there and valid. An invalid one, which a build that failed left, is dropped."""
        # An index lives in its table's schema, whatever its name says of that.
        row = session.execute(
            "SELECT i.indisvalid, format('%%I.%%I', n.nspname, c.relname) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE i.indrelid = to_regclass(%s) AND c.relname = %s",
            (table, _unquoted(name)),
        ).fetchone()
        if row is None:
            return False
        valid, qualified = row
        if not valid:
            session.execute(f"DROP INDEX CONCURRENTLY {qualified}")
        return bool(valid)


def _needs_no_transaction(statement: str) -> bool:
    """Whether the statement is executed outside a transaction, so that a part of it may stay."""
    return is_concurrent(statement) or _ALONE.match(_without_comments(statement)) is not None or _commits(statement)


def _commits(statement: str) -> bool:
    return _MAY_COMMIT.search(statement) is not None and any(
        _first_word(each) in _COMMITS for each in statements_in(statement)
    )


def _without_comments(statement: str) -> str:
    while match := _COMMENT.match(statement):
        statement = statement[match.end() :]
    return statement


def _verb(text: str) -> str:
    """The first word of a statement; of the first in a text of several that does more than read."""
    verbs = [_first_word(each) for each in (statements_in(text) if ";" in text else (text,))]
    return next((verb for verb in verbs if verb not in _READS), "select")


def _first_word(statement: str) -> str:
    """In lower case; a WITH that changes data counts as the change."""
    words = _without_comments(statement).split(None, 1)
    first = words[0].lower().rstrip(";") if words else "select"
    if first == "with" and (change := re.search(r"\b(insert|update|delete|merge)\b", statement, re.IGNORECASE)):
        return change[1].lower()
    return first


def _unquoted(name: str) -> str:
    last = re.split(r'\.(?=(?:[^"]*"[^"]*")*[^"]*$)', name)[-1]
    return last[1:-1].replace('""', '"') if last.startswith('"') else last.lower()
