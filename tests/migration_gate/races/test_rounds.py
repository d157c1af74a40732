"""The race in short, and that each of its checks can fail."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from tests.migration_gate.races.bookshop import BASE, RACED
from tests.migration_gate.races.rounds import Replica, Round, violations
from tests.processes import ROOT

pytestmark = pytest.mark.timeout(400)

WORKER = Replica(0, asked=10.0, got=10.0, spared=None, left=12.0, output="migration run begins: upgrade")
WAITER = Replica(0, asked=10.0, got=None, spared=13.0, left=13.1, output="nothing to migrate")
GOOD = Round(
    replicas=(WORKER, WAITER),
    took_s=4.0,
    migrator=0,
    applied=tuple((id_, "upgrade") for id_ in (BASE, *RACED)),
    state="current",
    index_valid=True,
    invalid_indexes=0,
    locks_left=0,
    sessions_left=0,
    deadlocks=0,
    deadlocks_in_log=0,
    traffic_steps=100,
    traffic_errors=(),
    traffic_longest_s=0.1,
)


def _race(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.migration_gate.races", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=350,
        check=False,
    )


def test_replicas_that_start_at_once_apply_each_revision_once() -> None:
    raced = _race("--rounds", "2", "--replicas", "6")

    assert raced.returncode == 0, raced.stdout + raced.stderr
    assert "2 rounds of 6 replicas" in raced.stdout
    assert "violations: 0" in raced.stdout


def test_without_the_gate_the_race_is_lost() -> None:
    raced = _race("--rounds", "4", "--replicas", "8", "--without-gate")

    assert raced.returncode == 1
    assert "ended with 1" in raced.stdout


def test_a_good_round_violates_nothing() -> None:
    assert list(violations(GOOD)) == []
    assert GOOD.longest_after_s == 1.0


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (replace(GOOD, replicas=(WORKER, replace(WAITER, exit_status=1))), "ended with 1"),
        (replace(GOOD, replicas=(WORKER, replace(WAITER, output="SQLSTATE 40P01"))), "met a deadlock"),
        (replace(GOOD, replicas=(WORKER, replace(WAITER, spared=14.1))), "waited 4.10 s"),
        (replace(GOOD, replicas=(WORKER, WORKER)), "2 replicas migrated"),
        (replace(GOOD, applied=GOOD.applied[:-1]), "the ledger holds"),
        (replace(GOOD, applied=(*GOOD.applied, GOOD.applied[-1])), "the ledger holds"),
        (replace(GOOD, state="behind"), "the status is behind"),
        (replace(GOOD, index_valid=False), "not valid"),
        (replace(GOOD, index_valid=None), "missing"),
        (replace(GOOD, invalid_indexes=1), "invalid indexes: 1"),
        (replace(GOOD, locks_left=1), "locks left: 1"),
        (replace(GOOD, sessions_left=1), "sessions left: 1"),
        (replace(GOOD, deadlocks=1), "deadlocks: 1"),
        (replace(GOOD, deadlocks_in_log=1), "deadlocks in log: 1"),
        (replace(GOOD, traffic_errors=("40P01: deadlock detected",)), "was refused"),
        (replace(GOOD, traffic_steps=0), "nobody read"),
    ],
)
def test_a_bad_round_is_told(bad: Round, told: str) -> None:
    assert told in "\n".join(violations(bad))
