"""`migration-gate compatibility`, a verb of the command line."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from alembic.config import Config

from migration_gate import compatibility
from migration_gate.expected import Expected
from migration_gate.review.compatibility import NEW_TREE, prove, trial
from migration_gate.review.rehearsal.interruption import Interrupted, ended_by_signals
from migration_gate.revisions_lock import expected_from_scripts, lock_path

NOT_PROVEN = 5
SCRATCH_VARIABLE = "MIGRATION_GATE_SCRATCH_URL"

_DESCRIPTION = f"""\
While a release is rolled out, and after it was rolled back, the code of the release before runs on the new schema. This
checks that release out beside this tree, migrates a scratch database with this code, runs the old release's own tests
on it, and writes what they showed into {compatibility.FILE_NAME}, beside revisions.lock. The next upgrade copies it
into the ledger, where an old image finds it.

The command runs in the old release's folder, with
  DATABASE_URL, MIGRATION_DATABASE_URL   the scratch database, at this code's heads
  {NEW_TREE}                this tree, for tests that make databases of their own
"""

_EPILOG = f"""\
examples:
  migration-gate compatibility --since v1.4 --command "python -m pytest -q tests"
  migration-gate compatibility --check        fail where {compatibility.FILE_NAME} says nothing of the present heads

exit status:
  0   the old release's tests passed (--check: there is a verdict on the present heads, and it is fresh)
  1   no verdict: an error that the message names, such as a command that hangs, or fails on its own schema too
  2   the command line is wrong
  5   the old release's tests failed, which is written down as well (--check: no verdict, or a stale one)
"""


def add_parser(verbs: Any) -> None:
    """Add the verb to argparse's subparsers; `run` is a function of the options and Alembic's configuration."""
    parser = verbs.add_parser(
        "compatibility",
        help="run the tests of the release before on the new schema",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--since", metavar="REF", help="the release before: a tag, branch or commit")
    parser.add_argument("--command", metavar="COMMAND", help="what tests it, in one argument; no shell is started")
    parser.add_argument(
        "--timeout", type=float, default=1800.0, metavar="SECONDS", help="for the tests (default: %(default)g)"
    )
    parser.add_argument(
        "--scratch-url",
        default=os.environ.get(SCRATCH_VARIABLE),
        metavar="URL",
        help=f"a server where a database may be made (default: {SCRATCH_VARIABLE}, else the project's own)",
    )
    parser.add_argument("--check", action="store_true", help="only tell whether there is a fresh verdict")
    parser.set_defaults(run=run, usage_error=parser.error)


def run(options: argparse.Namespace, config: Config) -> int:
    """Prove or check, and return the exit status; 128 and the signal's number where one ended it."""
    path = lock_path(config).with_name(compatibility.FILE_NAME)
    if options.check:
        return _check(path, expected_from_scripts(config))
    if not options.since or not options.command:
        options.usage_error("--since REF and --command COMMAND are needed, or --check")
    try:
        with ended_by_signals():
            return _prove(options, config, path)
    except Interrupted as interrupted:
        print(f"migration-gate compatibility: ended by {interrupted}; the worktree is removed", file=sys.stderr)
        return interrupted.exit_status


def _prove(options: argparse.Namespace, config: Config, path: Path) -> int:
    known = compatibility.read(path)
    tried = trial(config, options.since)
    verdict = prove(
        config, tried, options.command, scratch_url=options.scratch_url, timeout_s=options.timeout, say=_say
    )
    if not verdict.revisions and any(each.heads == verdict.heads for each in known):
        return 0  # what was shown before of these heads says more
    compatibility.write(path, verdict)
    print(f"{_told(verdict)}\nwrote {path}; commit it")
    return 0 if verdict.result == compatibility.PASSED else NOT_PROVEN


def _check(path: Path, expected: Expected) -> int:
    verdicts = [each for each in compatibility.read(path) if each.heads == expected.heads]
    heads = ", ".join(expected.heads) or "no revision"
    again = 'migration-gate compatibility --since REF --command "COMMAND"'
    if not verdicts:
        print(f"{path} holds no verdict on {heads}.\n  Solution: {again}", file=sys.stderr)
        return NOT_PROVEN
    if verdicts[-1].is_stale(expected):
        print(
            f"{path} holds a stale verdict on {heads}: its revisions were edited since, or are others.\n"
            f"  Solution: {again}",
            file=sys.stderr,
        )
        return NOT_PROVEN
    print(_told(verdicts[-1]))
    return 0


def _told(verdict: compatibility.Verdict) -> str:
    code, schema = (", ".join(ids) or "no revision" for ids in (verdict.previous, verdict.heads))
    runs = "runs" if verdict.result == compatibility.PASSED else "does not run"
    return f"{verdict.result}: the code at {code} ({verdict.reference[:12]}) {runs} on the schema at {schema}"


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
