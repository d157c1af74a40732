"""What a revision did to the session that migrates, looked at before the next one begins.

A migration is anybody's code. It may free the lock, reset what guards the session, or leave a setting behind with which
the revisions after it do something else than they would by themselves.
"""

from __future__ import annotations

import logging

from sqlalchemy.engine import Connection

from migration_gate.connection import GUARDING_SETTINGS
from migration_gate.errors import MigrationGateError
from migration_gate.lock import HOLDER
from migration_gate.timeouts import LIFTED_SETTINGS

logger = logging.getLogger(__name__)

_RESTORED = (*LIFTED_SETTINGS, *GUARDING_SETTINGS)

# With another of these the same statement makes something else: they are a migration's to set, and told.
_TOLD = ("search_path", "role")


class KeptSession:
    """The migrating session as it is when a run begins: its lock, by its key, and its settings."""

    def __init__(self, connection: Connection, key: int) -> None:
        self._connection = connection
        self._key = key
        self._before = self._settings()

    def look(self, revision: str) -> None:
        """Give back what the revision took from the session, outside any transaction, and tell what it left there.

        Raises
        ------
        MigrationGateError: the session does not hold the migration lock any more.
        """
        held = self._connection.exec_driver_sql(
            f"SELECT EXISTS (SELECT FROM ({HOLDER.format(key=self._key)}) h WHERE h.pid = pg_backend_pid())"
        ).scalar_one()
        if not held:
            self._connection.commit()
            raise MigrationGateError(
                f"Revision {revision} gave the migration lock away, and another migrator can begin: the run ends here."
                " The revision is applied.",
                solution="leave pg_advisory_unlock_all out of migrations; then run this command again",
            )
        now = self._settings()
        for name in _RESTORED:
            if now[name] != self._before[name]:
                self._connection.exec_driver_sql("SELECT set_config(%s, %s, false)", (name, self._before[name]))
        self._connection.commit()
        for name in _TOLD:
            if now[name] != self._before[name]:
                logger.warning(
                    "revision %s leaves %s = %s to the revisions after it in this run; applied by themselves, they may"
                    " do something else. SET LOCAL ends with the revision",
                    revision,
                    name,
                    now[name],
                )
                self._before[name] = now[name]

    def _settings(self) -> dict[str, str | None]:
        # One that this version of PostgreSQL does not know is NULL.
        names = (*_RESTORED, *_TOLD)
        values = ", ".join(f"current_setting('{name}', true)" for name in names)
        row = self._connection.exec_driver_sql(f"SELECT {values}").one()
        self._connection.commit()
        return dict(zip(names, row, strict=True))
