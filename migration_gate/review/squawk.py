"""squawk, the SQL linter: run on the exact SQL of revisions, its answers turned into findings.

Nothing but the command line configures it. A `.squawk.toml` could switch a rule off for everybody without a
reason; `-- squawk-ignore` beside a statement and `# gate: allow` in a migration are seen by whoever reviews it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migration_gate.errors import MigrationGateError
from migration_gate.review.findings import Finding, Level
from migration_gate.review.rendered import Statement
from migration_gate.review.rewrites import rewrite_for
from migration_gate.review.squawk_rules import DECISIONS, LOCK_TIMEOUT, OFF, SAYS_LESS, Decision
from migration_gate.review.subject import Subject
from migration_gate.sql_changes import Change, changes_in, statements_of_block
from migration_gate.sql_text import blank

_END = "\n;\n"


def squawk_binary() -> str:
    """Where squawk is: beside this Python, or on PATH.

    Raises
    ------
    MigrationGateError: it is not installed.
    """
    beside = Path(sys.executable).parent / "squawk"
    found = str(beside) if beside.is_file() else shutil.which("squawk")
    if found is None:
        raise MigrationGateError(
            "squawk is not installed, and lint reads SQL with it.",
            solution="pip install 'migration-gate[review]'   (or: pip install squawk-cli)",
        )
    return found


@dataclass(frozen=True)
class _Part:
    """Statements of a revision that all run in a transaction, or all outside; each with the line it begins at."""

    subject: Subject
    statements: tuple[Statement, ...]

    @property
    def text(self) -> str:
        return "".join(statement.sql + _END for statement in self.statements)

    def place(self, line: int, column: int) -> tuple[Statement, int]:
        """The statement at a line of the text (from 0), and how many characters into it the column is."""
        for statement in self.statements:
            height = (statement.sql + _END).count("\n")
            if line < height:
                rows = statement.sql.split("\n")
                return statement, sum(len(row) + 1 for row in rows[:line]) + column
            line -= height
        return self.statements[-1], 0


def squawk_findings(
    subjects: Iterable[Subject], *, pg_version: str | None = None, env_bounds_locks: bool = True
) -> list[Finding]:
    """What squawk says of the revisions' statements, but for what was decided to be left out.

    Parameters
    ----------
    pg_version: the server's, such as `16` or `16.4`; otherwise squawk's own default.
    env_bounds_locks: whether env.py sets lock_timeout, as `migration_gate.environment.run` does.

    Raises
    ------
    MigrationGateError: squawk is missing or fails.
    """
    off = [*OFF, *([LOCK_TIMEOUT] if env_bounds_locks else [])]
    found: list[Finding] = []
    subjects = list(subjects)
    for transactional in (True, False):
        parts = [
            _Part(subject, statements)
            for subject in subjects
            if (statements := tuple(_to_read(subject, transactional)))
        ]
        violations = _run([part.text for part in parts], transactional, off, pg_version) if parts else []
        for index, part in enumerate(parts):
            found.extend(_findings(part, [each for at, each in violations if at == index]))
    return found


def _to_read(subject: Subject, transactional: bool) -> Iterator[Statement]:
    """A revision's statements, and what DO blocks do to the schema: squawk does not look into them."""
    for statement in subject.rendered.statements:
        if statement.transactional is transactional:
            yield statement
            inside = statements_of_block(statement.sql) if re.match(r"\s*DO\b", blank(statement.sql), re.I) else ()
            for sql in inside:
                changes = tuple(changes_in(sql))
                if changes and not any(change.moves_data for change in changes):
                    yield Statement(sql, statement.line, transactional, changes)


def _run(
    texts: Sequence[str], transactional: bool, off: Iterable[str], pg_version: str | None
) -> list[tuple[int, dict[str, Any]]]:
    with tempfile.TemporaryDirectory(prefix="migration-gate-lint-") as folder:
        files = [Path(folder) / f"{index}.sql" for index in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            file.write_text(text, encoding="utf-8")
        (empty := Path(folder) / "squawk.toml").touch()
        mode = "--assume-in-transaction" if transactional else "--no-assume-in-transaction"
        command = [squawk_binary(), "--reporter=json", f"--config={empty}", mode, f"--exclude={','.join(off)}"]
        command += [f"--pg-version={pg_version}"] if pg_version else []
        done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False, cwd=folder)
    try:
        answer = json.loads(done.stdout or "null")
    except ValueError:
        answer = None
    if not isinstance(answer, list):
        said = (done.stderr or done.stdout).strip()
        raise MigrationGateError(f"squawk failed with status {done.returncode}: {said}")
    return [(int(Path(each["file"]).stem), each) for each in answer]


def _findings(part: _Part, violations: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    placed = []
    for each in violations:
        statement, offset = part.place(each["line"], each["column"])
        placed.append((each, statement, offset, _change_at(statement, offset)))
    said = {(each["rule_name"], id(change)) for each, _, _, change in placed}
    seen = set()
    for each, statement, offset, change in placed:
        rule = each["rule_name"]
        decision = DECISIONS.get(rule, Decision(Level.WARNING, each["message"]))
        more = {better for better, less in SAYS_LESS.items() if less == rule}
        if any((better, id(change)) in said for better in more) or (rule, id(change), statement.line) in seen:
            continue
        if rule == "prefer-bigint-over-int" and not _is_id(statement.sql, offset):
            continue
        if change is not None and _is_in_order(part.subject, rule, decision, change):
            continue
        seen.add((rule, id(change), statement.line))
        yield _finding(part.subject, rule, decision, statement, change)


def _finding(subject: Subject, rule: str, decision: Decision, statement: Statement, change: Change | None) -> Finding:
    message = decision.says
    if rule == "constraint-missing-not-valid" and change is not None and change.verb == "validate constraint":
        message = (
            "{name} is validated in the transaction that adds it: the lock that adding takes is held while every"
            " row of {on} is read, and all that time writes wait."
        )
    named = message.replace("{on}", change.on if change else "the table")
    named = named.replace("{name}", (change.name or change.on) if change else "it")
    advice, rewrite = rewrite_for(change, subject) if change is not None and decision.level is Level.ERROR else ("", ())
    return subject.finding(rule, decision.level, named, at=statement, advice=advice, rewrite=rewrite)


def _change_at(statement: Statement, offset: int) -> Change | None:
    """The change that a place in a statement belongs to: the last that begins before it."""
    best, begin = (statement.changes[0] if statement.changes else None), 0
    for change in statement.changes:
        # Of two that share their words (a column that is unique), the first is the whole.
        if begin < (start := statement.sql.find(change.text)) <= offset:
            best, begin = change, start
    return best


def _is_in_order(subject: Subject, rule: str, decision: Decision, change: Change) -> bool:
    """Whether what squawk says of statements in general does not hold for this one."""
    if decision.concerns in {"locks", "readers"} and change.on in subject.created:
        return True
    if decision.declarable and subject.names_older_code:
        return True
    if rule == "adding-not-nullable-field":
        return subject.proves_not_null(change)
    if rule == "renaming-table":
        # A view under the old name keeps old code working.
        return any(
            each.verb in {"create view", "replace view"} and each.on == change.on for each in subject.rendered.changes
        )
    return rule == "renaming-object" and change.verb == "rename index"


def _is_id(sql: str, offset: int) -> bool:
    """Whether the type at a place is that of a column that looks like an id."""
    code = blank(sql)
    begin = max(code.rfind(",", 0, offset), code.rfind("(", 0, offset), code.lower().rfind("column", 0, offset) + 5) + 1
    end = code.find(",", offset)
    definition = code[begin : end if end >= 0 else len(code)]
    name = definition.split()[0].strip('"').lower() if definition.split() else ""
    keyed = re.search(r"PRIMARY\s+KEY|IDENTITY|\bserial\b", definition, re.IGNORECASE)
    return name == "id" or name.endswith("_id") or keyed is not None
