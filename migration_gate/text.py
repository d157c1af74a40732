"""The verdict for people."""

from migration_gate.status import SchemaStatus


def as_text(status: SchemaStatus) -> str:
    """A few lines: the verdict, what was seen, what caused it, what mends it."""
    lines = [f"{status.state}: {'traffic may flow' if status.servable else 'no traffic'}", f"  {status.evidence}"]
    if status.servable and not status.statements_proven:
        lines.append("  judged by the revisions alone: no statement of the application was tried, nor its role")
    if status.missing:
        lines.append(f"  not applied: {', '.join(status.missing)}")
    if status.cause:
        lines.append(f"  Caused by: {status.cause}")
    if status.solution:
        lines.append(f"  Solution:  {status.solution}")
    return "\n".join(lines)
