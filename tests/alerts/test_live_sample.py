"""Some of the other alerts, others every day: together they would take half an hour."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from tests.alerts import limits, trial
from tests.alerts.fault import Fault
from tests.alerts.faults import FAULTS
from tests.alerts.rig import Laboratory

_TOGETHER_S = 90.0
# A rig and its steady state, on a machine that does other things as well.
_RIG_S = 20.0
_PATIENCE = 3.0


def limits_s() -> dict[str, float]:
    """By fault that is not immediate, the longest that its notification may take."""
    configuration = limits.shipped()
    return {fault.name: limits.limit_s(fault, configuration) for fault in FAULTS if not fault.immediate}


def sample(seed: int, longest_s: Mapping[str, float]) -> list[Fault]:
    """Faults whose alerts come within a minute and a half together, with their rigs; the same for the same seed."""
    others = [fault for fault in FAULTS if not fault.immediate]
    random.Random(seed).shuffle(others)  # noqa: S311  to be repeated by its seed
    chosen, sum_s = [], 0.0
    for fault in others:
        took_s = _RIG_S + longest_s[fault.name]
        if sum_s + took_s <= _TOGETHER_S:
            chosen.append(fault)
            sum_s += took_s
    return chosen


def test_a_sample_of_the_other_alerts_tell_of_their_faults(shared: Laboratory, tmp_path: Path) -> None:
    seed = datetime.now(UTC).date().toordinal()
    chosen = sample(seed, limits_s())
    print(f"seed {seed}: {', '.join(f'{fault.alert} by {fault.name}' for fault in chosen)}")

    for fault in chosen:
        folder = tmp_path / fault.name
        folder.mkdir()
        outcome = trial.run(fault, shared, folder, seed, patience=_PATIENCE, until_resolved=False)
        assert outcome.problems == [], (fault.alert, fault.name, seed)


def test_every_day_has_a_sample_and_no_alert_of_less_than_a_minute_is_never_in_it() -> None:
    longest_s = limits_s()
    samples = [sample(seed, longest_s) for seed in range(400)]

    assert all(samples)
    seen = {fault.name for chosen in samples for fault in chosen}
    quick = {name for name, seconds in longest_s.items() if seconds < 60}
    assert quick <= seen
