"""`taskmanager keys`: make an API key, and list those that are stored."""

from __future__ import annotations

import argparse
import json
import os
import re
import stat
import sys
import time
from pathlib import Path
from typing import Any

from taskmanager.access.key_lines import (
    NEVER,
    SCOPES,
    TASKS_READ,
    TASKS_WRITE,
    Key,
    KeysError,
    expiry_text,
    new_key,
    parse,
    read_lines,
)
from taskmanager.access.keys import stored_keys
from taskmanager.settings import Settings, SettingsError

_EXAMPLES = """\
examples:
  taskmanager keys new                                   a key that reads and changes tasks
  taskmanager keys new --scope metrics:read --expires-in 365d --comment prometheus
  taskmanager keys new --file /etc/taskmanager/keys      and add its line to the file
  KEY=$(taskmanager keys new --file keys)                standard output holds the key and nothing else
  taskmanager keys list --file /etc/taskmanager/keys     ids, scopes, expiry

To replace a key: add a new one, give it to its holder, and delete the old line. Both are valid meanwhile, and a
running service follows its file within a few seconds. A file has one line a key, and comments after #:

  # id       sha256 of the secret      scopes                  expires
  k7m2p9qx   9f86d081884c7d65...       tasks:read,tasks:write  2027-01-31T00:00:00Z   # the web shop
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The verb `keys` and its own verbs."""
    keys = verbs.add_parser(
        "keys",
        help="make an API key, list those that are stored",
        description="API keys: who may call, and what for.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    own = keys.add_subparsers(required=True, metavar="VERB")
    new = own.add_parser("new", help="make a key; it is shown once and stored nowhere")
    new.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help=f"what it is for; may be given again (default: {TASKS_READ} and {TASKS_WRITE})",
    )
    new.add_argument(
        "--expires-in", type=_duration_s, metavar="TIME", help="90d, 12h, 30m; without it the key never expires"
    )
    new.add_argument("--comment", type=_comment, default="", help="a note for people, put behind the line")
    new.add_argument("--file", type=Path, metavar="PATH", help="append the line to this file, made where it is missing")
    new.add_argument("--json", action="store_true", help="print the key and its line as JSON")
    new.set_defaults(run=_new)
    list_ = own.add_parser("list", help="show id, scopes and expiry of every stored key")
    list_.add_argument("--file", type=Path, metavar="PATH", help="of this file, instead of those of the settings")
    list_.add_argument("--json", action="store_true", help="print them as JSON")
    list_.set_defaults(run=_list)


_UNITS_S = {"m": 60, "h": 3600, "d": 86400}


def _duration_s(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90d, 12h or 30m")
    return int(match[1]) * _UNITS_S[match[2]]


def _comment(text: str) -> str:
    if not text.isprintable() or ";" in text:
        raise argparse.ArgumentTypeError("a comment is one line of printable characters without ;")
    return text


def _new(options: argparse.Namespace, settings: Settings) -> int:
    expires_at = int(time.time()) + options.expires_in if options.expires_in else NEVER
    text, key = new_key(options.scope or (TASKS_READ, TASKS_WRITE), expires_at)
    line = key.line() + (f"  # {options.comment}" if options.comment else "")
    if options.file is not None:
        try:
            _append(options.file, line)
        except (KeysError, OSError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            print(f"taskmanager: {options.file}: no key is added: {reason}", file=sys.stderr)
            return 1
    if options.json:
        print(json.dumps({"key": text, **_described(key), "line": line}, indent=2))
        return 0
    print(text, flush=True)
    if options.file is not None:
        where = f"Its line is added to {options.file}; a running service that reads it follows within a few seconds."
    else:
        where = f"Add this line to the file that TASKMANAGER_KEYS_FILE names, or to TASKMANAGER_KEYS:\n\n{line}"
    print(f"\nThis is the only time that the key is shown. {where}", file=sys.stderr)
    return 0


def _append(file: Path, line: str) -> None:
    """Add a line to a file that stays usable: whole, on the disk, and no more open than it was."""
    made = not file.exists()
    before = [] if made else read_lines(file)
    parse((f"line {number}", text) for number, text in enumerate(before, 1))
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeysError("others may write to it, and so let themselves in; run chmod go-w on it first")
        unfinished = bool(before and before[-1])
        os.write(descriptor, ("\n" if unfinished else "").encode() + f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if made:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    try:
        if options.file is not None:
            lines = enumerate(read_lines(options.file), 1)
            keys = parse((f"{options.file}, line {number}", line) for number, line in lines)
        else:
            keys = stored_keys(settings.keys, settings.keys_file)
    except KeysError as error:
        raise SettingsError(str(error)) from None
    described = [_described(key) for key in keys]
    if options.json:
        print(json.dumps(described, indent=2))
        return 0
    rows = [("ID", "SCOPES", "EXPIRES", "STATE")]
    rows += [(row["id"], ",".join(row["scopes"]), row["expires_at"], row["state"]) for row in described]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _described(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "scopes": sorted(key.scopes),
        "expires_at": expiry_text(key.expires_at),
        "state": "expired" if key.expired(time.time()) else "valid",
    }
