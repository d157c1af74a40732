"""`migration-gate describe`: run env.py as far as it takes to learn what the project is, and change nothing.

The gate of a service runs this as a child process, so that the service itself imports neither Alembic nor SQLAlchemy
nor a single migration. Any env.py will do: one that calls `migration_gate.environment.run`, or Alembic's own template.
"""

from __future__ import annotations

import argparse
import io
import sys
import traceback
from typing import Any

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from migration_gate import revisions_lock
from migration_gate.configuration import load
from migration_gate.connection import address_if_named
from migration_gate.description import Description
from migration_gate.environment import DESCRIBE_ATTRIBUTE, Environment
from migration_gate.errors import MigrationGateError, RevisionsLockError
from migration_gate.foreign_output import foreign_output_on_stderr
from migration_gate.postgres.url import masked_url
from migration_gate.proof import statements_of
from migration_gate.tables import VersionTable
from migration_gate.withheld import withheld


def add_parser(verbs: Any) -> None:
    """Add the verb to the subparsers of the command line. It is for the gate itself, so no help tells of it."""
    parser = verbs.add_parser("describe")
    # After the verb as well; a default here would undo what stands before it.
    parser.add_argument("-c", "--config", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    _add_options(parser)


def main(arguments: list[str] | None = None) -> int:
    """`python -m migration_gate.describe`: the verb by itself."""
    parser = argparse.ArgumentParser(prog="migration-gate describe")
    parser.add_argument("-c", "--config", default="alembic.ini")
    _add_options(parser)
    options = parser.parse_args(arguments)
    try:
        config = load(options.config)
    except MigrationGateError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    return run(options, config)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one line for a machine")
    parser.add_argument("--with-address", action="store_true", help="leave the password in the address")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, config: Config) -> int:
    """Print what the project is; 1 where env.py does not tell, with the reason in the last line on stderr."""
    try:
        with foreign_output_on_stderr():
            description = describe(config)
    except (Exception, SystemExit) as error:  # noqa: BLE001  env.py is anybody's code
        traceback.print_exc()
        reason = error.message if isinstance(error, MigrationGateError) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{withheld(' '.join(reason.split()))}\n")
        return 1
    if description.address is not None and not options.with_address:
        description = Description(**vars(description) | {"address": masked_url(description.address)})
    sys.stdout.write(f"{description.as_json() if options.json else _as_text(description)}\n")
    # What a library prints at the interpreter's end comes after it.
    sys.stdout.flush()
    return 0


def describe(config: Config) -> Description:
    """What the project is, as its env.py and its migration files tell.

    Raises
    ------
    MigrationGateError: env.py configures no context, or names an address that is not PostgreSQL's.
    Exception: whatever env.py raises.
    """
    lock, fault = None, None
    try:
        lock = revisions_lock.render(revisions_lock.expected_from_scripts(config))
    except RevisionsLockError as error:
        fault = error.message
    environment = _environment(config)
    return Description(
        lock=lock,
        version_table=environment.version_table,
        address=environment.address,
        statements=statements_of(environment.metadata),
        fault=fault,
    )


def _environment(config: Config) -> Environment:
    # Offline first, since an env.py of Alembic's template connects to the database otherwise, which may be away.
    try:
        return _run_env(config, offline=True)
    except (Exception, SystemExit) as error:  # noqa: BLE001  it may be that env.py has no offline mode
        try:
            return _run_env(config, offline=False)
        except (Exception, SystemExit):  # noqa: BLE001
            raise error from None


def _run_env(config: Config, *, offline: bool) -> Environment:
    found: list[Environment] = []

    def note(_: Any, migration: MigrationContext) -> list[Any]:
        """For an env.py that knows nothing of the gate: what it configured."""
        target = migration.opts.get("target_metadata")
        models = () if target is None else (target,) if isinstance(target, sa.MetaData) else tuple(target)
        table = VersionTable(migration.version_table, migration.version_table_schema)
        found.append(Environment(address_if_named(config, None), table, models))
        return []

    config.attributes[DESCRIBE_ATTRIBUTE] = found.append
    scripts = ScriptDirectory.from_config(config)
    options: dict[str, Any] = {"as_sql": True, "output_buffer": io.StringIO()} if offline else {}
    try:
        with EnvironmentContext(config, scripts, fn=note, dont_mutate=True, **options):
            scripts.run_env()
    finally:
        del config.attributes[DESCRIBE_ATTRIBUTE]
    if not found:
        raise MigrationGateError("env.py ended without calling migration_gate.environment.run or run_migrations()")
    return found[0]


def _as_text(description: Description) -> str:
    lines = [
        f"database:      {description.address or 'none is named'}",
        f"version table: {description.version_table.qualified}",
        f"graph:         {description.fault or ', '.join(description.expected.heads) or 'no revision'}",
        *(f"{name}: {' '.join(sql.split())}" for name, sql in description.statements.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
