"""Deployments of real releases on real parts: what is switched, what is refused, what is taken back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests import plain_http
from tests.deployments.rig import Rig, UnderLoad, finished
from tests.deployments.trees import (
    ENDS_AT_ONCE,
    LISTS_FAIL,
    NEVER_READY,
    NEW_TASKS_FAIL,
    Migration,
    add_column,
    drop_column,
)
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(600)


def test_two_good_deployments_and_a_bad_one_lose_no_request(rig: Rig, served: str) -> None:
    good = [rig.releases.release(f"good {number}", add_column(f"good_{number}")) for number in (1, 2)]
    bad = rig.releases.release("answers 500", add_column("good_3"), **NEW_TASKS_FAIL)

    with UnderLoad(rig.url, 20) as load:
        done = [rig.order("deploy", each.commit) for each in good]
        last = rig.order("deploy", bad.commit)

    assert [(each.code, each.record["result"]) for each in done] == [(0, "succeeded")] * 2, done
    assert (last.code, last.record["result"]) == (6, "rolled_back")
    assert "POST /tasks answered 500 internal_error instead of 201" in last.record["reason"]
    assert rig.version() == good[1].commit
    assert load.lost_by_a_switch == {}
    assert load.tally["sent"] > 200
    assert {step["slot"] for step in done[0].steps("drain")} == {"slot1", "slot2"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (NEVER_READY, "the replica is not ready, not ready after 30 s: /readyz answers 503"),
        (ENDS_AT_ONCE, "the replica ended with code 1 before it was ready"),
    ],
    ids=["never_ready", "ends_at_once"],
)
def test_a_release_that_does_not_come_up_never_gets_a_request(
    rig: Rig, served: str, fault: dict[str, str], reason: str
) -> None:
    done = rig.order("deploy", rig.releases.release("does not come up", **fault).commit)

    assert (done.code, done.record["result"]) == (6, "rolled_back")
    assert reason in done.record["reason"]
    assert done.record["evidence"]
    assert done.steps("switch") == []
    assert rig.version() == served


def test_a_release_that_fails_where_no_probe_looks_is_found_by_its_errors(rig: Rig, served: str) -> None:
    bad = rig.releases.release("fails under load", **LISTS_FAIL)

    with UnderLoad(rig.url, 40):
        done = rig.order("deploy", bad.commit)

    assert done.record["result"] == "rolled_back"
    assert "errors rise" in done.record["reason"]
    assert any("a fault of this release alone" in line for line in done.record["evidence"])
    assert [step["slot"] for step in done.steps("switch it back in")] == ["slot1"] or done.steps("switch it back in")
    assert rig.version() == served


def test_a_contracting_migration_that_the_running_release_cannot_live_with_is_refused(rig: Rig, served: str) -> None:
    expand = rig.releases.release("adds", add_column("in_use"))
    assert rig.order("deploy", expand.commit).code == 0
    drop = drop_column("in_use", "text")
    contract = Migration(("# gate: allow ban-drop-column because this is a test", *drop.upgrade), drop.downgrade)

    # Nobody has proven that older code can do without it, so the ledger says that none can.
    done = rig.order("deploy", rig.releases.release("takes it away too soon", contract).commit)

    assert (done.code, done.record["result"]) == (5, "refused"), done
    assert f"take away what {expand.commit[:12]}, which serves now, still needs" in done.record["reason"]
    assert "do it in two deployments" in done.record["reason"]
    assert done.steps("migrate") == []
    assert plain_http.get(f"{rig.url}/tasks").status_code == 200


def test_lint_stops_a_dangerous_migration_before_anything_is_touched(rig: Rig, served: str) -> None:
    dangerous = Migration(
        ('op.execute("CREATE INDEX dangerous_idx ON tasks (title)")',), ('op.execute("DROP INDEX dangerous_idx")',)
    )

    done = rig.order("deploy", rig.releases.release("dangerous", dangerous).commit)

    assert (done.code, done.record["result"]) == (5, "refused")
    assert "migration-gate lint has found what would lock or break something" in done.record["reason"]
    assert done.steps("check") == []


def test_a_way_back_that_the_ledger_calls_incompatible_is_refused_and_the_other_is_taken(rig: Rig, served: str) -> None:
    expand = rig.releases.release("adds", add_column("soon_gone"))
    contract = rig.releases.release(
        "takes away what nobody uses",
        Migration(
            ("# gate: allow ban-drop-column because nobody uses it", *drop_column("soon_gone", "text").upgrade),
            drop_column("soon_gone", "text").downgrade,
        ),
        declared=f'gate_minimum_code = "{expand.revision}"',
    )
    for each in (expand, contract):
        done = rig.order("deploy", each.commit)
        assert done.code == 0, done

    refused = rig.order("rollback", served)
    back = rig.order("rollback")

    assert (refused.code, refused.record["result"]) == (5, "refused")
    assert "ahead_incompatible" in refused.record["reason"]
    assert "Roll forward instead" in refused.record["reason"]
    assert back.code == 0, back
    assert rig.version() == expand.commit


def test_what_is_no_release_is_refused_in_words(rig: Rig, served: str) -> None:
    unknown, same = rig.order("deploy", "no-such-branch"), rig.order("deploy", served)

    assert (unknown.code, same.code) == (5, 5)
    assert "git knows no 'no-such-branch'" in unknown.record["reason"]
    assert "serves already" in same.record["reason"]


def test_people_get_a_table_and_machines_json(rig: Rig, served: str) -> None:
    done = finished(rig.begin("deploy", served))
    table = run_stack("deployments", "--data", f"{rig.data}")
    told = json.loads(run_stack("deployments", "--data", f"{rig.data}", "--json"))

    assert "find the release: failed" in done.errors
    assert "refused" in done.errors
    assert "success over the last" in table
    assert told[-1]["result"] == "refused"
    assert f"deployment {told[-1]['id']}: deploy" in run_stack(
        "deployments", "--data", f"{rig.data}", "--steps", f"{told[-1]['id']}"
    )


def run_stack(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stack", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout
