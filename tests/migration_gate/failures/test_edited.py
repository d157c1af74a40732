"""Files and schemas that were changed after they were applied."""

from __future__ import annotations

from tests.migration_gate.failures.ferries import LEAVES_INDEX, QUAYS, Ferries
from tests.migration_gate.failures.mending import run_printed, solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed


def test_10_an_applied_file_that_was_edited(under_way: Ferries) -> None:
    path = under_way.path(QUAYS)
    applied = path.read_text()
    path.write_text(applied.replace("name text NOT NULL", "name text NOT NULL, tide int"))
    under_way.sql("aa01", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    before = under_way.everything()

    finding = under_way.finding("tampered")
    refused = under_way.gate("upgrade")

    assert f"{QUAYS}.py (revision {QUAYS}, applied " in finding["evidence"]
    assert refused.returncode == 3
    assert "the schema's state is tampered" in refused.stderr
    assert solution_in(refused.stderr) == finding["solution"]
    assert under_way.everything() == before

    # The file is restored, and the change goes into a new revision.
    path.write_text(applied)
    under_way.sql("bb02", "aa01", "ALTER TABLE ferry.quay ADD COLUMN tide int")
    run_printed(under_way, under_way.verdict()["solution"])
    assert_flows(under_way)


def test_10_an_edit_that_changes_nothing_in_a_database(under_way: Ferries) -> None:
    path = under_way.path(QUAYS)
    path.write_text(path.read_text().replace("code text PRIMARY KEY", "code TEXT PRIMARY KEY"))
    verdict = under_way.verdict()
    assert (verdict["state"], verdict["servable"]) == ("tampered", True)
    assert ask(under_way).status == 200

    run_printed(under_way, verdict["solution"])
    assert_flows(under_way)


def test_11_one_id_with_two_contents(under_way: Ferries) -> None:
    """Two branches each wrote a revision 025; the database has the other branch's."""
    path = under_way.sql("025", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    succeed(under_way.gate("upgrade"))
    path.unlink()
    under_way.sql("025", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN pier text")
    under_way.models('    sa.Column("pier", sa.Text),\n')
    before = under_way.everything()

    finding = under_way.finding("tampered")
    upgraded = under_way.gate("upgrade")
    answer = ask(under_way)

    # Alembic sees nothing to do, since the ids are the same. The ledger's checksum tells, and so do the statements.
    assert "025.py (revision 025, applied " in finding["evidence"]
    assert finding["solution"].startswith("restore the file")
    assert (answer.status, answer.code) == (503, "statement_broken")
    assert "column sailing.pier does not exist" in answer.evidence
    assert under_way.everything() == before
    assert upgraded.returncode == 3, upgraded.stdout + upgraded.stderr

    # The file that was applied is restored, and the change goes into a new revision.
    under_way.sql("025", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    under_way.sql("026", "025", "ALTER TABLE ferry.sailing ADD COLUMN pier text")
    run_printed(under_way, under_way.verdict()["solution"])
    assert_flows(under_way)


def test_13_a_schema_that_was_changed_by_hand(under_way: Ferries) -> None:
    under_way.database.execute("ALTER TYPE ferry.sailing_state ADD VALUE 'cancelled'")
    under_way.database.execute("DROP INDEX ferry.sailing_leaves")
    under_way.sql("aa01", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    before = under_way.everything()

    finding = under_way.finding("drifted")
    refused = under_way.gate("upgrade")

    assert "index ferry.sailing.sailing_leaves is gone" in finding["evidence"]
    assert "type ferry.sailing_state was planned, sailed and is planned, sailed, cancelled" in finding["evidence"]
    assert refused.returncode == 3
    assert "the schema's state is drifted" in refused.stderr
    assert solution_in(refused.stderr) == finding["solution"]
    assert under_way.everything() == before

    # One change is undone; the other, which cannot be, is taken as it is.
    under_way.database.execute("CREATE INDEX sailing_leaves ON ferry.sailing (leaves)")
    run_printed(under_way, finding["solution"])
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


def test_13_traffic_flows_with_a_warning_on_a_schema_that_drifted(under_way: Ferries) -> None:
    under_way.database.execute("ALTER TABLE ferry.quay ADD COLUMN tide int")

    status = under_way.gate("status")

    assert status.returncode == 0
    assert status.stdout.startswith("drifted: traffic may flow")
    assert "column ferry.quay.tide was added: integer" in status.stdout
    assert ask(under_way).status == 200

    # Undone, and nobody has to say so.
    under_way.database.execute("ALTER TABLE ferry.quay DROP COLUMN tide")
    assert_flows(under_way)
