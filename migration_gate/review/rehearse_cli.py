"""`migration-gate rehearse`: the pending revisions on a copy of the schema, under load, against a budget."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from alembic.config import Config

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.faults import primary_message
from migration_gate.postgres.url import UnusableUrl, plain_url
from migration_gate.review.rehearsal.addresses import connect
from migration_gate.review.rehearsal.budget import Budget
from migration_gate.review.rehearsal.interruption import Interrupted, ended_by_signals
from migration_gate.review.rehearsal.picture import picture
from migration_gate.review.rehearsal.plan import NO_DATA, SYNTHETIC, Plan, SourceNamedAsScratch
from migration_gate.review.rehearsal.report import FAILED, OVER_BUDGET, Report
from migration_gate.review.rehearsal.run import rehearse
from migration_gate.review.rehearsal.scratch import clean
from migration_gate.review.rehearsal.text import as_text

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

OVER_BUDGET_STATUS = 5
SCRATCH_VARIABLE = "MIGRATION_GATE_SCRATCH_URL"

_DESCRIPTION = """\
Restore the schema of the project's database into a temporary database on another server, without any row but those of
Alembic's version table and the gate's ledger. Run the pending revisions there through the project's own env.py under
synthetic readers and writers, and tell for each statement what it locked and for how long, who waited, and what
was rewritten or read to its end. The project's database is only read.
"""

_EPILOG = """\
data:
  none        tables are empty; durations say little, and the source's row counts decide on rewrites and scans
  synthetic   rows are generated from types, constraints, n_distinct and null_frac; no value is ever copied

exit status:
  0   within the budget, or nothing is pending
  1   an error that the message names; a migration that fails in the rehearsal is one
  2   the command line is wrong
  5   over the budget
"""


def add_parser(verbs: Verbs) -> None:
    """Add the verb to the command line's."""
    verb = verbs.add_parser(
        "rehearse",
        help="run the pending revisions on a copy of the schema, under load",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.add_argument(
        "--scratch-url",
        default=os.environ.get(SCRATCH_VARIABLE),
        metavar="URL",
        help="a database of the server to rehearse on, whose role may create databases"
        f" (default: {SCRATCH_VARIABLE}, which keeps its password out of the list of processes)",
    )
    verb.add_argument("--data", choices=(NO_DATA, SYNTHETIC), default=NO_DATA, help="(default: %(default)s)")
    verb.add_argument(
        "--max-rows", type=_count, default=100_000, metavar="N", help="generated for one table (default: %(default)s)"
    )
    verb.add_argument(
        "--budget-lock-ms", type=_amount, default=500.0, metavar="MS", help="a lock that blocks, held (default: 500)"
    )
    verb.add_argument(
        "--budget-wait-ms", type=_amount, default=500.0, metavar="MS", help="a query's longest wait (default: 500)"
    )
    verb.add_argument(
        "--budget-rewrite-rows",
        type=_count,
        default=10_000,
        metavar="N",
        help="rows of a table that is rewritten, or read to its end while others are kept out (default: %(default)s)",
    )
    verb.add_argument("--budget-duration-s", type=_amount, metavar="S", help="the whole upgrade (default: no limit)")
    verb.add_argument("--json", action="store_true", help="print the report as JSON")
    verb.add_argument("--svg", type=Path, metavar="FILE", help="draw locks and waits over time into a file")
    verb.add_argument("--keep", action="store_true", help="do not drop the temporary database")
    verb.add_argument(
        "--clean", action="store_true", help="only drop temporary databases that killed rehearsals left behind"
    )
    verb.set_defaults(run=run)


def run(options: argparse.Namespace, config: Config) -> int:
    """Rehearse, or clean up, and return the exit status; 128 and the signal's number where one ended it."""
    try:
        if options.scratch_url is None:
            raise UnusableUrl(f"a server to rehearse on is needed: --scratch-url URL, or {SCRATCH_VARIABLE}")
        plain_url(options.scratch_url)
        with ended_by_signals():
            return _clean(options.scratch_url) if options.clean else _rehearse(options, config)
    except (UnusableUrl, SourceNamedAsScratch) as error:
        print(f"migration-gate rehearse: {error}", file=sys.stderr)
        return 2
    except MigrationGateError as error:
        print(f"migration-gate rehearse: {error}", file=sys.stderr)
        return 1
    except psycopg.Error as error:
        # Nothing that PostgreSQL quotes is told.
        print(f"migration-gate rehearse: {primary_message(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except Interrupted as signal:
        print(f"migration-gate rehearse: ended by {signal}", file=sys.stderr)
        return signal.exit_status


def _rehearse(options: argparse.Namespace, config: Config) -> int:
    if options.svg is not None and not options.svg.parent.is_dir():
        raise MigrationGateError(f"There is no folder {options.svg.parent} to draw into.")
    budget = Budget(
        options.budget_lock_ms, options.budget_wait_ms, options.budget_rewrite_rows, options.budget_duration_s
    )
    report = rehearse(config, Plan(options.scratch_url, options.data, options.max_rows, options.keep, budget), _say)
    if options.svg is not None:
        try:
            options.svg.write_text(picture(report), encoding="utf-8")
        except OSError as error:
            raise MigrationGateError(f"{options.svg} could not be written: {error.strerror}.") from None
        _say(f"drew {options.svg}")
    if options.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        print(as_text(report, colour=_colour()))
    return _status(report)


def _clean(scratch_url: str) -> int:
    with contextlib.closing(connect(scratch_url, "clean")) as server:
        return 1 if clean(server, _say) else 0


def _status(report: Report) -> int:
    return {FAILED: 1, OVER_BUDGET: OVER_BUDGET_STATUS}.get(report.outcome, 0)


def _say(line: str) -> None:
    print(f"rehearse: {line}", file=sys.stderr, flush=True)


def _colour() -> bool:
    """On a terminal, unless NO_COLOR is set to something (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _amount(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not an amount")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than nothing")
    return value
