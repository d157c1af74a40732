"""`migration-gate`: the verdict, an upgrade, and the revisions lock, from the command line."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from migration_gate import __version__
from migration_gate.errors import DatabaseUnreachable, MigrationGateError
from migration_gate.foreign_output import foreign_output_on_stderr
from migration_gate.status import SchemaStatus, unreachable
from migration_gate.text import as_text

if TYPE_CHECKING:
    from alembic.config import Config

NOT_SERVABLE = 3
INTERRUPTED = 130  # as a shell tells SIGINT

_EXAMPLES = """\
examples:
  migration-gate status                     what the database is, against what the code needs
  migration-gate status --json              the same for a machine
  migration-gate upgrade                    apply what is missing, under the lock, and prove it
  migration-gate wait --timeout 60          return once the schema is servable (for an init container)
  migration-gate upgrade --dry-run          print the plan and the SQL, and touch nothing
  migration-gate lint --since origin/main   find what is dangerous in new migrations
  migration-gate rehearse --scratch-url URL try the pending ones on a copy of the schema, under load
  migration-gate compatibility --since v1.4 --command "python -m pytest"
                                            run the old release's tests on the new schema
  migration-gate ledger show                what the database remembers of its migrations
  migration-gate lock --check               fail where revisions.lock is out of date (for a pipeline)

The database is MIGRATION_DATABASE_URL, else DATABASE_URL, else sqlalchemy.url in the configuration.
"""

_EXIT_STATUS = """
exit status:
  0   the schema is servable (status, wait), at the code's heads (upgrade), up to date (lock --check)
  1   an error that the message names
  2   the command line is wrong
  3   the schema is not servable or the database cannot be reached (status, wait),
      or an upgrade was refused and nothing was touched
  4   Alembic reported success, and a new connection or the application's role does not see it
  5   lint, rehearse or compatibility found something
  69  upgrade: the database cannot be reached, and trying again changes nothing
  75  upgrade: the database cannot be reached now, or another migrator holds the lock; try again
  130 interrupted, as by Ctrl-C
"""


# Verbs that bring their own part of the command line, in the order in which the help lists them.
_ELSEWHERE = {
    "ledger": "migration_gate.ledger_cli",
    "describe": "migration_gate.describe",
    "lint": "migration_gate.review.lint_cli",
    "rehearse": "migration_gate.review.rehearse_cli",
    "compatibility": "migration_gate.review.compatibility_cli",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if arguments is None:
        # The process is this command's own. It imports what it keeps to its end, and to look through all of that for
        # garbage, again and again, would be a tenth of a short command's time.
        gc.disable()
    from alembic.util import CommandError

    from migration_gate.configuration import NoConfiguration, load

    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given)
    options = parser.parse_args(given)
    if not logging.getLogger().handlers:
        level = logging.INFO if options.run is _upgrade else logging.WARNING
        logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr)
    try:
        config = load(options.config)
    except NoConfiguration as error:
        parser.error(f"{error.message.removesuffix('.')}; {error.solution}")
    run: Callable[[argparse.Namespace, Config], int] = options.run
    if run is not _status:
        gc.enable()
    try:
        return run(options, config)
    except MigrationGateError as error:
        print(f"migration-gate: {error}", file=sys.stderr)
        return error.exit_code
    except CommandError as error:
        print(f"migration-gate: Alembic says: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("migration-gate: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (Exception, SystemExit) as error:  # noqa: BLE001  the project's files are anybody's code
        from migration_gate.foreign_errors import as_told

        print(f"migration-gate: {as_told(error)}", file=sys.stderr)
        return 1


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="migration-gate",
        description="Keep an Alembic project's code and its PostgreSQL schema in agreement.",
        epilog=_EXAMPLES + _EXIT_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c",
        "--config",
        default="alembic.ini",
        help="Alembic's configuration, or a pyproject.toml with [tool.alembic] (default: %(default)s)",
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    status = verbs.add_parser("status", help="the verdict on the database")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    status.set_defaults(run=_status)

    wait = verbs.add_parser("wait", help="wait until the schema is servable")
    wait.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="(default: %(default)s)")
    wait.add_argument("--json", action="store_true", help="print the last verdict as JSON")
    wait.set_defaults(run=_wait)

    upgrade_ = verbs.add_parser("upgrade", help="apply what is missing and prove it")
    upgrade_.add_argument("--dry-run", action="store_true", help="print the plan and the SQL, and touch nothing")
    upgrade_.add_argument("--json", action="store_true", help="print the verdict, or the plan, as JSON")
    upgrade_.set_defaults(run=_upgrade)

    lock = verbs.add_parser("lock", help="write revisions.lock from the migration files")
    lock.add_argument("--check", action="store_true", help="only tell whether it is up to date")
    # Alembic's write hook appends the new file's name; the lock is written from all files anyway.
    lock.add_argument("new_revision", nargs="?", help=argparse.SUPPRESS)
    lock.set_defaults(run=_lock)

    for verb, module in _ELSEWHERE.items():
        # No command must wait for the imports of another, and what pipelines review with is an extra.
        if verb in given or not {*verbs.choices} & {*given}:
            importlib.import_module(module).add_parser(verbs)
    return parser


def _status(options: argparse.Namespace, config: Config) -> int:
    return _report(_verdict(config), as_json=options.json)


def _wait(options: argparse.Namespace, config: Config) -> int:
    deadline = time.monotonic() + options.timeout
    status = _verdict(config)
    while not status.servable and time.monotonic() < deadline:
        time.sleep(0.5)
        status = _verdict(config)
    return _report(status, as_json=options.json)


def _upgrade(options: argparse.Namespace, config: Config) -> int:
    if options.dry_run:
        return _dry_run(options, config)
    from migration_gate.upgrade import upgrade

    with foreign_output_on_stderr():
        status = upgrade(config)
    return _report(status, as_json=options.json)


def _dry_run(options: argparse.Namespace, config: Config) -> int:
    from migration_gate.review.dry_run import dry_run

    with foreign_output_on_stderr():
        told, would_be_done = dry_run(config, as_json=options.json)
    print(told)
    return 0 if would_be_done else NOT_SERVABLE


def _lock(options: argparse.Namespace, config: Config) -> int:
    from migration_gate import revisions_lock

    if options.check:
        revisions_lock.check(config)
    else:
        print(f"wrote {revisions_lock.write(config)}")
    return 0


def _verdict(config: Config) -> SchemaStatus:
    from migration_gate import revisions_lock
    from migration_gate.upgrade import schema_status

    with foreign_output_on_stderr():
        try:
            return schema_status(config)
        except DatabaseUnreachable as fault:
            expected = revisions_lock.expected_from_scripts(config)
            return unreachable(expected, fault.message, fault.solution, fault.rung.value)


def _report(status: SchemaStatus, *, as_json: bool) -> int:
    print(json.dumps(status.as_dict(), indent=2) if as_json else as_text(status))
    return 0 if status.servable else NOT_SERVABLE


if __name__ == "__main__":
    sys.exit(main())
