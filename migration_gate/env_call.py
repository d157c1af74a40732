"""Whether an env.py calls `run` as it is meant to be called; what an adopter may have kept of the env.py of before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from sqlalchemy import MetaData

from migration_gate.errors import MigrationGateError

# Of `context.configure`: a session of somebody else's would hold no lock, and a dialect is not the project's to choose.
_NOT_FOR_CONFIGURE = frozenset({"connection", "dialect_name", "fn"})

# In `Config.attributes`, by the custom of Alembic's cookbook: a connection for env.py to migrate on.
_HANDED_OVER = "connection"

TWO_LINES = (
    "let env.py import the models and end in migration_gate.environment.run(Base.metadata), which connects by itself:"
    " no engine, no asyncio.run and no run_sync"
)


def refuse_misuse(target_metadata: object, options: Mapping[str, Any], attributes: Mapping[Any, Any]) -> None:
    """Raise where `run` could not do what whoever wrote this env.py, or called Alembic, expects of it.

    Raises
    ------
    MigrationGateError: says what env.py, or the caller, is to do instead.
    """
    if _in_an_event_loop():
        # There an interruption would wait for the end of the migration, and what env.py has left open on a connection
        # of its own could hold the migration up for ever.
        raise MigrationGateError(
            "migration_gate.environment.run is called inside an event loop, which it would hold up.",
            solution=f"{TWO_LINES}; where code in a loop calls Alembic, let a thread do it: await"
            ' asyncio.to_thread(command.upgrade, config, "head")',
        )
    models = target_metadata if isinstance(target_metadata, list | tuple) else [target_metadata]
    strangers = [each for each in models if each is not None and not isinstance(each, MetaData)]
    if strangers:
        raise MigrationGateError(
            "migration_gate.environment.run takes a MetaData, a list of them, or None,"
            f" and not {_named(strangers[0])}.",
            solution="run(Base.metadata)",
        )
    if unwanted := sorted(_NOT_FOR_CONFIGURE & options.keys()):
        raise MigrationGateError(
            f"migration_gate.environment.run takes no {', '.join(unwanted)}: it connects and configures by itself.",
            solution=TWO_LINES,
        )
    if attributes.get(_HANDED_OVER) is not None:
        raise MigrationGateError(
            "A connection was handed over in Config.attributes, and migration_gate.environment.run connects by itself:"
            " it would migrate another database than the caller means.",
            solution="leave it out, and name the database: MIGRATION_DATABASE_URL, or run(…, url=…)",
        )


def _in_an_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _named(stranger: object) -> str:
    return f"the class {stranger.__name__}" if isinstance(stranger, type) else f"a {type(stranger).__name__}"
