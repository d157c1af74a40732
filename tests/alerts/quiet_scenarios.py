"""What is planned, and must therefore fire nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from tests.alerts.fault import WATCHDOG, Setting
from tests.alerts.rig import Laboratory, NotSteady, Rig
from tests.alerts.rig.release import Release
from tests.alerts.rig.replica import Replica

# In the place of an alert.
NONE = "none"
# Longer than any wait of an alert on the service that a restart could set off, and Alertmanager's own beside it.
AFTERWARDS_S = 50.0

_STEPS = 9
_STEP_S = 5
# As long as the gate lets a statement wait for a table, and what queues up behind it.
_HELD_S = 3
_EXPANDS, _FILLS, _INDEXES = "5eed0000000a", "5eed0000000b", "5eed0000000c"


_UNDER_LOAD = Setting(replicas=2, clients=4, pause_s=0.2)


@dataclass(frozen=True)
class Scenario:
    """`act` does it and returns when it is over; `told` tells it, without a full stop."""

    name: str
    told: str
    act: Callable[[Rig], None]
    setting: Setting = _UNDER_LOAD


@dataclass
class QuietOutcome:
    """`lasted_s` is in seconds; the rest is as in `trial.Outcome`."""

    scenario: Scenario
    began: float
    steady_s: float
    lasted_s: float
    fired: dict[str, float]
    also_told: dict[str, float]
    answers: dict[str, int]
    problems: list[str]


def run(scenario: Scenario, laboratory: Laboratory, folder: Path) -> QuietOutcome:
    """Run a scenario in an empty folder, and look for alerts until well after its end."""
    began, started = time.time(), time.monotonic()
    outcome = QuietOutcome(scenario, began, 0.0, 0.0, {}, {}, {}, [])
    try:
        with Rig(laboratory, folder, scenario.setting, NONE) as rig:
            outcome.steady_s = time.monotonic() - started
            acting, acting_utc = time.monotonic(), time.time()
            scenario.act(rig)
            time.sleep(AFTERWARDS_S)
            outcome.lasted_s = time.monotonic() - acting
            look(rig, outcome, acting, acting_utc)
    except NotSteady as error:
        outcome.problems.append(f"not steady: {error}")
    return outcome


def look(rig: Rig, outcome: QuietOutcome, since: float, since_utc: float) -> None:
    """Note what has fired and was told since a moment, on both clocks, and that requests were served."""
    outcome.fired = rig.prometheus.fired(since_utc)
    for notice in rig.capture.notices:
        outcome.also_told.setdefault(notice.alert, notice.at - since)
    outcome.answers = {str(answer): count for answer, count in rig.traffic.answers.items()}
    outcome.problems += [f"{alert} fired" for alert in sorted({*outcome.fired, *outcome.also_told} - {WATCHDOG})]
    if WATCHDOG not in outcome.fired:
        outcome.problems.append("Prometheus itself said nothing: not even the Watchdog fired")
    if not outcome.answers.get("200"):
        outcome.problems.append("no request was served")


def restart(replica: Replica, tree: Path | None = None, variables: Mapping[str, str] = MappingProxyType({})) -> None:
    """As a deployment does it: stop it, start it, and go on once it is ready."""
    replica.stop()
    replica.start(variables, tree=tree)
    replica.wait_until_ready()


def restarted_one_after_the_other(rig: Rig) -> None:
    for replica in rig.replicas:
        restart(replica)
        time.sleep(5)


def migrating_release(rig: Rig) -> Release:
    """A release whose migration takes most of a minute: a column, a long filling, an index.

    The column's revision keeps `tasks` to itself until it is committed. Requests wait for it meanwhile, and whichever
    gives up is answered 503: that is the migration's price, so the answers are not judged here, and the alerts are.
    """
    release = rig.new_release()
    column = 'op.execute("ALTER TABLE tasks ADD COLUMN note text")'
    release.revision(_EXPANDS, f'{column}\nop.execute("SELECT pg_sleep({_HELD_S})")')
    release.revision(_FILLS, f'for _ in range({_STEPS}):\n    op.execute("SELECT pg_sleep({_STEP_S})")')
    index = 'op.execute("CREATE INDEX CONCURRENTLY tasks_note_idx ON tasks (note)")'
    release.revision(_INDEXES, f"with op.get_context().autocommit_block():\n    {index}")
    return release


def migrated_on_start(rig: Rig) -> None:
    release = migrating_release(rig)
    for replica in reversed(rig.replicas):
        restart(replica, release.tree, {"TASKMANAGER_MIGRATE": "on_start"})


def migrated_by_a_command(rig: Rig) -> None:
    release = migrating_release(rig)
    done = release.run("alembic", "upgrade", "head", env=rig.environment(rig.database))
    assert done.returncode == 0, done.stdout + done.stderr
    for replica in rig.replicas:
        restart(replica, release.tree)


SCENARIOS = (
    Scenario(
        "planned_restart",
        "both replicas are restarted, one after the other, by SIGTERM",
        restarted_one_after_the_other,
    ),
    Scenario(
        "migration_on_start",
        "the first replica of a new release migrates for most of a minute as it starts, asked all the while",
        migrated_on_start,
        replace(_UNDER_LOAD, to_all=True),
    ),
    Scenario(
        "migration_by_command",
        "`alembic upgrade head` for most of a minute beside two replicas, which the new release then replaces",
        migrated_by_a_command,
    ),
)
