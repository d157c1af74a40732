"""`uvicorn main:app`: the service for servers that are given an import path."""

import sys

from migration_gate.errors import MigrationGateError
from taskmanager.app import create_app
from taskmanager.settings import UNUSABLE_SETTINGS, SettingsError

try:
    app = create_app()
except (SettingsError, MigrationGateError) as error:
    # A server would print this as the last line of a long traceback.
    print(f"taskmanager: {error}", file=sys.stderr)
    raise SystemExit(UNUSABLE_SETTINGS) from None
