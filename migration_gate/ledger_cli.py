"""`migration-gate ledger`: what the database remembers, and what people may say about it."""

from __future__ import annotations

import argparse
import json
import re
import sys
from datetime import timedelta
from typing import Any

from alembic.config import Config

from migration_gate import ledger_verbs
from migration_gate.baseline import baseline
from migration_gate.foreign_output import foreign_output_on_stderr

_EXAMPLES = """\
examples:
  migration-gate ledger show                            the newest runs and revisions
  migration-gate ledger baseline                        take a database with a history into the ledger
  migration-gate ledger accept --reason "a hotfix"      the files and the schema are right as they are
  migration-gate ledger settle --reason "undone"        what stopped halfway was undone by hand
  migration-gate ledger override --for 30m --reason "the shop must open"
  migration-gate ledger override --end --reason "mended"
  migration-gate ledger leave --yes                     drop the ledger; alembic_version stays
"""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_parser(verbs: Any) -> None:
    """Add `ledger` and its verbs to the command line."""
    parser = verbs.add_parser(
        "ledger",
        help="what the database remembers of its migrations",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = parser.add_subparsers(required=True, metavar="VERB")

    show = own.add_parser("show", help="the newest runs and revisions")
    show.add_argument("--newest", type=int, default=10, metavar="N", help="how many of each (default: %(default)s)")
    show.set_defaults(run=_show)

    base = own.add_parser("baseline", help="note where a database with a history stands, after comparing it")
    base.add_argument("--scratch-url", metavar="URL", help="a server where a database may be made for the comparison")
    base.add_argument("--revision", metavar="ID", help="which of several revisions that make the same schema")
    base.set_defaults(run=_baseline)

    accept = own.add_parser("accept", help="take the present files and schema for what was applied")
    accept.add_argument("--reason", required=True, metavar="TEXT")
    accept.set_defaults(run=_accept)

    settle = own.add_parser("settle", help="take what stopped halfway for undone by hand")
    settle.add_argument("--reason", required=True, metavar="TEXT")
    settle.set_defaults(run=_settle)

    override = own.add_parser("override", help="break the glass: let traffic through whatever the verdict")
    how_long = override.add_mutually_exclusive_group(required=True)
    how_long.add_argument("--for", dest="duration", type=_duration, metavar="DURATION", help="such as 90s, 30m, 2h")
    how_long.add_argument("--end", dest="duration", action="store_const", const=timedelta(0), help="end it now")
    override.add_argument("--reason", required=True, metavar="TEXT", help="for whoever reads the ledger afterwards")
    override.set_defaults(run=_override)

    leave = own.add_parser("leave", help="drop the ledger's tables")
    leave.add_argument("--yes", action="store_true", help="do it")
    leave.set_defaults(run=_leave)

    for verb in own.choices.values():
        verb.add_argument("--json", action="store_true", help="print it as JSON")


def _duration(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 2h or 1d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _show(options: argparse.Namespace, config: Config) -> int:
    with foreign_output_on_stderr():
        found = ledger_verbs.history(config, options.newest)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    print("runs, newest first")
    for run in found["runs"]:
        told = run["error"] or run.get("reason")
        line = (
            f"  {run['id']:>5}  {_time(run['started_at'])}  {run['command']:<9} {run['result']:<9} {run['started_by']}"
        )
        print(f"{line}: {told}" if told else line)
    print("revisions, newest first")
    for row in found["revisions"]:
        parts = [row.get("phase"), row.get("duration"), row.get("release") and f"release {row['release']}"]
        told = ", ".join(part for part in parts if part)
        print(f"  {row['id']:>5}  {_time(row['applied_at'])}  {row['action']:<9} {row['revision']:<32} {told}".rstrip())
    return 0


def _time(text: str) -> str:
    return text[:19].replace("T", " ")


def _baseline(options: argparse.Namespace, config: Config) -> int:
    with foreign_output_on_stderr():
        revision = baseline(config, scratch_url=options.scratch_url, revision=options.revision)
    return _tell(
        options,
        f"baseline: the schema is what the migrations make at {revision}; the ledger says so now",
        revisions=revision.split(","),
    )


def _accept(options: argparse.Namespace, config: Config) -> int:
    with foreign_output_on_stderr():
        accepted = ledger_verbs.accept(config, options.reason)
    return _tell(
        options,
        f"accepted: the schema as it is, and the files of {', '.join(accepted) or 'no edited revision'}",
        revisions=accepted,
    )


def _settle(options: argparse.Namespace, config: Config) -> int:
    with foreign_output_on_stderr():
        settled = ledger_verbs.settle(config, options.reason)
    return _tell(
        options,
        f"settled: {settled} statement{'' if settled == 1 else 's'}; the revision begins anew with the next upgrade",
        statements=settled,
    )


def _override(options: argparse.Namespace, config: Config) -> int:
    with foreign_output_on_stderr():
        until = ledger_verbs.override(config, options.duration, options.reason)
    lasts = f"override: traffic flows until {until:%Y-%m-%d %H:%M:%S} UTC, whatever the verdict"
    return _tell(options, lasts if options.duration else "override: ended", until=until.isoformat())


def _leave(options: argparse.Namespace, config: Config) -> int:
    if not options.yes:
        print("This drops what the database remembers of its migrations. Say --yes to do it.", file=sys.stderr)
        return 2
    with foreign_output_on_stderr():
        gone = ledger_verbs.leave(config)
    again = "env.py needs Alembic's own template again: alembic init shows it"
    return _tell(options, f"dropped: {', '.join(gone)}\n{again}", tables=gone)


def _tell(options: argparse.Namespace, sentence: str, **facts: object) -> int:
    """What was done, as a sentence or as one JSON object."""
    print(json.dumps(facts) if options.json else sentence)
    return 0
