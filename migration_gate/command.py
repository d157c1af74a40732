"""Which of Alembic's commands is under way."""

from __future__ import annotations

from enum import Enum

from alembic.runtime.migration import MigrationContext


class Command(Enum):
    """What Alembic was asked to do, as far as the gate must know."""

    READ = "read"  # current, check, history, revision: nothing is written
    UPGRADE = "upgrade"
    DOWNGRADE = "downgrade"
    STAMP = "stamp"


def command_of(migration: MigrationContext) -> Command:
    """Which command a configured context belongs to.

    Alembic gives its environment no command's name. It does give a destination to the commands
    that write, as a tuple only to `stamp`, and names the function that walks the graph.
    """
    destination = migration.opts.get("destination_rev")
    if destination is None:
        # `ensure_version` records, as `stamp base` does, that nothing was applied.
        return Command.STAMP if migration.opts["fn"].__name__ == "do_ensure_version" else Command.READ
    if isinstance(destination, tuple):
        return Command.STAMP
    return Command.DOWNGRADE if migration.opts["fn"].__name__ == "downgrade" else Command.UPGRADE
