"""The exact SQL of every revision, from Alembic's offline mode through the project's own env.py.

One run of env.py renders all of them: each revision's `upgrade()` is called by itself, so that branches,
merges, several heads and dependencies make no difference, and what Alembic adds for its version table is left
out. While a statement is written, the stack tells which line of the migration file it comes from.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from sqlalchemy.types import NullType

from migration_gate.environment import DESCRIBE_ATTRIBUTE, Environment
from migration_gate.errors import MigrationGateError
from migration_gate.review.pointed import pointed_at
from migration_gate.review.statement_lines import batches_queued, calls_within, line_in, lines_of
from migration_gate.sql_changes import Change, changes_in
from migration_gate.sql_text import statements_in

# An env.py that insists on an address gets one that leads nowhere: reading migrations touches no database.
NOWHERE = "postgresql://lint@lint.invalid/lint"


@dataclass(frozen=True)
class Statement:
    """One SQL statement, the line of the migration file it comes from, and whether it runs in a transaction."""

    sql: str
    line: int
    transactional: bool
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Rendered:
    """A revision's `upgrade()` as SQL, in order.

    `fault` is what stopped it where it needs a database to go on, with the line; `statements` are those before.
    """

    id: str
    parents: tuple[str, ...]
    path: Path
    statements: tuple[Statement, ...]
    module: ModuleType
    fault: str | None = None
    fault_line: int = 1

    @property
    def changes(self) -> list[Change]:
        return [change for statement in self.statements for change in statement.changes]


class _Recorder(io.TextIOBase):
    """Alembic's output buffer, which asks the stack who writes."""

    def __init__(self) -> None:
        self.file = ""
        self.source = ""
        self.transactional = True
        self.doubles_percents = False
        self.queued_line: int | None = None
        self.statements: list[Statement] = []

    def begin(self, file: str) -> None:
        self.file, self.transactional, self.queued_line, self.statements = file, True, None, []
        self.source = Path(file).read_text(encoding="utf-8")

    def write(self, text: str) -> int:
        here = sys._getframe(1)
        writers = {frame.f_code.co_name for frame in calls_within(here)} & {"emit_begin", "emit_commit"}
        if writers:
            # An autocommit block ends the transaction and begins another after it.
            self.transactional = "emit_begin" in writers
        else:
            # Drivers that take parameters as %s have every other % doubled for them.
            statements = statements_in(text.replace("%%", "%") if self.doubles_percents else text)
            call = self.queued_line or line_in(self.file, here) or 1
            for sql, line in zip(statements, lines_of(statements, call, self.source), strict=True):
                self.statements.append(Statement(sql, line, self.transactional, tuple(changes_in(sql))))
        return len(text)

    def queued(self, line: int | None) -> None:
        self.queued_line = line


def render_all(config: Config) -> Mapping[str, Rendered]:
    """Every revision's SQL by its id, parents before children.

    Raises
    ------
    MigrationGateError: env.py does not run in Alembic's offline mode.
    """
    config = copy.copy(config)
    recorder = _Recorder()
    config.output_buffer = recorder  # type: ignore[assignment]
    with _nowhere():
        scripts = ScriptDirectory.from_config(config)
        ordered = list(reversed(list(scripts.walk_revisions("base", "heads"))))
        rendered: dict[str, Rendered] = {}

        def render(_: Any, migration: MigrationContext) -> list[Any]:
            recorder.doubles_percents = getattr(migration.dialect.identifier_preparer, "_double_percents", False)
            for script in ordered:
                rendered[script.revision] = _render(script, recorder)
            return []

        offline = EnvironmentContext(
            config, scripts, fn=render, as_sql=True, starting_rev="base", destination_rev="heads", dont_mutate=True
        )
        _run(scripts, offline)
    if ordered and not rendered:
        raise MigrationGateError(
            "alembic/env.py ran no migrations in Alembic's offline mode.",
            solution="let env.py end in migration_gate.environment.run(metadata), or see that "
            "`alembic upgrade head --sql` prints SQL",
        )
    return rendered


def described(config: Config, *, application: str = NOWHERE) -> Environment | None:
    """What env.py says of its project, or None where it does not go through `migration_gate.environment.run`.

    Parameters
    ----------
    application: what DATABASE_URL is meanwhile; MIGRATION_DATABASE_URL is `NOWHERE`.
    """
    config = copy.copy(config)
    found: list[Environment] = []
    config.attributes = {**config.attributes, DESCRIBE_ATTRIBUTE: found.append}
    config.output_buffer = io.StringIO()
    with _nowhere(application):
        scripts = ScriptDirectory.from_config(config)
        _run(scripts, EnvironmentContext(config, scripts, fn=lambda *_: [], as_sql=True, dont_mutate=True))
    return found[0] if found else None


def _run(scripts: ScriptDirectory, environment: EnvironmentContext) -> None:
    try:
        with environment:
            scripts.run_env()
    except Exception as error:
        raise MigrationGateError(
            f"{scripts.env_py_location} does not run in Alembic's offline mode: {type(error).__name__}: {error}",
            solution="see what `alembic upgrade head --sql` says",
        ) from error


def _render(script: Script, recorder: _Recorder) -> Rendered:
    file = str(script.module.__file__)
    recorder.begin(file)
    fault, line = None, 1
    try:
        with _values_speak_for_themselves(), batches_queued(lambda: file, recorder.queued):
            script.module.upgrade()
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a migration does without its database is a finding
        fault = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        trace = error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == file else line
            trace = trace.tb_next
    return Rendered(
        id=script.revision,
        parents=tuple(sorted(script._all_down_revisions)),
        path=Path(script.path),
        statements=tuple(recorder.statements),
        module=script.module,
        fault=fault,
        fault_line=line,
    )


@contextmanager
def _values_speak_for_themselves() -> Iterator[None]:
    """Let `sa.column("name")`, which has no type, be written with a value: online a driver needs none either."""

    def literal(_: NullType, __: Any) -> Any:
        return lambda value: str(value) if isinstance(value, (int, float)) else _quoted(str(value))

    untyped = NullType.literal_processor
    NullType.literal_processor = literal  # type: ignore[method-assign]
    try:
        yield
    finally:
        NullType.literal_processor = untyped  # type: ignore[method-assign]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _nowhere(application: str = NOWHERE) -> Iterator[None]:
    """No database within reach, nothing on stdout, which is the report's, and no chatter of Alembic's."""
    addresses = pointed_at(NOWHERE, application)
    before = {name: os.environ.get(name) for name in addresses}
    disabled = logging.root.manager.disable
    os.environ.update(addresses)
    logging.disable(logging.INFO)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logging.disable(disabled)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
