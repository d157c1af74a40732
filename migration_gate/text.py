"""The verdict for people."""

from migration_gate.findings import Finding
from migration_gate.status import SchemaStatus

# How many revisions a line names before it says how many there are.
MOST_LISTED = 8


def as_text(status: SchemaStatus) -> str:
    """A few lines: the verdict, what was seen, what caused it, what mends it; and what else was found."""
    lines = [f"{status.state}: {'traffic may flow' if status.servable else 'no traffic'}", f"  {status.evidence}"]
    if status.override is not None:
        told = f"{status.override.by}, until {status.override.until:%Y-%m-%d %H:%M %Z}: {status.override.reason}"
        lines.append(f"  let through on the word of {told}")
    if status.rung is not None:
        lines.append(f"  the attempt ended at: {status.rung}")
    lines += _runs(status)
    if status.servable and not status.statements_proven:
        lines.append("  judged by the revisions alone: no statement of the application was tried, nor its role")
    if status.missing:
        lines.append(f"  not applied: {_listed(status.missing)}")
    lines += _mending(status.cause, status.solution)
    for finding in status.findings:
        if finding.state is not status.state:
            lines += _also(finding, status.evidence)
    return "\n".join(lines)


def _runs(status: SchemaStatus) -> list[str]:
    """Who migrates now; else how the last run ended, where it did not succeed."""
    if status.running is not None:
        run = status.running
        at_work = f", at revision {run.revision}" if run.revision else ""
        since = f"{run.started_at:%Y-%m-%d %H:%M:%S %Z}"
        return [f"  {run.name} is migrating since {since}: {run.done} of {run.planned} revisions done{at_work}"]
    last = status.last_run
    if last is None or last.result == "succeeded":
        return []
    why = f": {last.error}" if last.error else ""
    return [f"  the last run ({last.command}, {last.started_at[:19].replace('T', ' ')}) {_ENDED[last.result]}{why}"]


_ENDED = {"failed": "failed", "abandoned": "was killed before its end"}


def _listed(revisions: tuple[str, ...]) -> str:
    if len(revisions) <= MOST_LISTED:
        return ", ".join(revisions)
    return f"{len(revisions)} revisions, from {revisions[0]} to {revisions[-1]}"


def _also(finding: Finding, told: str) -> list[str]:
    # The place on the graph, with which each evidence begins, has been told.
    said = told.split("; ")
    evidence = "; ".join(part for part in finding.evidence.split("; ") if part not in said)
    return ["", f"also {finding.state}:", f"  {evidence}", *_mending(finding.cause, finding.solution)]


def _mending(cause: str, solution: str) -> list[str]:
    lines = [f"  Caused by: {cause}"] if cause else []
    return [*lines, f"  Solution:  {solution}"] if solution else lines
