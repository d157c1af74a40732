"""What is shown once everything runs: what is where, and the first commands to try."""

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_WITHOUT_TERMINAL = 160


def say(line: str) -> None:
    """A line of progress. That the terminal is gone (SIGHUP) must not keep anything from being stopped."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def print_summary(
    url: str,
    database: str,
    folder: Path | None,
    addresses: Path | None,
    port: int,
    *,
    docs_served: bool,
    key_needed: bool,
    monitoring: Mapping[str, str],
) -> None:
    """`database` is a URL without password, the file `addresses` has it in full, and `folder` holds the data.

    Both are None for a server of the user's. `docs_served` and `key_needed` are as the service answers.
    `monitoring` has a name and an address for each of its parts.
    """
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, place in (
        ("API", f"{url}/tasks"),
        ("docs", f"{url}/docs" if docs_served else None),
        ("health", f"{url}/health"),
        ("metrics", f"{url}/metrics"),
        *monitoring.items(),
        ("database", database),
        ("addresses", addresses),
        ("data", folder),
    ):
        # As Text, since rich would read the brackets of an IPv6 address as markup.
        if place is not None:
            table.add_row(name, Text(f"{place}"))
    kept_in = database if folder is None else folder
    console = Console(width=None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL, highlight=False)
    with contextlib.suppress(OSError):
        console.print()
        console.print(table)
        console.print(Text(_first_commands(port, f"{kept_in}", key_needed)), soft_wrap=True)


def _first_commands(port: int, kept_in: str, key_needed: bool) -> str:
    key = """ -H "Authorization: Bearer $KEY\"""" if key_needed else ""
    return f"""
Try:
  curl http://localhost:{port}/tasks{key}
  curl -X POST http://localhost:{port}/tasks{key} -H 'Content-Type: application/json' -d '{{"title": "Buy milk"}}'

Ctrl-C stops everything; your tasks stay in {kept_in}
"""
