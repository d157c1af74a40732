"""`migration-gate lint`, a verb of the command line."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from alembic.config import Config

from migration_gate.review.findings import Level
from migration_gate.review.lint import OWN_RULES, lint
from migration_gate.review.lint_report import as_github, as_json, as_text
from migration_gate.review.squawk_rules import DECISIONS, OFF

FINDINGS = 5

_EPILOG = """\
examples:
  migration-gate lint --since origin/main                  what this branch adds
  migration-gate lint --since origin/main --format github  the same as annotations of a pull request
  migration-gate lint --all                                every revision
  migration-gate lint --since main --scratch-url postgresql://me@localhost/postgres
                                                           try them on a new database too, and drop it

An override is a comment in the migration, at the statement or at the left margin for the whole file:
  # gate: allow RULE because REASON

exit status:
  0   no errors (warnings only, unless --strict)
  1   an error that the message names
  2   the command line is wrong
  5   findings
"""


def add_parser(verbs: Any) -> None:
    """Add the verb to argparse's subparsers; `run` is a function of the options and Alembic's configuration."""
    parser = verbs.add_parser(
        "lint",
        help="find what is dangerous in new migrations",
        description="Read the SQL of new migrations and say what it would lock or break, and how to do it safely.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--since", metavar="REF", help="lint what the branch adds to this git reference")
    which.add_argument("--all", action="store_true", help="lint every revision, as if each were released by itself")
    which.add_argument("--rules", action="store_true", help="print the rules, and exit")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--format", choices=("text", "json", "github"), default="text", help="(default: %(default)s)")
    form.add_argument("--json", dest="format", action="store_const", const="json", help="as --format json")
    parser.add_argument("--strict", action="store_true", help="let warnings count as errors")
    parser.add_argument("--pg-version", metavar="X", help="the server's version, such as 16.4")
    parser.add_argument("--scratch-url", metavar="URL", help="a server to try them on, in a database made for it")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, config: Config) -> int:
    """Lint, print, and return the exit status."""
    if options.rules:
        print(_rules())
        return 0
    review = lint(config, since=options.since, pg_version=options.pg_version, scratch_url=options.scratch_url, say=_say)
    if options.format == "json":
        print(as_json(review))
    elif options.format == "github":
        if review.findings:
            print(as_github(review))
        print(as_text(review).splitlines()[-1], file=sys.stderr)
    else:
        print(as_text(review, colour=_colour()))
    failed = review.findings if options.strict else review.count(Level.ERROR)
    return FINDINGS if failed else 0


def _say(what: str) -> None:
    print(f"lint: {what} ...", file=sys.stderr, flush=True)


def _colour() -> bool:
    # https://no-color.org: any value but an empty one switches colours off.
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _rules() -> str:
    lines = [f"{'ours':8} {name}" for name in sorted(OWN_RULES)]
    lines += [f"{decision.level:8} {name}" for name, decision in sorted(DECISIONS.items())]
    lines += [f"{'off':8} {name}: {why}" for name, why in sorted(OFF.items())]
    return "\n".join(lines)
