"""One deployment from its reference to its record."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from stack.deploy import record as records
from stack.deploy import state as states
from stack.deploy.balance import Balancer
from stack.deploy.errors import (
    AnotherDeployment,
    Cancelled,
    DeploymentError,
    NotDone,
    Refused,
    RolledBack,
)
from stack.deploy.low_priority import with_low_priority
from stack.deploy.record import Record, Result
from stack.deploy.rollout import Patience, Probe, Road, Rollout
from stack.deploy.slots import Slots, Stand
from stack.deploy.steps import Listen, Steps
from stack.deploy.works import Works, require_servable
from stack.errors import StackError


@dataclass(frozen=True)
class Site:
    """Where it is deployed: what stands in the slots, and everything that acts on it."""

    data: Path
    slots: Slots
    road: Road
    balancer: Balancer
    probe: Probe
    works: Works
    patience: Patience = field(default_factory=Patience)
    retarget: Callable[[], None] = lambda: None
    """Called after each change of a slot, for whoever has to know which serve."""
    report: Callable[[Record], None] = lambda _: None
    """Called with each record that was written."""
    state_file: str = states.FILE


@dataclass(frozen=True, eq=False)
class Order:
    """`verb` is `deploy` or `rollback`; `source` is the repository, unused by a road that pulls images."""

    verb: str
    reference: str
    source: Path
    cancelled: threading.Event = field(default_factory=threading.Event)


class Deployer:
    """Does one at a time. `state` is kept on the disk as it changes."""

    def __init__(self, site: Site, state: states.State) -> None:
        self._site = site
        self.state = state
        self._turn = threading.Lock()
        self._saving = threading.Lock()

    @property
    def is_at_work(self) -> bool:
        return self._turn.locked()

    def carry_out(self, order: Order, listen: Listen) -> Record:
        """Raises AnotherDeployment when one is at work; every other end is told by the record."""
        if not self._turn.acquire(blocking=False):
            under_way = self.state.under_way
            raise AnotherDeployment(
                f"another deployment is at work ({under_way.get('verb')} of {under_way.get('reference')}, since "
                f"{under_way.get('began')}): wait for its end; stack deployments tells it"
            )
        try:
            return self._carry_out(order, listen)
        finally:
            self._turn.release()

    def _carry_out(self, order: Order, listen: Listen) -> Record:
        site, begun = self._site, time.monotonic()
        running = self.state.release
        record = Record(records.next_id(site.data), order.verb, "", running, order.reference)
        steps = Steps(lambda event: self._note_step(event, listen))
        self.state.under_way = {
            "id": record.id,
            "verb": record.verb,
            "release": "",
            "reference": record.reference,
            "began": record.began,
            "step": "",
        }
        try:
            self.save()
        except OSError:
            self.state.under_way = {}
            raise
        try:
            self._change(order, record, steps, listen)
            record.result = Result.SUCCEEDED
        except Refused as error:
            _note(record, Result.REFUSED, error)
        except RolledBack as error:
            _note(record, Result.ROLLED_BACK, error)
        except Exception as error:  # noqa: BLE001  however it ended, that is recorded
            _note(record, Result.FAILED, error)
        record.seconds = round(time.monotonic() - begun, 3)
        record.steps = steps.as_json()
        self._end(record)
        site.report(record)
        return record

    def _end(self, record: Record) -> None:
        """Keeps the record and what serves now; a launcher that is cut off meanwhile finds in the state how it ended.

        What cannot be written is told as evidence: nothing is undone for that.
        """
        state = self.state
        if record.result is Result.SUCCEEDED and record.release != state.release:
            state.release, state.previous = record.release, state.release
        state.under_way |= {"result": record.result.value, "reason": record.reason}
        for write in (self.save, lambda: records.append(self._site.data, record), self._forget_under_way):
            try:
                write()
            except OSError as error:
                record.evidence.append(f"not written down: {error}")

    def _forget_under_way(self) -> None:
        self.state.under_way = {}
        self.save()

    def _change(self, order: Order, record: Record, steps: Steps, listen: Listen) -> None:
        site, running = self._site, self.state.release
        with steps.step("find the release") as step:
            record.release = site.works.resolve(order.reference, order.source)
            self.state.under_way["release"] = record.release
            step.note = record.release[:12]
            if record.release == running and self._is_whole(running):
                raise Refused(f"{record.release[:12]} serves already")
        with steps.step("fetch it") as step:
            step.note = site.works.fetch(record.release, order.source)
        rollout = Rollout(
            site.slots,
            site.road,
            site.balancer,
            site.probe,
            steps,
            patience=site.patience,
            changed=self.save,
            cancelled=order.cancelled,
        )
        if record.release == running:
            # What a way back that failed left: the release that should serve is not alone, or not everywhere.
            self._heal(rollout, running, steps)
            return
        if order.verb == "rollback":
            self._check_way_back(record.release, steps)
        else:
            self._prepare(order, running, record.release, steps, listen)
        self._heal(rollout, running, steps)
        rollout.replace(running, record.release)

    def _check_way_back(self, release: str, steps: Steps) -> None:
        with steps.step("check compatibility") as step:
            step.note = require_servable(self._site.works.status(release), release)

    def _prepare(self, order: Order, running: str, new: str, steps: Steps, listen: Listen) -> None:
        works = self._site.works
        checks: tuple[tuple[str, Callable[[], str]], ...] = (
            ("lint the migrations", lambda: works.lint(running, new)),
            ("check compatibility", lambda: works.prove_compatible(running, new)),
            ("fresh backup", lambda: works.back_up(new)),
        )
        for name, check in checks:
            with steps.step(name) as step:
                try:
                    step.note = with_low_priority(check)
                except NotDone as reason:
                    step.skip(f"{reason}")
            _go_on(order)
        with steps.step("migrate") as step:
            step.note = works.migrate(new, lambda note: listen({"event": "note", "step": "migrate", "note": note}))
        _go_on(order)

    def _heal(self, rollout: Rollout, running: str, steps: Steps) -> None:
        """What an earlier way back left undone, a replica that is missing say, is done first."""
        if not self._is_whole(running):
            with steps.step("heal"):
                rollout.restore(running)

    def _is_whole(self, running: str) -> bool:
        slots = self._site.slots
        return len(slots.of(running, Stand.SERVING)) == slots.replicas and not slots.others(running)

    def _note_step(self, event: dict[str, object], listen: Listen) -> None:
        if event["event"] == "began":
            self.state.under_way["step"] = f"{event['step']}"
            # Only how far it got is told by it; on a full disk a way back is taken nevertheless.
            with contextlib.suppress(OSError):
                self.save()
        listen(event)

    def save(self) -> None:
        """Writes the state as it is now."""
        with self._saving:
            self.state.slots = [slot.as_json() for slot in self._site.slots]
            states.write(self._site.data / self._site.state_file, self.state)
        self._site.retarget()


def _go_on(order: Order) -> None:
    if order.cancelled.is_set():
        raise Cancelled(
            "it was cancelled before a replica was touched; the schema may be newer, and the release "
            "that serves lives with it"
        )


def _note(record: Record, result: Result, error: Exception) -> None:
    record.result = result
    record.reason = f"{error}" or type(error).__name__
    if isinstance(error, DeploymentError):
        record.evidence = [line for line in error.evidence if line]
    elif not isinstance(error, StackError | OSError):
        record.reason = f"{type(error).__name__}: {error}"
