"""PostgreSQL alone: the service's own statements, replayed by pgbench as fast as the server takes them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from benchmarks.cells import Cell
from benchmarks.contestants import POOL_SIZE, clean_environment
from benchmarks.failures import BenchmarkError, WrongAnswer
from benchmarks.replayed import RANDOM_ID, Statement, replayed_statements
from benchmarks.table import Database
from taskmanager.tasks.statements import array_literal

THREADS = 1
_PLACEHOLDER = re.compile(r"\$(\d+)")
_TEXT_LITERAL = re.compile(r"'(?:[^']|'')*'")
_TOLD = {
    "answers": re.compile(r"number of transactions actually processed: (\d+)"),
    "failed": re.compile(r"number of failed transactions: (\d+)"),
    "rate": re.compile(r"^tps = ([\d.]+)", re.MULTILINE),
}


@dataclass(frozen=True)
class PgbenchRun:
    """What pgbench told: transactions, and transactions a second without the connecting."""

    answers: int
    rate: float


def run_pgbench(program: Path, database: Database, cell: Cell, *, rows: int, seconds: int, folder: Path) -> PgbenchRun:
    """Replay one statement over as many connections as a contestant's pool has.

    Raises
    ------
    WrongAnswer: a statement failed.
    """
    statement = replayed_statements()[cell.name]
    text, variables = as_pgbench(statement)
    draw = f"\\set argument_1 random(1, {rows})\n" if [RANDOM_ID] in statement.arguments else ""
    script = folder / f"pgbench-{cell.name}.sql"
    script.write_text(f"{draw}{text};\n", encoding="utf-8")
    given = [option for name, value in variables.items() for option in ("-D", f"{name}={value}")]
    shape = ["-n", "-M", "prepared", "-c", str(POOL_SIZE), "-j", str(THREADS), "-T", str(seconds), "-f", str(script)]
    done = subprocess.run(
        [program, *shape, *given],
        env=clean_environment() | connection_variables(database.app_url),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if done.returncode:
        raise WrongAnswer(f"{cell.title}: pgbench failed: {done.stderr.strip()[-400:]}")
    told = {name: float(match[1]) for name, pattern in _TOLD.items() if (match := pattern.search(done.stdout))}
    if "rate" not in told or told.get("failed"):
        raise WrongAnswer(f"{cell.title}: pgbench told {done.stdout.strip()[-400:]}")
    return PgbenchRun(int(told["answers"]), told["rate"])


def as_pgbench(statement: Statement) -> tuple[str, dict[str, str]]:
    """The statement as pgbench takes it, and the variables that it needs.

    pgbench sends a variable as a parameter, as the service does; it has none that is NULL, which stands as a literal.
    It takes every `:word` for a variable of its own, even inside a literal: there the colon is escaped.

    Raises
    ------
    WrongAnswer: the statement takes another number of arguments, so that pgbench would run another one.
    """
    highest = max((int(number) for number in _PLACEHOLDER.findall(statement.sql)), default=0)
    if highest != len(statement.arguments):
        known = f"benchmarks/replayed.py gives {len(statement.arguments)} arguments"
        raise WrongAnswer(f"a statement of the service takes {highest} arguments, and {known}")
    text = _TEXT_LITERAL.sub(lambda literal: _without_colons(literal[0]), statement.sql.strip().rstrip(";"))
    named = {f"argument_{number}": value for number, value in enumerate(statement.arguments, 1)}

    def reference(placeholder: re.Match[str]) -> str:
        name = f"argument_{placeholder[1]}"
        if named[name] is None:
            return "NULL"
        return f"ARRAY[:{name}]" if named[name] == [RANDOM_ID] else f":{name}"

    variables = {name: _text(value) for name, value in named.items() if value is not None and value != [RANDOM_ID]}
    return _PLACEHOLDER.sub(reference, text), variables


def _text(value: object) -> str:
    """A value as PostgreSQL reads it from text; the first and the last moment are asyncpg's infinities."""
    if isinstance(value, datetime):
        return {MAXYEAR: "infinity", MINYEAR: "-infinity"}.get(value.year, value.isoformat())
    if isinstance(value, list | tuple):
        return array_literal(None if element is None else str(element) for element in value)
    return str(value)


def _without_colons(literal: str) -> str:
    if ":" not in literal:
        return literal
    return "E" + literal.replace("\\", "\\\\").replace(":", "\\x3a")


def connection_variables(url: str) -> dict[str, str]:
    """libpq's variables for a URL: a password on a command line is seen by everybody."""
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        raise BenchmarkError("the database's address names no host and port")
    return {
        "PGHOST": parts.hostname,
        "PGPORT": str(parts.port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.removeprefix("/"),
    }
