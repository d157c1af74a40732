"""What the pre-flight says of a release that may not be deployed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stack.deploy.errors import Refused
from stack.deploy.local_works import contracting, see_to_fresh_backup
from stack.deploy.releases import Told

RUNNING, NEW = "a" * 40, "b" * 40


def test_an_older_release_is_not_said_to_take_something_away() -> None:
    refused = contracting(RUNNING, NEW, {"state": "behind", "servable": False, "cause": "…", "evidence": "…"})

    assert f"{NEW[:12]} lacks migrations that {RUNNING[:12]}" in refused.reason
    assert f"stack rollback {NEW[:12]}" in refused.reason
    assert "two deployments" not in refused.reason


def test_a_contracting_one_names_what_breaks_and_the_two_deployments() -> None:
    broken = [{"name": "list_tasks", "message": "column tags does not exist"}]
    refused = contracting(
        RUNNING, NEW, {"state": "ahead_incompatible", "evidence": "the ledger", "broken_statements": broken}
    )

    assert "(ahead_incompatible: the ledger)" in refused.reason
    assert "do it in two deployments" in refused.reason
    assert "list_tasks: column tags does not exist" in refused.evidence


@pytest.mark.parametrize(("hours", "made"), [(23, []), (25, ["made"])])
def test_a_backup_is_made_where_the_newest_is_older_than_a_day(hours: int, made: list[str]) -> None:
    seen: list[str] = []

    def back_up() -> Told:
        seen.append("made")
        return Told(0, "", "")

    see_to_fresh_backup(datetime.now(UTC) - timedelta(hours=hours), back_up)

    assert seen == made


def test_a_backup_that_fails_is_a_reason_to_deploy_nothing() -> None:
    with pytest.raises(Refused, match="a new one failed: no space"):
        see_to_fresh_backup(datetime.now(UTC) - timedelta(days=2), lambda: Told(1, "", "no space\n"))
