"""Which database, version table and models a project's env.py names, learnt without connecting to anything."""

from __future__ import annotations

from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory

from migration_gate.environment import DESCRIBE_ATTRIBUTE, Environment
from migration_gate.errors import MigrationGateError
from migration_gate.upgrade import own_errors


def describe(config: Config) -> Environment:
    """What env.py says of its project.

    Raises
    ------
    MigrationGateError: env.py does not hand over to `migration_gate.environment.run`.
    """
    found: list[Environment] = []

    def nothing(*_: Any) -> list[Any]:
        return []

    scripts = ScriptDirectory.from_config(config)
    config.attributes[DESCRIBE_ATTRIBUTE] = found.append
    try:
        # Offline: an env.py of another make would connect here, and nobody asked it to.
        with own_errors(), EnvironmentContext(config, scripts, fn=nothing, as_sql=True, dont_mutate=True):
            scripts.run_env()
    finally:
        del config.attributes[DESCRIBE_ATTRIBUTE]
    if not found:
        raise MigrationGateError(
            "env.py does not say which database is the project's.",
            solution="let it call migration_gate.environment.run(metadata), as the documentation shows",
        )
    return found[0]
