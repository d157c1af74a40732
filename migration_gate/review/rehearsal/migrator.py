"""The process that migrates the temporary database: `python -m migration_gate.review.rehearsal.migrator`.

A process of its own, since env.py belongs to the project: it sets up logging, reads variables and may end in any
way it likes. It is told the database by the variables that env.py reads, and told nothing of the source.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from migration_gate.configuration import load
from migration_gate.errors import MigrationGateError, StatementRefused
from migration_gate.review.rehearsal.addresses import database_of
from migration_gate.review.rehearsal.description import describe
from migration_gate.review.rehearsal.recorder import Place, Recorder
from migration_gate.upgrade import own_errors


def main(arguments: list[str]) -> None:
    """Upgrade to the heads. Arguments: Alembic's configuration, the database's name, the events' file descriptor.

    The last event is `finished`, with `failure` None or an object and how long observing took; without one the
    process was killed.
    """
    config_file, database, descriptor = arguments
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with os.fdopen(int(descriptor), "w", encoding="utf-8") as channel:

        def allowed(parameters: dict[str, Any]) -> bool:
            return (parameters.get("dbname") or parameters.get("database")) == database

        recorder = Recorder(channel, allowed)
        try:
            config = load(config_file)
            _refuse_another_database(config, database)
            recorder.listen()
            recorder.emit("started")
            with own_errors():
                command.upgrade(config, "heads")
        except Exception as error:  # noqa: BLE001  all that a migration can raise is told to the rehearsing process
            recorder.emit("finished", failure=_told(error, recorder), spent_s=recorder.spent_s)
        else:
            recorder.emit("finished", failure=None, spent_s=recorder.spent_s)


def _end_with_parent() -> None:
    """Nobody writes into this pipe, and it ends with the rehearsing process, however that ends."""
    sys.stdin.buffer.read()
    os._exit(1)


def _refuse_another_database(config: Config, database: str) -> None:
    """env.py may name its database itself, and then no variable leads it away from the source."""
    address = describe(config).address
    if address is None or database_of(address) != database:
        raise MigrationGateError(
            "env.py does not take its database from MIGRATION_DATABASE_URL or DATABASE_URL, so it cannot be pointed"
            " at a temporary one; nothing was run.",
            solution="let it call run(metadata) without `url`, or with one that is read from these variables",
        )


def _told(error: BaseException, recorder: Recorder) -> dict[str, Any]:
    """What failed and where: PostgreSQL's primary message, or the kind of a Python error, but never a value."""
    refusal, sqlstate, solution = recorder.last_refusal, None, ""
    place: Place | None = None
    # env.py wraps for Alembic's command line what it has to say.
    inner = error.__cause__ if isinstance(error, CommandError) else error
    if isinstance(inner, StatementRefused | DBAPIError) and refusal is not None:
        message, sqlstate, place = refusal.message, refusal.sqlstate, refusal.place
    elif isinstance(error, MigrationGateError):
        message, solution = error.message, error.solution
    elif isinstance(error, CommandError):
        message = f"Alembic says: {error}"
    else:
        message, place = f"{type(error).__name__} was raised", _raised_in_migration(error) or recorder.last_place
    revision, file, line = place or (None, None, None)
    where = {"revision": revision, "file": file and Path(file).name, "line": line}
    return {"message": message, "sqlstate": sqlstate, "solution": solution} | where


def _raised_in_migration(error: BaseException) -> Place | None:
    """The last line of a migration that the error passed through."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        names = trace.tb_frame.f_globals
        if "down_revision" in names and isinstance(names.get("revision"), str):
            found = (names["revision"], trace.tb_frame.f_code.co_filename, trace.tb_lineno)
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
