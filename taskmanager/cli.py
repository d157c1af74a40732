"""`taskmanager`: serve, migrate, ask for the schema's state, make keys, keep the history of incidents, back up."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from taskmanager import __version__
from taskmanager.access import keys_cli
from taskmanager.backup import cli as backup_cli
from taskmanager.incidents import cli as incidents_cli
from taskmanager.project_folder import PROJECT_FOLDER
from taskmanager.settings import (
    NO_DATABASE,
    UNUSABLE_SETTINGS,
    Settings,
    SettingsError,
    load_settings,
)

logger = logging.getLogger(__name__)

# The exit statuses of `migration-gate` for them.
NOT_SERVABLE = 3
INTERRUPTED = 130

_EXAMPLES = """\
examples:
  taskmanager serve --port 8000                        serve; requests wait for a servable schema
  TASKMANAGER_MIGRATE=on_start taskmanager serve       the same, and apply the migrations first
  taskmanager migrate                                  apply the migrations and prove the result
  taskmanager status --json                            what the schema is, as the application's role sees it
  taskmanager keys new --file keys                     make an API key, and add what is stored of it to a file
  taskmanager incidents list                           what is open now; incidents --help has the rest
  taskmanager backup --keep 7                          a backup, restored into a scratch database and compared
  taskmanager restore latest                           bring the newest verified one back into an empty database

Settings come from the environment or from .env (DATABASE_URL, MIGRATION_DATABASE_URL, TASKMANAGER_*);
.env.example lists them. An address may stand in a file of its own, which DATABASE_URL_FILE names.

exit status:
  0   it went well; the schema is servable
  1   an error that the message names
  3   the schema is not servable, or the migration was refused and nothing was touched
  4   Alembic reported success and a new connection does not see it
  69  migrate: the database cannot be reached, and trying again changes nothing
  75  migrate: the database cannot be reached now, or another migrator holds the lock; try again
  78  a setting cannot be used, or is not safe enough to serve with
  130 migrate: interrupted by SIGTERM or Ctrl-C; the step that was at work is undone
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    if "run_alone" in options:
        # Incidents are looked at while the service, and so perhaps its settings, are broken.
        alone: Callable[[argparse.Namespace], int] = options.run_alone
        return alone(options)
    run: Callable[[argparse.Namespace, Settings], int] = options.run
    try:
        return run(options, load_settings())
    except SettingsError as error:
        for line in str(error).splitlines():
            print(f"taskmanager: {line}", file=sys.stderr)
        return UNUSABLE_SETTINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="taskmanager",
        description="A task API whose code and database schema cannot silently disagree.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    serve = verbs.add_parser("serve", help="serve the API")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    serve.set_defaults(run=_serve)
    migrate = verbs.add_parser("migrate", help="apply the migrations and prove the result")
    migrate.add_argument("--stop-with-parent", action="store_true", help="end when standard input is closed")
    migrate.set_defaults(run=_migrate)
    status = verbs.add_parser("status", help="the schema's state; exit status 3 where it is not servable")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(run=_status)
    keys_cli.add_parser(verbs)
    incidents_cli.add_parser(verbs)
    backup_cli.add_parser(verbs)
    return parser


def _serve(options: argparse.Namespace, settings: Settings) -> int:
    # Here and not above: a command that serves nothing must not wait for these imports.
    from migration_gate.errors import MigrationGateError
    from taskmanager.app import create_app
    from taskmanager.server.http_server import Server

    try:
        app = create_app(settings)
        listener = _listen(options.host, options.port)
    except (MigrationGateError, OSError) as error:
        print(f"taskmanager: {error}", file=sys.stderr)
        return 1
    # What is here now stays: the garbage collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    with listener, suppress(KeyboardInterrupt):
        drain = partial(setattr, app.state.service_state, "draining", True)
        door = app.state.front_door
        server = Server(
            app,
            refused=door.refused_below,
            is_full=door.admission.is_full,
            no_room=door.no_room_below,
            drain=drain,
        )
        server.run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything else is started, so that a taken port is the first thing that is told."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # create_server would tell the resolver's fault by a number that is no errno.
        socket.getaddrinfo(host or None, 0, family)
        return socket.create_server((host, port), family=family, backlog=2048)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "this is no host name"
        raise OSError(f"cannot listen on {host}:{port}: {reason}; choose another with --host") from error
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise OSError(f"cannot listen on {host}:{port}: {reason}; choose another with --port") from error


def _migrate(options: argparse.Namespace, settings: Settings) -> int:
    from alembic.config import Config

    from migration_gate.errors import MigrationGateError
    from migration_gate.start import TRY_AGAIN
    from migration_gate.text import as_text
    from migration_gate.upgrade import upgrade
    from taskmanager.observability import logs, sentry

    if settings.migration_url() is None:
        raise SettingsError(NO_DATABASE)
    logs.configure(
        as_json=settings.logs_as_json, level=settings.log_level, stream=sys.stderr, environment=settings.env.value
    )
    sentry.start(settings)
    for line in settings.address_violations():
        # Told, and no reason to refuse: a service cannot be mended by a migration that does not run.
        logger.warning("unsafe: %s", line)
    # As a container's first process it would be deaf to SIGTERM otherwise. psycopg ends its statement for an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.stop_with_parent:
        threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    try:
        status = upgrade(Config(PROJECT_FOLDER / "alembic.ini"))
    except MigrationGateError as error:
        logger.error(
            "migration refused: %s", error.message, extra={"code": "migration_failed", "solution": error.solution}
        )
        if error.exit_code != TRY_AGAIN:  # who waits for a database or for another migrator has not failed
            sentry.report(error, code="migration_failed")
        return error.exit_code
    except KeyboardInterrupt:
        logger.warning("migration interrupted; the step that was at work is undone, and can be run again")
        return INTERRUPTED
    except Exception:
        # A migration's own fault, a statement that PostgreSQL refuses, say: into the log, in the log's form.
        logger.exception("migration failed", extra={"code": "migration_failed"})
        return 1
    finally:
        sentry.flush()
    if not options.stop_with_parent:  # the parent's log is not the place for an answer
        print(as_text(status))
    return 0 if status.servable else NOT_SERVABLE


def _exit_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    # PostgreSQL ends the statement of a session whose client is gone, and rolls its step back.
    os._exit(1)


def _status(options: argparse.Namespace, settings: Settings) -> int:
    from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
    from migration_gate.text import as_text
    from taskmanager.schema_verdict import ask
    from taskmanager.tasks.statements import STATEMENTS

    if settings.database_url is None:
        raise SettingsError(NO_DATABASE)
    # Every statement proven, as the application's role.
    status = asyncio.run(ask(AsyncpgProbe(settings.database_url, statements=STATEMENTS)))
    print(json.dumps(status.as_dict(), indent=2) if options.json else as_text(status))
    return 0 if status.servable else NOT_SERVABLE


if __name__ == "__main__":
    sys.exit(main())
