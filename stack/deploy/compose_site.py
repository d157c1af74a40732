"""`stack deploy --compose`: the command itself does the work, since containers outlive it."""

import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from stack.deploy import state as states
from stack.deploy.business_probe import BusinessProbe
from stack.deploy.compose_engine import Compose, docker
from stack.deploy.compose_road import ComposeRoad
from stack.deploy.compose_works import ComposeWorks
from stack.deploy.cut_off import record_cut_off
from stack.deploy.deployer import Deployer, Order, Site
from stack.deploy.errors import AnotherDeployment, Refused
from stack.deploy.haproxy import Haproxy
from stack.deploy.record import Record
from stack.deploy.report import report
from stack.deploy.slots import Slot, Slots, Stand
from stack.deploy.steps import Listen
from stack.errors import FolderInUse, StackError
from stack.folders import prepare_folder
from stack.lock import FolderLock
from stack.summary import say

FILES = ("docker-compose.yml", "docker/compose.replicas.yml")
SLOT_NAMES = ("app-1", "app-2", "app-3", "app-4")
HAPROXY = "haproxy"
PUBLIC = ("127.0.0.1", 8000)
INCIDENTS_PORT = 9095
INCIDENTS_KEY = "ops/development/incidents_key"
INCIDENTS_KEY_VARIABLE = "TASKMANAGER_INCIDENTS_KEY_FILE"
PROBE_KEY_VARIABLE = "TASKMANAGER_PROBE_KEY_FILE"
LOCK_FILE = "deploy.lock"


@dataclass(frozen=True)
class ComposeOptions:
    """`folder` is the project's; `files` are in it."""

    data: Path
    folder: Path
    files: tuple[str, ...] = field(default=FILES)


def deploy(options: ComposeOptions, verb: str, reference: str, listen: Listen) -> Record:
    """One deployment, or way back, to its end. Raises StackError where it cannot begin."""
    prepare_folder(options.data)
    lock = FolderLock(options.data / LOCK_FILE, "another deployment is at work")
    try:
        lock.acquire()
    except FolderInUse as error:
        raise AnotherDeployment(f"{error}: wait for its end") from None
    try:
        return _deploy(options, verb, reference, listen)
    finally:
        lock.release()


def _deploy(options: ComposeOptions, verb: str, reference: str, listen: Listen) -> Record:
    compose = Compose(options.folder, options.files)
    state = states.read(options.data / states.COMPOSE_FILE)
    if verb == "rollback" and not reference:
        if not state.previous:
            raise Refused("no release before this one is known: name an image")
        reference = f"sha256:{state.previous}"
    balancer = Haproxy(_by_exec(compose), by_name=True)
    road = ComposeRoad(compose)
    slots = _find_slots(road, balancer)
    _agree(options, state, slots)
    works = ComposeWorks(compose)
    site = Site(
        options.data,
        slots,
        road,
        balancer,
        BusinessProbe(*PUBLIC, _probe_key),
        works,
        report=lambda record: _report(options.folder, record),
        state_file=states.COMPOSE_FILE,
    )
    order = Order(verb, reference, options.folder)
    with _CtrlC(order, listen):
        record = Deployer(site, state).carry_out(order, listen)
        # How it went is told already, and old images are there for the next one to remove.
        with contextlib.suppress(StackError):
            works.forget_all_but([state.release, state.previous])
    return record


def _find_slots(road: ComposeRoad, balancer: Haproxy) -> Slots:
    """What stands in the slots now, by what docker and HAProxy say; one of them is spare."""
    found = [Slot(name) for name in SLOT_NAMES]
    for slot in found:
        road.find(slot)
        if slot.release and balancer.gets_requests(slot):
            slot.stand = Stand.SERVING
    return Slots(len(found) - 1, found)


def _agree(options: ComposeOptions, state: states.State, slots: Slots) -> None:
    """The state on the disk may be of before: somebody's `up`, or a deployment that was cut off.

    Raises StackError where nothing serves that could be replaced.
    """
    if (found := record_cut_off(options.data, state, "the command ended")) is not None:
        _report(options.folder, found)
        say(f"the last deployment ({found.reference}): {found.reason or found.result.value}")
    serving = [slot.release for slot in slots.serving()]
    if not serving:
        raise StackError(
            "no replica gets requests: start them (docker-compose -f docker-compose.yml -f "
            "docker/compose.replicas.yml up -d), and look at HAProxy's http://localhost:8404"
        )
    if state.release not in serving:
        # Which has come by another way, or by one that was cut off: the release before is still the way back.
        state.release, state.previous = max(serving, key=serving.count), state.release


def _by_exec(compose: Compose) -> Callable[[str], str]:
    """HAProxy's runtime API listens inside its container alone."""
    container = compose.container(HAPROXY)
    if not container:
        raise StackError(f"no service `{HAPROXY}` runs in this project: it is docker/compose.replicas.yml's")

    def ask(order: str) -> str:
        told = docker("exec", container, "sh", "-c", 'echo "$1" | nc 127.0.0.1 9999', "sh", order)
        if told.code != 0:
            raise StackError(f"HAProxy does not answer its orders: {' '.join(told.last_words(1))}")
        return told.output

    return ask


def _probe_key() -> str:
    named = os.environ.get(PROBE_KEY_VARIABLE, "")
    return Path(named).read_text(encoding="utf-8").strip() if named else ""


def _report(folder: Path, record: Record) -> None:
    named = os.environ.get(INCIDENTS_KEY_VARIABLE, "")
    key = Path(named) if named else folder / INCIDENTS_KEY
    if fault := report(INCIDENTS_PORT, key if key.is_file() else None, record):
        say(f"the incident receiver did not take the deployment's record: {fault}")


class _CtrlC:
    """For as long as the block lasts, Ctrl-C and SIGTERM cancel the order: its running step is finished first.

    SIGHUP changes nothing.
    """

    def __init__(self, order: Order, listen: Listen) -> None:
        self._order = order
        self._listen = listen
        self._before: list[tuple[int, object]] = []

    def _cancel(self, _number: int, _frame: FrameType | None) -> None:
        self._order.cancelled.set()
        self._listen({"event": "note", "step": "", "note": "cancelling: the running step is finished first …"})

    def __enter__(self) -> "_CtrlC":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before.append((number, signal.signal(number, self._cancel)))
        # The terminal was closed: whoever did that left two releases serving, if it ended the command.
        self._before.append((signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_IGN)))
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)  # type: ignore[arg-type]
