"""What is believed of a migration: not that Alembic reported success, but what a new connection sees."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from migration_gate import ledger
from migration_gate.connection import observe
from migration_gate.errors import ProofFailed
from migration_gate.tables import VersionTable

_TRANSACTION_ID = "migration_gate_transaction_id"


def note_transactions(connection: Connection) -> None:
    """Note each transaction's id as it begins, for `refuse_lost_transaction`."""

    @event.listens_for(connection, "begin")
    def note(beginning: Connection) -> None:
        session: Any = beginning.connection.dbapi_connection
        if session is not None and not session.autocommit:
            beginning.info[_TRANSACTION_ID] = session.execute("SELECT txid_current()").fetchone()[0]


def refuse_lost_transaction(connection: Connection | None, step: Any) -> None:
    """Raise ProofFailed where a migration rolled its own transaction back.

    What it did before is lost, and the driver has silently begun another transaction, in which Alembic
    would record the revision all the same.
    """
    if connection is None:
        return
    began_as = connection.info[_TRANSACTION_ID]
    if connection.exec_driver_sql("SELECT txid_status(%s)", (began_as,)).scalar_one() == "aborted":
        raise ProofFailed(
            f"Revision {', '.join(step.up_revision_ids)} rolled back the transaction that it runs in:"
            " what it did is lost, and it was not recorded.",
            solution="remove ROLLBACK from it; op.get_bind().begin_nested() gives it a savepoint to go back to",
        )


def prove(engine: Engine, table: VersionTable, applied: tuple[str, ...], run_id: int) -> None:
    """See the result on a new connection: what Alembic reports is not what others can read.

    A transaction that env.py left open, say, ends in exit code 0 and no tables at all.
    """
    with engine.connect() as fresh:
        seen = observe(fresh, table).revisions
        fresh.rollback()
        error = None if seen == applied else f"a new connection sees {', '.join(seen) or 'no revision'}"
        ledger.end_run(fresh, table, run_id, error)
        fresh.commit()
    if error:
        raise ProofFailed(
            f"Alembic reported {', '.join(applied) or 'no revision'} and {error}: nothing was committed.",
            solution="look for a transaction that alembic/env.py or a migration opens and does not commit",
        )
