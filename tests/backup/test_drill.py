"""The restore drill, with fewer tasks: data, ledger and roles come back after the data folder is gone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.backup.drill import Drill, run, told


@pytest.mark.timeout(480)
def test_everything_comes_back_after_the_data_folder_is_destroyed() -> None:
    drill = run(2000)

    print(told(drill))
    assert drill.problems == []
    assert drill.written_meanwhile > 0
    assert drill.lost_writes > 0
    assert 0 < drill.lost_s < 240
    assert 0 < drill.rto_s < 120


def test_a_drill_that_failed_says_so() -> None:
    well = Drill(1, 1, 1.0, 1.0, 1, 1, 1.0, 1.0, 1.0, {"load": 1.0}, 1.0, "0" * 64, 8, [])

    assert "equal     8 tables" in told(well)
    assert "NOT EQUAL the roles are not what they were" in told(
        replace(well, problems=["the roles are not what they were"])
    )
