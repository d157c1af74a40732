"""What lint and the rehearsal tell before a release: models without a migration, long locks, breaks of older code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.migration_gate.failures.ferries import LEAVES_INDEX, Ferries, told
from tests.migration_gate.failures.mending import commands_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.review.linted import released
from tests.migration_gate.scratch import succeed

DECK = "aa01"
_ROWS = 20_000


def _linted(ferries: Ferries, rule: str, *arguments: str) -> dict[str, Any]:
    """What lint finds with this rule in what is new since the last release."""
    done = ferries.gate("lint", "--since", "HEAD", "--format", "json", *arguments)
    assert done.returncode == 5, told(done)
    found = [each for each in json.loads(done.stdout)["findings"] if each["rule"] == rule]
    assert found, done.stdout
    finding: dict[str, Any] = found[0]
    return finding


def _paste(ferries: Ferries, rewrite: list[dict[str, str]]) -> None:
    """Write each step that lint prints as a revision of its own, in the place of the one that it is about."""
    ferries.path(DECK).unlink()
    parent = LEAVES_INDEX
    for number, step in enumerate(rewrite):
        id_ = f"step{number}"
        head = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {id_!r}\ndown_revision = {parent!r}\n\n"
        ferries.path(id_).write_text(head + step["code"])
        parent = id_


def _assert_accepted(ferries: Ferries, rule: str) -> None:
    succeed(ferries.gate("lock"))
    done = ferries.gate("lint", "--since", "HEAD", "--format", "json")
    assert rule not in {each["rule"] for each in json.loads(done.stdout)["findings"]}, done.stdout


def _rehearse(ferries: Ferries) -> dict[str, Any]:
    elsewhere = ferries.database.admin_url.rsplit("/", 1)[0] + "/postgres"
    done = ferries.gate("rehearse", "--json", "--scratch-url", elsewhere)
    assert done.returncode == 5, told(done)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_12_models_that_changed_without_a_migration(under_way: Ferries) -> None:
    released(under_way)
    under_way.models('    sa.Column("deck", sa.Text),\n')
    scratch = ("--scratch-url", under_way.database.admin_url)

    finding = _linted(under_way, "models-differ", *scratch)

    assert "add_column" in finding["statement"]
    assert "'deck'" in finding["statement"]
    # After the deploy the same is told by the statements.
    assert ask(under_way).code == "statement_broken"

    program, *arguments = commands_in(finding["advice"])[0]
    assert program == "alembic"
    succeed(under_way.alembic(*arguments))
    assert "models-differ" not in under_way.gate("lint", "--since", "HEAD", *scratch).stdout
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


@pytest.fixture
def busy(under_way: Ferries) -> Ferries:
    """A released project with a table that takes its time, whose size the planner knows."""
    under_way.sail(_ROWS)
    under_way.database.execute("ANALYZE ferry.sailing")
    return released(under_way)


def test_21_a_rewrite_under_access_exclusive(busy: Ferries) -> None:
    busy.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN ticket uuid DEFAULT gen_random_uuid() NOT NULL")

    finding = _linted(busy, "adding-field-with-default")
    report = _rehearse(busy)

    assert "ferry.sailing" in finding["message"]
    breach = next(each for each in report["breaches"] if each["code"] == "table_rewritten")
    assert breach["measured"] >= _ROWS
    statement = report["statements"][breach["statement"] - 1]
    assert (statement["revision"], "ADD COLUMN ticket" in statement["sql"]) == (DECK, True)

    _paste(busy, finding["rewrite"])
    _assert_accepted(busy, "adding-field-with-default")
    succeed(busy.gate("upgrade"))
    filled = "SELECT count(DISTINCT ticket) FROM ferry.sailing"
    assert busy.database.execute(filled) == [(_ROWS + 3,)]
    assert_flows(busy)


def test_21_a_scan_under_access_exclusive(busy: Ferries) -> None:
    busy.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD CONSTRAINT in_time CHECK (leaves > '1900-01-01')")

    finding = _linted(busy, "constraint-missing-not-valid")
    report = _rehearse(busy)

    assert "a lock that stops writes" in finding["message"]
    assert "table_scanned" in {each["code"] for each in report["breaches"]}

    _paste(busy, finding["rewrite"])
    _assert_accepted(busy, "constraint-missing-not-valid")
    succeed(busy.gate("upgrade"))
    valid = "SELECT convalidated FROM pg_constraint WHERE conname = 'in_time'"
    assert busy.database.execute(valid) == [(True,)]
    assert_flows(busy)


def test_22_a_backfill_in_one_statement(busy: Ferries) -> None:
    busy.sql(DECK, LEAVES_INDEX, "UPDATE ferry.sailing SET state = 'sailed' WHERE leaves < '2026-06-01'")

    finding = _linted(busy, "unbatched-backfill")

    assert "all of ferry.sailing in one transaction" in finding["message"]
    (step,) = finding["rewrite"]
    assert "gate_rerunnable = True" in step["code"]

    _paste(busy, finding["rewrite"])
    _assert_accepted(busy, "unbatched-backfill")
    succeed(busy.gate("upgrade"))
    left = "SELECT count(*) FROM ferry.sailing WHERE state <> 'sailed' AND leaves < '2026-06-01'"
    assert busy.database.execute(left) == [(0,)]
    # A transaction a thousand rows, and not one for all.
    transactions = busy.database.execute("SELECT count(DISTINCT xmin::text) FROM ferry.sailing WHERE state = 'sailed'")
    assert int(str(transactions[0][0])) >= 3
    assert_flows(busy)


def test_26_old_code_breaks_during_a_rolling_deploy(under_way: Ferries) -> None:
    released(under_way)
    assert ask(under_way).status == 200
    # One release takes away the column and its use: while it rolls out, replicas of the one before still select it.
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing DROP COLUMN state")

    finding = _linted(under_way, "ban-drop-column")
    proof = under_way.gate("upgrade")
    under_way.path(DECK).unlink()
    answer = ask(under_way)

    assert "Code of the release before that still uses it fails" in finding["message"]
    # The migrate job's proof fails as long as the old statements are the application's.
    assert proof.returncode == 4
    assert "table:ferry.sailing: column sailing.state does not exist (SQLSTATE 42703)" in proof.stderr
    assert (answer.status, answer.code) == (503, "ahead_incompatible")
    assert f"revision {DECK} (contract, " in answer.evidence
    assert "column sailing.state does not exist (SQLSTATE 42703)" in answer.evidence
    assert f"deploy a release whose migrations hold {DECK}" in answer.solution

    # That release, as lint has it: its code no longer uses the column, and its file says which code still runs.
    under_way.models(with_state=False)
    (step,) = finding["rewrite"]
    assert "gate_minimum_code = down_revision" in step["code"]
    under_way.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing DROP COLUMN state")
    under_way.assert_current()
    assert ask(under_way).status == 200


def test_26_a_contraction_that_declares_which_code_still_runs(under_way: Ferries) -> None:
    """Expand and contract, done right: the release before does not use the column any more, and keeps its traffic."""
    under_way.models(with_state=False)
    released(under_way)
    drop = "ALTER TABLE ferry.sailing DROP COLUMN state"
    under_way.sql(DECK, LEAVES_INDEX, drop)
    (step,) = _linted(under_way, "ban-drop-column")["rewrite"]
    under_way.path(DECK).unlink()
    head = f"from alembic import op\n\nrevision = {DECK!r}\ndown_revision = {LEAVES_INDEX!r}\n\n"
    under_way.path(DECK).write_text(head + step["code"])
    succeed(under_way.gate("upgrade"))

    under_way.path(DECK).unlink()

    verdict = under_way.verdict()
    assert (verdict["state"], verdict["servable"]) == ("ahead_compatible", True)
    assert ask(under_way).state == "ahead_compatible"
