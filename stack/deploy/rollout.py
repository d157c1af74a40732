"""The rollout: one replica after another gets the new release, and all get the old one back where that goes wrong.

It knows no process, no container and no proxy. At every moment as many replicas serve as are asked for, or one more,
and an old replica is kept, drained, until the one in its place has proved itself under real requests.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from stack.deploy.balance import Balancer, Counts
from stack.deploy.errors import Cancelled, DeploymentError, RollbackFailed, RolledBack, StepFailed
from stack.deploy.slots import Slot, Slots, Stand
from stack.deploy.steps import Steps
from stack.errors import StackError

POLL_SECONDS = 0.1
# Starting the old release again may meet what a moment later is over: a port in use, a machine out of breath.
ATTEMPTS_BACK = 3
# Whatever the release before did, one failed request in a hundred is too many of the new one.
ALLOWED_SHARE = 0.01
# One or two may fail at any time; these many, or more than half of all, do not by chance.
NO_CHANCE = 3


class Road(Protocol):
    """How replicas are run; what is wrong is told by StackError."""

    def start(self, slot: Slot, release: str) -> None:
        """Starts a replica of `release` in an empty slot, whose host and port say then where it listens."""

    def wait_until_ready(self, slot: Slot, give_up: Callable[[], bool]) -> None:
        """Returns once it may have requests.

        Raises DeploymentError, with its last words as evidence, when it ends or does not become ready in time, and as
        soon as `give_up` says so.
        """

    def has_ended(self, slot: Slot) -> bool: ...

    def stop(self, slot: Slot) -> None:
        """Ends what stands in it, in order, and waits for that."""

    def last_words(self, slot: Slot) -> list[str]: ...


class Probe(Protocol):
    """What a client would do; raises DeploymentError where it is not answered as it should be."""

    def directly(self, slot: Slot) -> None: ...

    def in_public(self) -> None: ...


@dataclass(frozen=True)
class Patience:
    """In seconds: `drain` for the requests in work, `watch` each replica and `verify` all of them under requests.

    `again` is between the attempts to start the old release again.
    """

    drain: float = 30.0
    watch: float = 2.0
    verify: float = 5.0
    again: float = 1.0


class Rollout:
    """One change of release. `changed` is called after each change of a slot, for whoever records them.

    Where that cannot be recorded, nothing new is begun; a way back goes on.
    """

    def __init__(
        self,
        slots: Slots,
        road: Road,
        balancer: Balancer,
        probe: Probe,
        steps: Steps,
        *,
        patience: Patience,
        changed: Callable[[], None],
        cancelled: threading.Event,
    ) -> None:
        self._slots = slots
        self._road = road
        self._balancer = balancer
        self._probe = probe
        self._steps = steps
        self._patience = patience
        self._changed = changed
        self._cancelled = cancelled
        self._going_back = False
        self._before = balancer.counts()
        # Of old replicas that have ended: their slots count for the new release by now.
        self._ended = Counts()

    def replace(self, old: str, new: str) -> None:
        """Brings `new` in and `old` out.

        Raises RolledBack when `old` serves again since something was wrong, RollbackFailed when that failed too.
        """
        try:
            for slot in self._slots.of(old):
                self._replace_one(slot, new)
            self._verify(new)
        except Exception as fault:  # noqa: BLE001  whatever it is, the old release has to serve again
            self._restore(old, fault)

    def _replace_one(self, old: Slot, new: str) -> None:
        spare = self._slots.empty()
        if spare is None:
            raise StepFailed("no slot is empty")
        self._bring_in(spare, new)
        self._drain(old)
        with self._steps.step("watch it", spare.name) as step:
            self._probe.in_public()
            step.note = self._watch([spare], self._patience.watch)
        self._ended += self._balancer.counts()[old.name].since(self._before[old.name])
        self._stop(old)

    def _bring_in(self, slot: Slot, release: str) -> None:
        with self._steps.step(f"start {release[:12]}", slot.name):
            self._go_on()
            slot.release, slot.stand = release, Stand.STARTING
            self._note_change()
            # A balancer that finds slots by itself would send requests there from the first moment on.
            self._balancer.put_out(slot)
            self._road.start(slot, release)
            self._note_change()
            self._road.wait_until_ready(slot, self._cancelled.is_set)
        with self._steps.step("probe it", slot.name):
            self._go_on()
            self._probe_directly(slot)
        with self._steps.step("switch it in", slot.name):
            self._admit(slot)

    def _probe_directly(self, slot: Slot) -> None:
        try:
            self._probe.directly(slot)
        except StackError as fault:
            # What it answered is told already; why, its log may tell.
            raise StepFailed(f"{fault}", self._road.last_words(slot)) from fault

    def _admit(self, slot: Slot) -> None:
        self._balancer.admit(slot)
        slot.stand = Stand.SERVING
        self._note_change()

    def _note_change(self) -> None:
        try:
            self._changed()
        except OSError:
            # A full disk, say, is no reason to leave two releases serving.
            if not self._going_back:
                raise

    def _drain(self, slot: Slot) -> None:
        """No new requests; those that it has are awaited. Nobody waits for one that has ended."""
        with self._steps.step("drain", slot.name) as step:
            slot.stand = Stand.DRAINED
            self._note_change()
            self._balancer.drain(slot)
            deadline = time.monotonic() + self._patience.drain
            while (left := self._balancer.in_work(slot)) and not self._road.has_ended(slot):
                if time.monotonic() >= deadline:
                    step.note = f"{left} request(s) still in work after {self._patience.drain:g} s"
                    break
                time.sleep(POLL_SECONDS / 5)

    def _stop(self, slot: Slot) -> None:
        with self._steps.step("stop", slot.name):
            self._balancer.put_out(slot)
            self._road.stop(slot)
            slot.clear()
            self._note_change()

    def _verify(self, new: str) -> None:
        with self._steps.step("verify") as step:
            step.note = self._watch(self._slots.of(new), self._patience.verify)
            self._probe.in_public()
            self._go_on()

    def _watch(self, slots: list[Slot], seconds: float) -> str:
        """Looks at what clients are answered; raises StepFailed when the new release fails more than the old one."""
        allowed = max(ALLOWED_SHARE, 2 * self._failed_share_before(slots[0].release))
        begun = {slot.name: self._balancer.counts()[slot.name] for slot in slots}
        deadline = time.monotonic() + seconds
        while True:
            self._go_on()
            for slot in slots:
                if self._road.has_ended(slot):
                    raise StepFailed(f"the replica in {slot.name} has ended by itself", self._road.last_words(slot))
            counts = self._balancer.counts()
            seen = sum((counts[name].since(before) for name, before in begun.items()), Counts())
            if _is_too_much(seen, allowed):
                words = [line for slot in slots for line in self._road.last_words(slot)]
                raise StepFailed(
                    f"errors rise: {seen.failed} of {seen.requests} requests failed on the new release "
                    f"({seen.failed_share:.1%}, {allowed:.1%} are allowed)",
                    words,
                )
            if time.monotonic() >= deadline:
                return f"{seen.requests} requests, {seen.failed} failed"
            time.sleep(POLL_SECONDS)

    def _failed_share_before(self, new: str) -> float:
        """Of the old replicas' requests since this rollout began."""
        counts = self._balancer.counts()
        standing = [counts[slot.name].since(self._before[slot.name]) for slot in self._slots.others(new)]
        return sum(standing, self._ended).failed_share

    def _go_on(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("it was cancelled")

    def _restore(self, old: str, fault: Exception) -> None:
        reason = f"{fault}" or type(fault).__name__
        evidence = fault.evidence if isinstance(fault, DeploymentError) else ()
        # What is begun now is ended: nobody is served by half a way back.
        self._cancelled = threading.Event()
        try:
            self.restore(old)
        except Exception as second:
            more = second.evidence if isinstance(second, DeploymentError) else ()
            raise RollbackFailed(f"{reason}; and the way back failed: {second}", (*evidence, *more)) from second
        raise RolledBack(reason, evidence) from fault

    def restore(self, release: str) -> None:
        """Lets `release` serve in as many replicas as are asked for, and nothing else, from whatever the slots hold."""
        self._going_back = True
        for slot in self._slots.of(release, Stand.DRAINED):
            if not self._road.has_ended(slot):
                self._switch_back_in(slot)
        for slot in [*self._slots.of(release), *self._slots.others(release)]:
            if slot.stand is not Stand.SERVING or self._road.has_ended(slot):
                self._stop(slot)
        while True:
            empty, others = self._slots.empty(), self._slots.others(release)
            if len(self._slots.of(release)) < self._slots.replicas and empty is not None:
                self._bring_back(empty, release)
            elif surplus := others or self._slots.of(release)[self._slots.replicas :]:
                self._drain(surplus[0])
                self._stop(surplus[0])
            else:
                return

    def _switch_back_in(self, slot: Slot) -> None:
        # One that is not found ready stays drained, and is then replaced by a new one of its release.
        with contextlib.suppress(StackError), self._steps.step("switch it back in", slot.name):
            self._admit(slot)

    def _bring_back(self, slot: Slot, release: str) -> None:
        for attempt in range(1, ATTEMPTS_BACK + 1):
            try:
                self._bring_in(slot, release)
            except (StackError, OSError):
                self._stop(slot)
                if attempt == ATTEMPTS_BACK:
                    raise
                time.sleep(self._patience.again)
            else:
                return


def _is_too_much(seen: Counts, allowed: float) -> bool:
    """`allowed` is a share from 0 to 1."""
    return seen.failed_share > allowed and (seen.failed >= NO_CHANCE or seen.failed_share > 0.5)
