"""`migration-gate upgrade --dry-run`: what an upgrade would do, and whether it would be refused. Touches nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from alembic.config import Config

from migration_gate.environment import not_through_the_gate
from migration_gate.review.rendered import Rendered, render_all
from migration_gate.status import SchemaStatus
from migration_gate.upgrade import Look, look


def dry_run(config: Config, *, as_json: bool) -> tuple[str, bool]:
    """The plan, for people as SQL with comments or as one JSON object, and whether it would be carried out.

    Raises
    ------
    DatabaseUnreachable: no session could be had, so it is not known what is missing.
    """
    seen = look(config)
    rendered = render_all(config)
    steps = [rendered[revision] for revision in seen.status.missing]
    refusal = _refusal(seen)
    told = _as_json(seen.status, steps, refusal) if as_json else "\n".join(_as_sql(seen.status, steps, refusal))
    return told, refusal is None


@dataclass(frozen=True)
class _Refusal:
    """Why nothing would be applied; `state` is None where that is not the schema's."""

    state: str | None
    evidence: str
    solution: str


def _refusal(seen: Look) -> _Refusal | None:
    if not seen.through_the_gate:
        error = not_through_the_gate()
        return _Refusal(None, error.message, error.solution)
    finding = seen.status.forbids_upgrade
    return None if finding is None else _Refusal(finding.state, finding.evidence, finding.solution)


def _as_json(status: SchemaStatus, steps: Sequence[Rendered], refusal: _Refusal | None) -> str:
    plan = [
        {
            "revision": step.id,
            "file": step.path.name,
            "statements": [
                {"sql": statement.sql, "transactional": statement.transactional} for statement in step.statements
            ],
            "unknown_until_run": step.fault,
        }
        for step in steps
    ]
    refused = None if refusal is None else asdict(refusal)
    return json.dumps({"status": status.as_dict(), "plan": plan, "refused_because": refused}, indent=2)


def _as_sql(status: SchemaStatus, steps: Sequence[Rendered], refusal: _Refusal | None) -> Iterator[str]:
    yield f"-- {status.state}: {status.evidence}"
    for number, step in enumerate(steps, 1):
        yield f"\n-- {number} of {len(steps)}: {step.id} ({step.path.name})"
        yield from (f"{statement.sql};" for statement in step.statements)
        if step.fault:
            yield f"-- the rest needs a database to be known: {step.fault}"
    if refusal is not None:
        why = f"{refusal.state}: {refusal.evidence}" if refusal.state else refusal.evidence
        yield f"\n-- it would be refused: {why}\n-- Solution: {refusal.solution}"
