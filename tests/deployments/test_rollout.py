"""The rollout alone, every fault at every point of it: what serves meanwhile, and what serves in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from stack.deploy.balance import Counts
from stack.deploy.errors import RollbackFailed, RolledBack
from stack.deploy.rollout import Patience, Rollout
from stack.deploy.slots import Slot, Slots, Stand
from stack.deploy.steps import Steps
from stack.errors import StackError

OLD, NEW = "old", "new"


class Site:
    """A road, a balancer and a probe at once, which keep account; the call of the number `fails_at` fails, from 1 on.

    `broken` are releases whose replicas never become ready, `rejected` those whom the probe finds wrong, `wrong` those
    whose requests fail. `requests` is how many come to each replica between two looks.
    """

    def __init__(self, replicas: int) -> None:
        self.slots = Slots(replicas)
        self.running: dict[str, str] = {}
        self.admitted: set[str] = set()
        self.put_out_slots: set[str] = set()
        self.fails_at: int | None = None
        self.calls = 0
        self.fewest_serving = replicas
        self.broken: set[str] = set()
        self.rejected: set[str] = set()
        self.wrong: set[str] = set()
        self.requests = 10
        self.not_ready_again: set[str] = set()
        self.disk_is_full = False
        self.counted: dict[str, Counts] = {slot.name: Counts() for slot in self.slots}
        for slot in list(self.slots)[:replicas]:
            slot.release, slot.stand = OLD, Stand.SERVING
            self.running[slot.name] = OLD
            self.admitted.add(slot.name)

    def _record(self) -> None:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")

    def _call(self) -> None:
        self.calls += 1
        self.fewest_serving = min(self.fewest_serving, len(self.admitted & self.running.keys()))
        if self.calls == self.fails_at:
            raise StackError(f"the call {self.calls} failed")

    def start(self, slot: Slot, release: str) -> None:
        self._call()
        assert slot.name not in self.running, "two replicas in one slot"
        assert slot.name in self.put_out_slots, "it would get requests before it is ready"
        self.running[slot.name] = release

    def wait_until_ready(self, slot: Slot, give_up: Callable[[], bool]) -> None:
        self._call()
        if self.running[slot.name] in self.broken:
            raise StackError("not ready")

    def has_ended(self, slot: Slot) -> bool:
        return slot.name not in self.running

    def stop(self, slot: Slot) -> None:
        assert slot.name not in self.admitted, "a replica is ended that still gets requests"
        self.running.pop(slot.name, None)
        self._call()

    def last_words(self, slot: Slot) -> list[str]:
        return ["its last words"]

    def admit(self, slot: Slot) -> None:
        self._call()
        assert slot.name in self.running, "requests are sent to nobody"
        if slot.name in self.not_ready_again:
            raise StackError("HAProxy does not find it ready")
        self.admitted.add(slot.name)
        self.put_out_slots.discard(slot.name)

    def drain(self, slot: Slot) -> None:
        self._call()
        self.admitted.discard(slot.name)

    def put_out(self, slot: Slot) -> None:
        self.admitted.discard(slot.name)
        self.put_out_slots.add(slot.name)

    def in_work(self, slot: Slot) -> int:
        return 0

    def counts(self) -> dict[str, Counts]:
        for name in self.admitted:
            failed = self.requests if self.running.get(name) in self.wrong else 0
            self.counted[name] = self.counted[name] + Counts(self.requests, failed)
        return dict(self.counted)

    def directly(self, slot: Slot) -> None:
        self._call()
        if self.running[slot.name] in self.rejected:
            raise StackError("answered 500")

    def in_public(self) -> None:
        self._call()

    def serving(self) -> list[str]:
        return sorted(self.running[name] for name in self.admitted)

    def roll_out(
        self, cancelled: threading.Event | None = None, on_step: Callable[[str], None] = lambda _: None
    ) -> Steps:
        self.steps = steps = Steps(lambda event: on_step(f"{event['step']}") if event["event"] == "began" else None)
        self._rollout(steps, cancelled or threading.Event()).replace(OLD, NEW)
        return steps

    def restore(self, release: str) -> None:
        self._rollout(Steps(lambda _: None), threading.Event()).restore(release)

    def _rollout(self, steps: Steps, cancelled: threading.Event) -> Rollout:
        return Rollout(
            self.slots,
            self,
            self,
            self,
            steps,
            patience=Patience(drain=0.1, watch=0.0, verify=0.0, again=0.0),
            changed=self._record,
            cancelled=cancelled,
        )


def test_what_a_replica_said_that_answers_wrongly_is_kept() -> None:
    site = Site(2)
    site.rejected.add(NEW)

    with pytest.raises(RolledBack, match="answered 500") as told:
        site.roll_out()

    assert site.serving() == [OLD, OLD]
    assert told.value.evidence == ("its last words",)


def test_a_replica_too_many_is_drained_so_that_a_slot_is_spare() -> None:
    site = Site(2)
    spare = site.slots.empty()
    assert spare is not None
    spare.release, spare.stand = OLD, Stand.SERVING
    site.running[spare.name] = OLD
    site.admitted.add(spare.name)

    site.restore(OLD)

    assert site.serving() == [OLD, OLD]
    assert site.slots.empty() is not None
    site.roll_out()
    assert site.serving() == [NEW, NEW]


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_every_replica_is_replaced_and_never_do_fewer_serve(replicas: int) -> None:
    site = Site(replicas)

    site.roll_out()

    assert site.serving() == [NEW] * replicas
    assert sorted(site.running.values()) == [NEW] * replicas
    assert site.fewest_serving == replicas
    assert [slot.stand for slot in site.slots].count(Stand.EMPTY) == 1


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_whatever_fails_the_old_release_serves_in_the_end_and_never_do_fewer_serve(replicas: int) -> None:
    whole = Site(replicas)
    whole.roll_out()
    for number in range(1, whole.calls + 1):
        site = Site(replicas)
        site.fails_at = number

        with pytest.raises(RolledBack, match=f"the call {number} failed"):
            site.roll_out()

        assert site.serving() == [OLD] * replicas, f"call {number}"
        assert sorted(site.running.values()) == [OLD] * replicas, f"call {number}"
        assert site.fewest_serving >= replicas, f"call {number}"


@pytest.mark.parametrize("fault", ["broken", "wrong"])
def test_a_bad_release_is_taken_out_and_the_reason_is_kept(fault: str) -> None:
    site = Site(2)
    getattr(site, fault).add(NEW)

    with pytest.raises(RolledBack, match="not ready" if fault == "broken" else "errors rise") as told:
        site.roll_out()

    assert site.serving() == [OLD, OLD]
    assert fault == "broken" or "its last words" in told.value.evidence


def test_errors_that_the_old_release_has_as_well_are_no_reason() -> None:
    site = Site(2)
    site.wrong |= {OLD, NEW}

    # Its counts begin before the rollout does, so that the old release's share is known.
    site.roll_out(on_step=lambda _: site.counts() and None)

    assert site.serving() == [NEW, NEW]


@pytest.mark.parametrize("step", ["start", "probe", "drain", "watch", "stop", "verify"])
def test_a_rollout_that_is_cancelled_takes_back_what_it_has_begun(step: str) -> None:
    site = Site(2)
    cancelled = threading.Event()

    with pytest.raises(RolledBack, match="cancelled"):
        site.roll_out(cancelled, lambda name: cancelled.set() if name.startswith(step) else None)

    assert site.serving() == [OLD, OLD]
    assert site.fewest_serving >= 2


def test_where_the_old_release_does_not_start_again_the_new_one_is_kept_and_it_is_told() -> None:
    site = Site(2)

    def break_both(step: str) -> None:
        if step == "verify":
            site.wrong.add(NEW)
            site.broken.add(OLD)

    with pytest.raises(RollbackFailed, match=r"errors rise.*the way back failed: not ready"):
        site.roll_out(on_step=break_both)

    assert site.serving() == [NEW, NEW], "better a bad service than none"


def test_the_errors_of_the_new_release_do_not_excuse_those_of_its_next_replica() -> None:
    site = Site(3)
    site.wrong.add(NEW)
    site.requests = 0

    def come(step: str) -> None:
        if step == "watch it" and len([name for name in site.admitted if site.running[name] == NEW]) == 3:
            site.requests = 10

    with pytest.raises(RolledBack, match="errors rise"):
        site.roll_out(on_step=come)

    assert "verify" not in [step.step for step in site.steps.taken]


@pytest.mark.parametrize("step", ["start", "drain", "stop", "verify"])
def test_a_disk_that_is_full_is_a_reason_to_go_back_and_does_not_stop_the_way_back(step: str) -> None:
    site = Site(2)

    def fill(name: str) -> None:
        site.disk_is_full = site.disk_is_full or name.startswith(step)
        if name == "verify":
            site.wrong.add(NEW)

    with pytest.raises(RolledBack):
        site.roll_out(on_step=fill)

    assert site.serving() == [OLD, OLD]


def test_an_old_replica_that_is_not_found_ready_again_is_replaced_by_a_new_one_of_its_release() -> None:
    site = Site(2)

    def fail(step: str) -> None:
        if step == "watch it":
            site.wrong.add(NEW)
            site.not_ready_again.add("slot1")
        site.not_ready_again -= {"slot1"} if step == "stop" else set()

    with pytest.raises(RolledBack, match="errors rise"):
        site.roll_out(on_step=fail)

    assert site.serving() == [OLD, OLD]
    assert site.fewest_serving >= 2


def test_an_old_replica_that_ends_by_itself_meanwhile_is_not_waited_for() -> None:
    site = Site(2)

    def kill(step: str) -> None:
        if step == "drain" and site.running.get("slot1") == OLD:
            site.running.pop("slot1", None)

    site.roll_out(on_step=kill)

    assert site.serving() == [NEW, NEW]
