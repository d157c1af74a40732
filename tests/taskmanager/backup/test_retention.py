"""Which backups may go, and that the one which somebody will need stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmanager.backup.history import History
from taskmanager.backup.manifest import Manifest, Outcome, Verification
from taskmanager.backup.retention import Retention, superfluous
from taskmanager.backup.roles import DatabaseFacts, Roles

NOW = datetime(2026, 11, 28, tzinfo=UTC)
_ROLES = Roles((), DatabaseFacts("owner", "UTF8", "C", "C", "b", (), ()))
_ANY = Manifest(
    "x", NOW, 1.0, "tasks", "18.6", 18, "18.6", 18, "0", {}, History((), 0, None, 0, 0), "current", (), {}, _ROLES, (),
    Verification(Outcome.VERIFIED, NOW),
)  # fmt: skip
V, F, N = Outcome.VERIFIED, Outcome.FAILED, Outcome.NOT_TRIED


def made(*outcomes: Outcome) -> list[Manifest]:
    """One a day, the newest of today, named by its age in days."""
    return [
        replace(_ANY, name=str(age), made_at=NOW - timedelta(days=age), verification=Verification(outcome, NOW))
        for age, outcome in enumerate(outcomes)
    ]


@pytest.mark.parametrize(
    ("outcomes", "keep", "days", "gone"),
    [
        ((V, V, V, V), None, None, []),
        ((V, V, V, V), 2, None, ["2", "3"]),
        ((V, V, V, V), None, 2, ["2", "3"]),
        # Both: what either keeps stays.
        ((V, V, V, V), 1, 3, ["3"]),
        ((V, V, V, V), 3, 1, ["3"]),
        # The newest verified one stays whatever the numbers say.
        ((N, N, N, V), 1, None, ["1", "2"]),
        ((F, N, F, V), 1, None, ["0", "2"]),
        # A failed one does not count among the newest.
        ((V, F, V, V), 2, None, ["1", "3"]),
        # None verified: the newest that is not bad stays, and nothing that failed goes.
        ((N, N, N), 1, None, ["1", "2"]),
        ((F, F), 1, None, []),
        ((F, N, N), None, 1, ["2"]),
        ((), 1, 1, []),
    ],
)
def test_what_goes(outcomes: tuple[Outcome, ...], keep: int | None, days: int | None, gone: list[str]) -> None:
    assert superfluous(made(*outcomes), Retention(keep, days), NOW) == gone


@given(
    st.lists(st.sampled_from(list(Outcome)), max_size=12),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 5),
)
def test_the_newest_verified_one_never_goes_nor_does_everything(
    outcomes: list[Outcome], keep: int | None, days: int | None
) -> None:
    backups = made(*outcomes)

    gone = superfluous(backups, Retention(keep, days), NOW)

    newest = next((backup.name for backup in backups if backup.verified), None)
    assert newest not in gone
    assert not backups or len(gone) < len(backups)
    assert keep or days or not gone
