"""Each immediate alert tells of a fault, on real processes.

How fast is no question of a test on a busy machine: docs/alerts-proof.md has the times, and a test holds that it is
still true.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alerts import trial
from tests.alerts.fault import IMMEDIATE, Fault, Setting
from tests.alerts.faults import of_alert
from tests.alerts.rig import Laboratory, Rig

_PATIENCE = 3.0

# Of each alert a fault that a rig with two replicas behind proxies, and without clients, can have.
_ON_ONE_RIG = {
    "DatabaseUnreachable": "network_refuses",
    "SchemaNotMigrated": "an_older_version_table",
    "SchemaMismatch": "an_unknown_revision",
    "SchemaBroken": "column_taken_away_at_night",
    "ServiceDown": "killed",
    "MigrationFailed": "migration_fails",
}


def _fault(alert: str, name: str) -> Fault:
    return next(fault for fault in of_alert(alert) if fault.name == name)


@pytest.fixture(scope="module")
def rig(shared: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    setting = Setting(replicas=2, proxied=True, clients=0)
    with Rig(shared, tmp_path_factory.mktemp("rig"), setting, "") as rig:
        yield rig


@pytest.mark.parametrize(("alert", "name"), _ON_ONE_RIG.items(), ids=_ON_ONE_RIG)
def test_an_immediate_alert_tells_of_its_fault_and_of_its_end(rig: Rig, alert: str, name: str) -> None:
    rig.settle()

    outcome = trial.run_on(rig, _fault(alert, name), patience=_PATIENCE)

    assert outcome.problems == []


def test_a_database_error_is_told_while_requests_meet_it(shared: Laboratory, tmp_path: Path) -> None:
    # Its end is told half a minute later, by design: nobody is to wait for that here.
    outcome = trial.run(
        _fault("DatabaseError", "table_locked"), shared, tmp_path, seed=1, patience=_PATIENCE, until_resolved=False
    )

    assert outcome.problems == []


def test_no_immediate_alert_is_left_out() -> None:
    assert {*_ON_ONE_RIG, "DatabaseError"} == {*IMMEDIATE}
