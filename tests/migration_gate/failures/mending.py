"""Doing what the gate prints below `Solution:`, word for word, as a person would who copies it."""

from __future__ import annotations

import re
import shlex
import subprocess

from tests.migration_gate.failures.ferries import Ferries
from tests.migration_gate.scratch import succeed

# What a person writes in the place of a word in capitals.
_REASON = "the harbour master has looked at it"

_COMMAND = re.compile(r"""(?:alembic|migration-gate)\s(?:[^,;:"'()]|"[^"]*"|'[^']*')+""")
_NAME = r'(?:"(?:[^"]|"")+"|[\w.$])+'
_SQL = re.compile(rf"SELECT\s+pg_terminate_backend\(\d+\)|(?:REINDEX|DROP)\s+INDEX\s+CONCURRENTLY\s+{_NAME}")


def solution_in(text: str) -> str:
    """The last solution that a command printed."""
    found = re.findall(r"Solution:\s+(.+)", text)
    assert found, f"no solution is printed:\n{text}"
    return str(found[-1]).strip()


def commands_in(solution: str) -> list[list[str]]:
    """The commands of the gate and of Alembic that stand in a solution, in their order, as argument vectors."""
    return [shlex.split(command.replace("TEXT", f'"{_REASON}"')) for command in _COMMAND.findall(solution)]


def sql_in(solution: str) -> list[str]:
    """The statements that stand in a solution, in their order."""
    return [statement.strip() for statement in _SQL.findall(solution)]


def run_printed(ferries: Ferries, solution: str, *more: str, which: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one of the commands of a solution, `more` arguments behind it, and expect success."""
    commands = commands_in(solution)
    assert commands, f"no command stands in: {solution}"
    program, *arguments = commands[which]
    run = ferries.alembic if program == "alembic" else ferries.gate
    done = run(*arguments, *more)
    succeed(done)
    return done


def execute_printed(ferries: Ferries, solution: str, which: int = 0) -> str:
    """Run one of the statements of a solution as the migrator, and return it."""
    statements = sql_in(solution)
    assert statements, f"no statement stands in: {solution}"
    ferries.database.execute(statements[which])
    return statements[which]
