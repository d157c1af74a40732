"""The runbooks of the service's alerts, played: the fault is made, and every line is typed as it stands.

`Confirm it` must show what the runbook shows, and not show it while all is well; `Know that it is mended` must not hold
while the fault is there, and must hold once the lines of `Mend it` were typed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.postgres import Cluster, create_database, temporary_cluster
from tests.databases import MIGRATED_TEMPLATE
from tests.docs.fenced import prints
from tests.docs.service_runbooks.fault import nothing
from tests.docs.service_runbooks.platform_commands import PLATFORM
from tests.docs.service_runbooks.process_faults import killed
from tests.docs.service_runbooks.runbook import Line, Runbook, lines
from tests.docs.service_runbooks.scenes import FURTHER, SCENES, Scene
from tests.docs.service_runbooks.stage import Stage, stage, started, until
from tests.processes import run_alembic

_PLAYS = {code: (code, scene) for code, scene in SCENES.items()} | FURTHER


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server with few connections, since one scene takes them all."""
    with temporary_cluster(settings={"max_connections": "40", "deadlock_timeout": "200ms"}) as cluster:
        migrated = create_database(cluster, MIGRATED_TEMPLATE)
        run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": migrated.migrator_url})
        yield cluster


@pytest.mark.parametrize("play", sorted(_PLAYS))
def test_the_runbook_leads_out_of_it(play: str, cluster: Cluster, tmp_path: Path) -> None:
    code, scene = _PLAYS[play]
    runbook = Runbook(code)
    with stage(cluster, tmp_path, scene.replicas) as on_stage:
        _set_up(on_stage, scene)
        _wait_until_not_shown(on_stage, runbook.confirm, scene, "not confirmed while all is well")
        with scene.fault(on_stage) as heal:
            _type_all(on_stage, runbook.confirm)
            _wait_until_not_shown(on_stage, runbook.mended, scene, "not mended while the fault is there")
            _type_all(on_stage, runbook.mend)
            if heal is not None:
                heal()
            _type_all(on_stage, runbook.mended)
            _type_all(on_stage, [Line(text) for text in runbook.in_sentences])


def test_the_index_tells_what_fires_and_takes_the_incident_up(cluster: Cluster, tmp_path: Path) -> None:
    index, scene = Runbook("README"), Scene(killed, watched=())
    with stage(cluster, tmp_path) as on_stage:
        _set_up(on_stage, scene)
        with scene.fault(on_stage):
            for heading in ("What fires now", "While you work"):
                _type_all(on_stage, list(lines(index.part(heading))))


def _set_up(on_stage: Stage, scene: Scene) -> None:
    if scene.disk:
        on_stage.own_disk()
    on_stage.service = on_stage.serve(on_stage.ports.service, **scene.settings)
    if scene.replicas == 2:
        on_stage.replica = on_stage.serve(on_stage.ports.replica, **scene.settings)
        on_stage.replica.wait_for("/readyz", 200)
    on_stage.service.wait_for("/readyz", 200)
    if scene.watched is not None:
        on_stage.receiver = started(on_stage.make_receiver(*scene.watched))
        started(on_stage.alertmanager)
    if scene.backups:
        on_stage.scheduler = started(on_stage.make_scheduler())
    started(on_stage.prometheus)
    until(lambda: len(on_stage.ask('up{job="taskmanager"} == 1')) == scene.replicas, "Prometheus sees every replica")


def _type_all(on_stage: Stage, typed: list[Line]) -> None:
    for line in typed:
        if line.program in PLATFORM:
            continue
        if line.expected is None:
            on_stage.shell.succeeds(line.text)
        else:
            _note_process(on_stage, _shown_soon(on_stage, line))


def _shown_soon(on_stage: Stage, line: Line) -> str:
    """Type a line until it prints what the runbook shows, and return that."""
    printed = ""

    def shown() -> bool:
        nonlocal printed
        printed = on_stage.shell.typed(line.text).stdout
        return prints(line.expected or "", printed)

    try:
        until(shown, f"{line.text}\n{line.expected}")
    except AssertionError as error:
        raise AssertionError(f"{error}\nit prints\n{printed}") from None
    return printed


def _wait_until_not_shown(on_stage: Stage, typed: list[Line], scene: Scene, what: str) -> None:
    """Lines that show the same whether or not the fault is there would tell their reader nothing."""
    shown = [line for line in typed if line.expected is not None]
    if scene.fault is not nothing:
        until(
            lambda: not all(prints(line.expected or "", on_stage.shell.typed(line.text).stdout) for line in shown), what
        )


def _note_process(on_stage: Stage, printed: str) -> None:
    """`PID` in a runbook is the first column of the table before it."""
    if (row := re.match(r"pid,.*\n(\d+),", printed)) is not None:
        on_stage.shell.variables["PID"] = row[1]
