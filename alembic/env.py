"""Alembic's environment. Lock, timeouts, refusals, ledger and proof are the migration gate's."""

import logging
import sys

from alembic.util import CommandError

from migration_gate.environment import run
from taskmanager.observability import logs
from taskmanager.settings import NO_DATABASE, SettingsError, load_settings
from taskmanager.tasks.model import metadata

try:
    settings = load_settings()
except SettingsError as error:
    raise CommandError(str(error)) from error

# A service that migrates has set up its logging already.
if not logging.getLogger().handlers:
    logs.configure(as_json=settings.logs_as_json, level=settings.log_level, stream=sys.stderr)
    # Alembic's command line prints its errors as well.
    logging.getLogger("alembic.util.messaging").disabled = True

if settings.migration_url() is None:
    raise CommandError(NO_DATABASE)

run(metadata, url=settings.migration_url())
