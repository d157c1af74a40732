"""Which backups may go. Pure: it is told what there is and says what is too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskmanager.backup.manifest import Manifest, Outcome


@dataclass(frozen=True)
class Retention:
    """Keep the newest `keep`, and all that are younger than `days` days; None keeps for ever.

    The newest verified one stays whatever these say; while none is verified, the newest that was not found bad. One
    that was tried and failed does not count among the newest.
    """

    keep: int | None = None
    days: int | None = None


def superfluous(backups: Sequence[Manifest], retention: Retention, now: datetime) -> list[str]:
    """The names of those that may go.

    Parameters
    ----------
    backups: newest first.
    """
    if retention.keep is None and retention.days is None:
        return []
    verified = next((backup.name for backup in backups if backup.verified), None)
    kept: set[str] = set() if verified is None else {verified}
    sound = [backup for backup in backups if backup.verification.outcome is not Outcome.FAILED]
    kept |= {backup.name for backup in sound[: retention.keep or 0]}
    if retention.days is not None:
        youngest = now - timedelta(days=retention.days)
        kept |= {backup.name for backup in backups if backup.made_at > youngest}
    if verified is None:
        # Whether any of them can be restored is not known; of those not tried the newest say as much as the older.
        kept |= {backup.name for backup in backups if backup.verification.outcome is Outcome.FAILED}
        kept |= {sound[0].name} if sound else set()
    return [backup.name for backup in backups if backup.name not in kept]
