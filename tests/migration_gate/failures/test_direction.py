"""Which way the database and the code differ: behind, ahead and compatible, ahead and not, on another branch."""

from __future__ import annotations

from tests.migration_gate.failures.ferries import HARBOURS, HISTORY, LEAVES_INDEX, SAILINGS, Ferries, told
from tests.migration_gate.failures.mending import run_printed, solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed

NEWER = "c4fe"


def test_01_migrations_not_applied(ferries: Ferries) -> None:
    succeed(ferries.alembic("upgrade", SAILINGS))

    verdict = ferries.verdict()
    answer = ask(ferries)

    assert (verdict["state"], verdict["missing"]) == ("behind", [HARBOURS, LEAVES_INDEX])
    assert f"is at {SAILINGS}, the code's head is {LEAVES_INDEX}" in verdict["evidence"]
    assert (answer.status, answer.code) == (503, "behind")
    assert ferries.gate("wait", "--timeout", "0").returncode == 3

    run_printed(ferries, verdict["solution"])
    assert_flows(ferries)


def test_01_a_database_that_was_never_migrated(ferries: Ferries) -> None:
    verdict = ferries.verdict()

    assert (verdict["state"], verdict["missing"]) == ("never_migrated", list(HISTORY))
    assert ask(ferries).code == "never_migrated"

    run_printed(ferries, verdict["solution"])
    assert_flows(ferries)


def test_02_code_rolled_back_on_a_compatible_schema(under_way: Ferries) -> None:
    newer = under_way.sql(NEWER, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    succeed(under_way.gate("upgrade", MIGRATION_GATE_RELEASE="2026.2"))
    newer.unlink()

    verdict = under_way.verdict()
    before = under_way.everything()
    upgraded = under_way.gate("upgrade")

    assert (verdict["state"], verdict["servable"], verdict["unknown"]) == ("ahead_compatible", True, [NEWER])
    assert verdict["solution"].startswith("nothing to run")
    assert ask(under_way).status == 200
    # The migrate job of the older release succeeds and touches nothing, whichever command it is.
    assert upgraded.returncode == 0, told(upgraded)
    assert "ahead of this code, which runs on it" in succeed(under_way.alembic("upgrade", "head"))
    # A downgrade would lose what was written since.
    refused = under_way.alembic("downgrade", "base")
    assert refused.returncode != 0
    assert "Nothing was touched, the schema's state is ahead_compatible" in told(refused)
    assert under_way.everything() == before

    under_way.sql(NEWER, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    assert_flows(under_way)


def _deploy_newer(ferries: Ferries) -> None:
    """The newer release: a migration that drops a column, and models that do without it."""
    ferries.models(with_state=False)
    ferries.sql(NEWER, LEAVES_INDEX, "ALTER TABLE ferry.sailing DROP COLUMN state")
    succeed(ferries.gate("upgrade", MIGRATION_GATE_RELEASE="2026.2"))


def _deploy_older_again(ferries: Ferries) -> None:
    ferries.path(NEWER).unlink()
    ferries.models()


def test_03_code_rolled_back_on_a_contracted_schema(under_way: Ferries) -> None:
    _deploy_newer(under_way)
    _deploy_older_again(under_way)

    verdict = under_way.verdict()
    before = under_way.everything()
    refused = under_way.gate("upgrade")

    assert (verdict["state"], verdict["servable"]) == ("ahead_incompatible", False)
    assert f"revision {NEWER} of release 2026.2 (contract, " in verdict["evidence"]
    assert f"deploy a release whose migrations hold {NEWER}" in verdict["solution"]
    assert ask(under_way).code == "ahead_incompatible"
    assert refused.returncode == 3
    assert under_way.everything() == before

    _deploy_newer(under_way)
    under_way.assert_current()


def test_04_a_revision_of_another_branch(under_way: Ferries) -> None:
    succeed(under_way.alembic("downgrade", HARBOURS))
    index = under_way.path(LEAVES_INDEX)
    index.rename(index.with_suffix(".main"))
    other = under_way.sql("a77e", HARBOURS, "ALTER TABLE ferry.quay ADD COLUMN berth int")
    succeed(under_way.alembic("upgrade", "a77e", MIGRATION_GATE_RELEASE="feature"))
    kept = other.rename(other.with_suffix(".branch"))
    index.with_suffix(".main").rename(index)

    verdict = under_way.verdict()
    before = under_way.everything()
    refused = under_way.gate("upgrade")

    assert (verdict["state"], verdict["unknown"]) == ("diverged", ["a77e"])
    assert "a77e was applied by migration-gate " in verdict["evidence"]
    assert "deploy code that contains this revision" in verdict["solution"]
    assert ask(under_way).code == "diverged"
    assert refused.returncode == 3
    assert solution_in(refused.stderr) == verdict["solution"]
    assert under_way.everything() == before

    # The code that contains it has two heads now, and its verdict says how that is mended.
    kept.rename(other)
    run_printed(under_way, under_way.finding("multiple_heads")["solution"])
    run_printed(under_way, under_way.verdict()["solution"])
    assert_flows(under_way)
