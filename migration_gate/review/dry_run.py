"""`migration-gate upgrade --dry-run`: what an upgrade would do, and whether it would be refused. Touches nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from alembic.config import Config

from migration_gate.review.rendered import Rendered, render_all
from migration_gate.status import SchemaStatus
from migration_gate.upgrade import schema_status


def dry_run(config: Config, *, as_json: bool) -> tuple[str, bool]:
    """The plan, for people as SQL with comments or as one JSON object, and whether it would be carried out.

    Raises
    ------
    DatabaseUnreachable: no session could be had, so it is not known what is missing.
    """
    status = schema_status(config)
    rendered = render_all(config)
    steps = [rendered[revision] for revision in status.missing]
    told = _as_json(status, steps) if as_json else "\n".join(_as_sql(status, steps))
    return told, status.forbids_upgrade is None


def _as_json(status: SchemaStatus, steps: Sequence[Rendered]) -> str:
    finding = status.forbids_upgrade
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
    refused = None if finding is None else asdict(finding)
    return json.dumps({"status": status.as_dict(), "plan": plan, "refused_because": refused}, indent=2)


def _as_sql(status: SchemaStatus, steps: Sequence[Rendered]) -> Iterator[str]:
    yield f"-- {status.state}: {status.evidence}"
    for number, step in enumerate(steps, 1):
        yield f"\n-- {number} of {len(steps)}: {step.id} ({step.path.name})"
        yield from (f"{statement.sql};" for statement in step.statements)
        if step.fault:
            yield f"-- the rest needs a database to be known: {step.fault}"
    finding = status.forbids_upgrade
    if finding is not None:
        yield f"\n-- it would be refused: {finding.state}: {finding.evidence}\n-- Solution: {finding.solution}"
