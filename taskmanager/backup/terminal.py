"""What people read: a table of backups, and what became of one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from taskmanager.backup.folder import Backup
from taskmanager.backup.manifest import Manifest, Outcome
from taskmanager.backup.restoring import Report

_HEADER = ("NAME", "AGE", "SIZE", "ROWS", "SERVER", "REVISION", "VERIFIED")
_VERIFIED = {Outcome.VERIFIED: "yes", Outcome.FAILED: "FAILED", Outcome.NOT_TRIED: "not tried"}


def table(backups: Sequence[Backup], now: datetime) -> str:
    rows = [_HEADER, *(_row(backup.manifest, now) for backup in backups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(manifest: Manifest, now: datetime) -> tuple[str, ...]:
    return (
        manifest.name,
        age((now - manifest.made_at).total_seconds()),
        size(manifest.bytes),
        f"{manifest.rows:,}",
        manifest.server_version,
        ", ".join(manifest.history.revisions) or "none",
        _VERIFIED[manifest.verification.outcome],
    )


def told(backup: Backup, deleted: Iterable[str] = ()) -> str:
    """A new backup, in a few lines."""
    manifest, trial = backup.manifest, backup.manifest.verification
    revision = ", ".join(manifest.history.revisions) or "none"
    lines = [
        (
            f"{backup.path}: {size(manifest.bytes)}, {manifest.rows:,} rows of {len(manifest.tables)} tables,"
            f" revision {revision}, in {manifest.duration_s:.1f} s"
        ),
        f"  {_trial(manifest)}",
        *(f"  {problem}" for problem in trial.problems),
        *(f"  deleted: {name}" for name in deleted),
    ]
    return "\n".join(lines)


def _trial(manifest: Manifest) -> str:
    trial = manifest.verification
    if trial.outcome is Outcome.NOT_TRIED:
        return "NOT VERIFIED: nobody knows whether it can be restored"
    if trial.outcome is Outcome.FAILED:
        return "NOT A BACKUP TO RELY ON: its trial failed"
    what = ["every table as it was", f"the schema {trial.schema}"]
    what += ["owners and rights as they were"] if trial.roles else []
    who = " as the application's role" if trial.as_application else ""
    what.append(f"each statement of the service prepared{who}")
    without = "" if trial.roles else "; owners and rights were not tried, since the roles are not on that server"
    return f"verified in {trial.duration_s:.1f} s: {', '.join(what)}{without}"


def restored(backup: Backup, report: Report) -> str:
    """What became of a restore."""
    status = report.status
    took = ", ".join(f"{step} {duration_s:.1f} s" for step, duration_s in report.durations_s.items())
    lines = [f"{backup.name}: restored in {sum(report.durations_s.values()):.1f} s ({took})"]
    if report.roles_made:
        lines.append(f"  made without a password: {', '.join(report.roles_made)}; give each its own: \\password ROLE")
    lines += [f"  NOT AS IT WAS: {problem}" for problem in report.problems]
    lines += [f"  note: {remark}" for remark in report.remarks]
    if not report.problems:
        lines.append("  every table, sequence and revision is as the backup's manifest says")
    if status is not None:
        who = "as the application's role" if report.as_application else "as the role that restored"
        lines.append(f"  {status.state}, {who}: {'traffic may flow' if status.servable else 'no traffic'}")
        lines += [f"    {status.evidence}"] if not status.servable else []
        lines += [f"    {status.solution}"] if not status.servable and status.solution else []
        if status.missing:
            lines.append("    the backup is older than this code: run taskmanager migrate")
    return "\n".join(lines)


def size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def now() -> datetime:
    return datetime.now(UTC)
