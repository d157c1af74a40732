"""Alembic's environment. Lock, timeouts, refusals, ledger and proof are the migration gate's."""

import logging
import sys

from alembic.util import CommandError

from migration_gate.environment import run
from taskmanager import __version__
from taskmanager.observability import logs
from taskmanager.settings import SettingsError, load_settings
from taskmanager.tasks.model import metadata
from taskmanager.tasks.statements import STATEMENTS

try:
    settings = load_settings()
except SettingsError as error:
    raise CommandError(str(error)) from error

# A service that migrates has set up its logging already.
if not logging.getLogger().handlers:
    logs.configure(
        as_json=settings.logs_as_json, level=settings.log_level, stream=sys.stderr, environment=settings.env.value
    )
    # Alembic's command line prints its errors as well.
    logging.getLogger("alembic.util.messaging").disabled = True

run(
    metadata,
    # Shorter than requests gather behind one that waits (0.3 s): whoever queues up behind a migration that waits for a
    # table is served late, and not refused. What is locked for longer is tried again for two minutes.
    lock_timeout="200ms",
    url=settings.migration_url(),
    application_url=settings.database_url,
    statements=STATEMENTS,
    release=settings.commit or __version__,
)
