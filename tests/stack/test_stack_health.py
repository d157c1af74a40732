"""Reading /health, of which each part may be missing."""

import json

import pytest

from stack.health import Health, read_health


@pytest.mark.parametrize("body", ["", "no JSON", "[]", "null", "{}", '{"checks": 1}', '{"checks": {"schema": []}}'])
def test_what_is_no_health_tells_nothing(body: str) -> None:
    health = read_health(body)
    assert health == Health()
    assert health.describe() == ""
    assert health.why_waiting_is_vain() == ""


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        ({"schema": {"status": "ok", "state": "current"}}, ""),
        ({"schema": {"state": "behind"}}, "not ready: behind"),
        ({"schema": {"cause": "Not applied.", "migration": "failed"}}, "not ready: Not applied. (migration: failed)"),
        ({"database": {"status": "fail", "detail": "not checked yet"}, "schema": {"state": "unreachable"}}, ""),
        ({"database": {"status": "fail"}}, "not ready: the database: it cannot be used"),
        (
            {"database": {"detail": "no route"}, "schema": {"state": "unreachable", "cause": "No session."}},
            "not ready: the database: no route",
        ),
    ],
)
def test_the_cause_is_told_in_one_line(checks: dict[str, object], line: str) -> None:
    assert read_health(json.dumps({"checks": checks})).describe() == line


def test_a_long_cause_is_cut() -> None:
    line = Health(database_fault="word " * 100, migration="waiting").describe()
    assert len(line) < 300
    assert line.endswith(" … (migration: waiting)")


def test_every_alembic_in_the_solution_can_be_typed() -> None:
    health = Health(
        schema_fault="unversioned", solution="record it: alembic stamp REVISION; then: alembic upgrade head"
    )
    assert health.what_to_do("A=b .venv/bin/alembic") == (
        "record it: A=b .venv/bin/alembic stamp REVISION; then: A=b .venv/bin/alembic upgrade head"
    )
    assert health.what_to_do(None) == health.solution


def test_a_database_that_cannot_be_used_is_not_to_be_migrated() -> None:
    assert Health(database_fault="no route").what_to_do("alembic") == ""
