"""`uvicorn main:app`: the service for servers that are given an import path."""

import sys

from migration_gate.errors import MigrationGateError
from taskmanager.app import create_app
from taskmanager.settings import UNUSABLE_SETTINGS, SettingsError

try:
    app = create_app()
except (SettingsError, MigrationGateError) as error:
    # A server would print this as the last lines of a long traceback.
    for line in str(error).splitlines():
        print(f"taskmanager: {line}", file=sys.stderr)
    raise SystemExit(UNUSABLE_SETTINGS) from None
