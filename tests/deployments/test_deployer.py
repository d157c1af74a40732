"""A deployment from its order to its record: what is written down, and what a way back that failed is mended by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from stack.deploy import record as records
from stack.deploy import state as states
from stack.deploy.cut_off import record_cut_off
from stack.deploy.deployer import Deployer, Order
from stack.deploy.deployer import Site as DeployerSite
from stack.deploy.record import Result
from stack.deploy.rollout import Patience
from stack.deploy.slots import Stand
from stack.deploy.state import State
from tests.deployments.test_rollout import NEW, OLD, Site


class Works:
    """Every release is there and may be deployed."""

    def resolve(self, reference: str, source: Path) -> str:
        return reference

    def fetch(self, release: str, source: Path) -> str:
        return ""

    def lint(self, running: str, new: str) -> str:
        return ""

    def prove_compatible(self, running: str, new: str) -> str:
        return ""

    def back_up(self, release: str) -> str:
        return ""

    def migrate(self, release: str, say: Callable[[str], None]) -> str:
        return ""

    def status(self, release: str) -> Mapping[str, object]:
        return {"servable": True, "state": "current"}


def deployer(data: Path, site: Site) -> Deployer:
    patience = Patience(drain=0.1, watch=0.0, verify=0.0, again=0.0)
    return Deployer(
        DeployerSite(data, site.slots, site, site, site, Works(), patience), State(release=OLD, previous="older")
    )


def deploy(by: Deployer, release: str) -> records.Record:
    return by.carry_out(Order("deploy", release, Path()), lambda event: None)


def test_what_serves_and_its_record_are_written_down(tmp_path: Path) -> None:
    by = deployer(tmp_path, Site(2))

    record = deploy(by, NEW)

    assert (record.result, record.previous) == (Result.SUCCEEDED, OLD)
    assert records.read(tmp_path) == [record]
    assert states.read(tmp_path / states.FILE) == by.state
    assert (by.state.release, by.state.previous, by.state.under_way) == (NEW, OLD, {})


def test_a_release_that_serves_is_refused_and_one_that_is_not_alone_is_made_whole(tmp_path: Path) -> None:
    site = Site(2)
    by = deployer(tmp_path, site)
    assert deploy(by, OLD).reason == "old serves already"

    # As a way back that failed leaves it.
    slot = site.slots.named("slot2")
    slot.release, site.running["slot2"] = NEW, NEW
    record = deploy(by, OLD)

    assert record.result is Result.SUCCEEDED, record.reason
    assert site.serving() == [OLD, OLD]
    assert (by.state.release, by.state.previous) == (OLD, "older")
    assert {slot.stand for slot in site.slots.of(OLD)} == {Stand.SERVING}


def test_a_disk_that_is_full_from_the_first_replica_on_leaves_the_old_release_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(2)
    by = deployer(tmp_path, site)

    def full(*_: object) -> None:
        if any(slot.stand is Stand.STARTING for slot in site.slots) or site.disk_is_full:
            site.disk_is_full = True
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(states, "write", full)
    monkeypatch.setattr(records, "append", full)
    record = deploy(by, NEW)

    assert (record.result, site.serving()) == (Result.ROLLED_BACK, [OLD, OLD])
    assert "not written down: [Errno 28] No space left on device" in record.evidence


def test_a_launcher_that_ends_before_the_record_is_written_finds_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(*_: object) -> None:
        raise Killed

    by = deployer(tmp_path, Site(2))
    with monkeypatch.context() as patched:
        patched.setattr(records, "append", kill)
        with pytest.raises(Killed):
            deploy(by, NEW)
    state = states.read(tmp_path / states.FILE)
    found = record_cut_off(tmp_path, state, "the launcher ended")

    assert found is not None
    assert (found.result, found.release, found.previous, found.reason) == (Result.SUCCEEDED, NEW, OLD, "")
    assert records.read(tmp_path) == [found]
    assert record_cut_off(tmp_path, state, "again") is None


def test_one_that_was_cut_off_in_its_middle_has_failed(tmp_path: Path) -> None:
    under_way: dict[str, str | int] = {"id": 3, "verb": "deploy", "release": NEW, "reference": "v2", "step": "migrate"}
    state = State(release=OLD, under_way=under_way)

    found = record_cut_off(tmp_path, state, "the launcher ended")

    assert found is not None
    assert (found.result, found.previous) == (Result.FAILED, OLD)
    assert found.reason == "it was cut off at the step 'migrate': the launcher ended"
    assert state.under_way == {}
