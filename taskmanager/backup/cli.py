"""`taskmanager backup`, `restore` and `backups`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from taskmanager.settings import Settings

_DEFAULT_EVERY_HELP = "be a service: one backup after the other, the first at once where the newest is older"

_BACKUP_EXAMPLES = """\
examples:
  taskmanager backup                                     one backup now, restored into a scratch database and compared
  taskmanager backup --keep 7 --keep-days 30             and delete those beyond the newest 7 and older than 30 days
  taskmanager backup --every 24h --keep 14 --listen 0.0.0.0:9096
                                                         a service, with /metrics and /livez
  taskmanager backup --json | jq -r .verification.outcome

The database is the one of MIGRATION_DATABASE_URL (or DATABASE_URL); its role owns the tables. Backups lie in
TASKMANAGER_BACKUP_FOLDER. Each is restored on the server of TASKMANAGER_BACKUP_SCRATCH_URL, or on the database's own
where the role has CREATEDB. What is kept always is the newest one that was verified.

exit status:
  0   made and verified                   69  the database cannot be reached
  1   an error that the message names     75  another backup is at work in this folder; try again
  2   wrong usage                         78  a setting cannot be used; --every in production: an address is unsafe
  4   made, and NOT verified: no scratch database could be had
  5   made, and its trial failed: it is not a backup to rely on
"""

_RESTORE_EXAMPLES = """\
examples:
  taskmanager restore latest                             the newest verified one, into MIGRATION_DATABASE_URL's database
  taskmanager restore taskmanager-20261128T045052Z --into postgresql://owner@new.example/taskmanager
  taskmanager restore latest --replace                   back up what is there, drop it, restore
  taskmanager restore latest --into URL --without-roles  on a laptop: everything belongs to the role of URL

The database must be there and be empty. Leave the password out of --into: PGPASSWORD, PGPASSFILE or ~/.pgpass hold it.

exit status:
  0   restored, and proven: every table as it was, the schema servable by this code
  1   an error that the message names     69  the database cannot be reached
  2   wrong usage                         75  a backup or a migration is at work; try again
  3   restored, and this code cannot serve it yet: an older backup wants taskmanager migrate
  5   there is no such backup, it is damaged, or what was restored is not what was backed up
  78  a setting cannot be used
"""

_BACKUPS_EXAMPLES = """\
examples:
  taskmanager backups                                    a table, newest first
  taskmanager backups --verify                           read and restore each of them again, and note what came out
  taskmanager backups --verify latest --json

exit status:
  0   each that was asked for is whole; with --verify, verified
  1   an error that the message names     75  a backup is at work in this folder; try again
  4   --verify: one could not be tried, as where the server for it cannot be reached
  5   one is damaged, its trial failed, or there is none of that name
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The three verbs."""
    _add_backup(_verb(verbs, "backup", "make a backup, and prove that it can be restored", _BACKUP_EXAMPLES))
    _add_restore(_verb(verbs, "restore", "bring a backup back, and prove that it is", _RESTORE_EXAMPLES))
    _add_backups(_verb(verbs, "backups", "list the backups, or verify them again", _BACKUPS_EXAMPLES))


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, does: str, examples: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder", type=Path, metavar="PATH", help="where backups lie (default: TASKMANAGER_BACKUP_FOLDER)"
    )
    parser.set_defaults(run=_run, does=name)
    return parser


def _run(options: argparse.Namespace, settings: Settings) -> int:
    # Here and not above: `taskmanager serve` must not wait for these imports.
    from taskmanager.backup import verbs_cli

    return verbs_cli.run(options, settings)


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--keep", type=_count, metavar="N", help="keep the newest N")
    parser.add_argument("--keep-days", type=_count, metavar="DAYS", help="keep all that are younger")
    parser.add_argument("--json", action="store_true", help="print the manifest as JSON")
    service = parser.add_argument_group("as a service")
    service.add_argument("--every", type=_duration_s, metavar="TIME", help=f"24h, 90m: {_DEFAULT_EVERY_HELP}")
    service.add_argument(
        "--listen",
        type=_address,
        default=("127.0.0.1", 9096),
        metavar="HOST:PORT",
        help="where /metrics and /livez are (default: 127.0.0.1:9096)",
    )
    service.add_argument(
        "--max-age",
        type=_duration_s,
        metavar="TIME",
        help="how old the newest verified backup may be before somebody is told (default: one and a half of --every)",
    )
    service.add_argument(
        "--retry-after",
        type=_duration_s,
        default=60,
        metavar="TIME",
        help="after a failure, and twice as long after each further one, up to an hour (default: 60s)",
    )


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("backup", metavar="BACKUP", help="its name, its path, or latest: the newest verified one")
    parser.add_argument(
        "--into", metavar="URL", help="an empty database, as the role that is to own it (MIGRATION_DATABASE_URL)"
    )
    parser.add_argument(
        "--application-url",
        metavar="URL",
        help="the same database as the role that serves, which the statements are tried as (DATABASE_URL, where it"
        " names the same database)",
    )
    parser.add_argument("--replace", action="store_true", help="where it is not empty: back it up, and drop all of it")
    parser.add_argument(
        "--without-backup", action="store_true", help="with --replace: what is there is lost, and that is meant"
    )
    parser.add_argument(
        "--without-roles",
        action="store_true",
        help="restore no owners and no grants: all belongs to the role of --into",
    )
    parser.add_argument("--json", action="store_true", help="print what became of it as JSON")


def _add_backups(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--verify",
        nargs="?",
        const="all",
        metavar="BACKUP",
        help="restore it, or all of them, into a scratch database again",
    )
    parser.add_argument("--json", action="store_true", help="print the manifests as JSON")


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration_s(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 24h or 7d")
    return int(match[1]) * _UNITS_S[match[2]]


def _count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 99999")
    return int(text)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address; write 127.0.0.1:9096, or [::]:9096")
    return host.removeprefix("[").removesuffix("]"), int(port)
