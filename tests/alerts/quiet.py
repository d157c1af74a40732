"""Healthy traffic for as long as one likes, with the restarts and deployments of a busy week: nothing may fire.

    python -m tests.alerts.quiet --minutes 10

Every two minutes a replica of the two is restarted by SIGTERM, or both are replaced, one after the other. The exit
status is 1 where an alert fired or was about to be told.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.alerts.fault import WATCHDOG, Setting
from tests.alerts.quiet_scenarios import NONE, QuietOutcome, Scenario, look, restart
from tests.alerts.rig import Rig, end_in_order_on_sigterm, laboratory
from tests.conftest import forget_settings

_EVERY_S = 120.0
_LOOK_EVERY_S = 5.0
_SETTING = Setting(replicas=2, clients=4, pause_s=0.2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.alerts.quiet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is done (default: the time)")
    options = parser.parse_args(arguments)
    forget_settings()
    end_in_order_on_sigterm()
    print(f"{options.minutes:g} minutes of healthy traffic, seed {options.seed}", flush=True)
    choose = random.Random(options.seed)  # noqa: S311  to be repeated by its seed
    with (
        laboratory() as shared,
        tempfile.TemporaryDirectory(prefix="quiet-hour-") as scratch,
        Rig(shared, Path(scratch), _SETTING, NONE) as rig,
    ):
        outcome = _be_quiet(rig, options.minutes * 60, choose)
    for problem in outcome.problems:
        print(f"FAILED: {problem}")
    print(f"{sum(outcome.answers.values())} requests: {outcome.answers}; fired: {sorted(outcome.fired)}")
    return 1 if outcome.problems else 0


def _be_quiet(rig: Rig, seconds: float, choose: random.Random) -> QuietOutcome:
    scenario = Scenario("quiet_hour", "restarts and replacements under healthy traffic", lambda rig: None, _SETTING)
    began, began_utc = time.monotonic(), time.time()
    outcome = QuietOutcome(scenario, began_utc, 0.0, 0.0, {}, {}, {}, [])
    next_act = began + _EVERY_S / 2
    seen: set[str] = set()
    while time.monotonic() - began < seconds:
        if time.monotonic() >= next_act and seconds - (time.monotonic() - began) > _EVERY_S / 4:
            _act(rig, choose, began)
            next_act += _EVERY_S
        for alert in sorted(rig.prometheus.names("firing") - seen - {WATCHDOG}):
            seen.add(alert)
            print(f"  {_minute(began)} {alert} FIRES", flush=True)
        time.sleep(_LOOK_EVERY_S)
    outcome.lasted_s = time.monotonic() - began
    look(rig, outcome, began, began_utc)
    return outcome


def _act(rig: Rig, choose: random.Random, began: float) -> None:
    chosen = rig.replicas if choose.random() < 0.3 else [choose.choice(rig.replicas)]
    what = "both replicas are replaced, one after the other" if len(chosen) > 1 else "a replica is restarted"
    print(f"  {_minute(began)} {what}", flush=True)
    for replica in chosen:
        restart(replica)


def _minute(began: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    return f"{minutes:3}:{seconds:02}"


if __name__ == "__main__":
    sys.exit(main())
