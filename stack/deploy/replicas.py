"""The replicas of one `stack up`, behind HAProxy, with whoever takes orders to replace them."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from stack.deploy import state as states
from stack.deploy.business_probe import BusinessProbe
from stack.deploy.cut_off import record_cut_off
from stack.deploy.deployer import Deployer, Site
from stack.deploy.errors import DeploymentError
from stack.deploy.haproxy import Haproxy, by_socket
from stack.deploy.haproxy_process import HaproxyProcess, find_haproxy
from stack.deploy.local_road import LocalRoad
from stack.deploy.local_works import LocalWorks
from stack.deploy.orders import Orders
from stack.deploy.record import Record
from stack.deploy.releases import Releases
from stack.deploy.rollout import Patience
from stack.deploy.slots import Slot, Slots, Stand
from stack.errors import StackError
from stack.ports import LOOPBACK
from stack.service import reachable_address

FOLDER = "replicas"
# How long Ctrl-C of the launcher waits for the end of a deployment that it cancels.
CANCEL_SECONDS = 20.0
# Until look() has started HAProxy again, on a busy machine.
REVIVAL_SECONDS = 15.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STEADY_SECONDS = 60.0


@dataclass(frozen=True)
class ReplicaOptions:
    """`count` replicas of the commit that `release` names in the repository `source`.

    An empty `release` is the one that served last, and for want of one that of the working tree, HEAD.
    """

    count: int
    source: Path
    release: str = ""
    ready_timeout: float = 30.0
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Surroundings:
    """What the launcher gives them.

    `host` and `port` are public, `variables` the service's, `probe_key` reads the key of the business probe.
    `retarget` is told the addresses of those that serve, `report` each record; `migrates` is whether to migrate at the
    start.
    """

    host: str
    port: int
    variables: Mapping[str, str]
    probe_key: Callable[[], str]
    retarget: Callable[[list[str]], None]
    report: Callable[[Record], None]
    say: Callable[[str], None]
    migrates: bool


class Replicas:
    """A part of `stack up`, which ends for no replica's end: those that serve are started again."""

    name = "the replicas"

    def __init__(self, data: Path, options: ReplicaOptions, around: Surroundings) -> None:
        self._data = data
        self._options = options
        self._around = around
        self._say = around.say
        program = find_haproxy()
        self._state = states.read(data / states.FILE)
        # Their processes ended with the launcher before; their ports are kept while they are free.
        kept = [Slot(f"{each['name']}", port=int(each["port"])) for each in self._state.slots]
        self.slots = Slots(options.count, kept if len(kept) == options.count + 1 else ())
        self.releases = Releases(data)
        self.road = LocalRoad(data, self.releases, around.variables, ready_timeout=options.ready_timeout)
        self.works = LocalWorks(data, self.releases, around.variables)
        self.haproxy = HaproxyProcess(data / FOLDER, reachable_bind(around.host, around.port), self.slots, program)
        self.balancer = Haproxy(by_socket(self.haproxy.socket))
        # A rollout waits for a proxy that ended to be started again, by look(): that may not wait for it itself.
        patient = Haproxy(by_socket(self.haproxy.socket, REVIVAL_SECONDS))
        self._targets: list[str] = []
        site = Site(
            data,
            self.slots,
            self.road,
            patient,
            BusinessProbe(around.host, around.port, around.probe_key),
            self.works,
            options.patience,
            self._retarget,
            self._report,
        )
        self.deployer = Deployer(site, self._state)
        self._orders = Orders(data, self.deployer, options.source, self._say)
        self._pauses: dict[str, tuple[float, float]] = {}
        self._stopping = threading.Event()

    def start(self) -> None:
        """Returns once they serve, or cannot yet, which is said. Raises StackError where nothing can be started."""
        self._record_what_was_cut_off()
        self._choose_release()
        release = self._state.release
        if self._around.migrates:
            self._migrate(release)
        self.haproxy.start()
        begun = time.monotonic()
        with ThreadPoolExecutor() as pool:
            faults = list(filter(None, pool.map(self._start_one, list(self.slots)[: self._options.count])))
        self.deployer.save()
        for fault in faults:
            self._say(f"{fault}. It goes on, and gets requests by itself once it is ready")
        if not faults:
            self._say(
                f"{self._options.count} replicas of {release[:12]} are ready after {time.monotonic() - begun:.1f} s"
            )
        self._orders.start()

    def _record_what_was_cut_off(self) -> None:
        found = record_cut_off(self._data, self._state, "the launcher ended; the release before serves")
        if found is not None:
            self._around.report(found)
            self._say(f"the last deployment ({found.reference}): {found.reason or found.result.value}")

    def _choose_release(self) -> None:
        options = self._options
        if not options.release and self.releases.checked_out(self._state.release or "-"):
            release = self._state.release  # wherever it came from, it is here
        else:
            release = self.works.resolve(options.release or self._state.release or "HEAD", options.source)
        self.releases.check_out(release, options.source)
        if release != self._state.release:
            self._state.release, self._state.previous = release, self._state.release
        self._state.source = f"{options.source}"
        self.releases.forget_all_but([release, self._state.previous])

    def _migrate(self, release: str) -> None:
        begun = time.monotonic()
        try:
            self.works.migrate(release, self._say)
        except DeploymentError as error:
            self._say(f"{error}. The replicas say on /health what to do")
            for line in error.evidence:
                self._say(f"  {line}")
        else:
            self._say(f"the schema is that of {release[:12]} after {time.monotonic() - begun:.1f} s")

    def _start_one(self, slot: Slot) -> str:
        slot.release, slot.stand = self._state.release, Stand.SERVING
        try:
            self.road.start(slot, slot.release)
            self.road.wait_until_ready(slot, self._stopping.is_set)
        except StackError as error:
            fault = f"{slot.name}: {error}"
        else:
            fault = ""
        try:
            self.balancer.admit(slot)
        except StackError as error:
            return fault or f"{error}"
        return fault

    def look(self) -> None:
        """To be called again and again: starts again what has ended by itself, and keeps logs within bounds."""
        self._revive_haproxy()
        self.haproxy.bound_log()
        self.road.bound_logs()
        for slot in self.slots.of(self._state.release, Stand.SERVING):
            self._revive(slot)

    def _revive_haproxy(self) -> None:
        """What keeps it from starting, another process on its port say, may pass: the replicas are kept for that."""
        if self.haproxy.poll() is None or not self._is_due(self.haproxy.name):
            return
        try:
            how = self.haproxy.revive()
        except (StackError, OSError) as error:
            self._say(f"HAProxy ended by itself, and could not be started again yet: {error}")
        else:
            self._say(f"HAProxy ended by itself with {how}; it is started again")

    def _revive(self, slot: Slot) -> None:
        if not self.road.has_ended(slot) or not self._is_due(slot.name):
            return
        try:
            how = self.road.revive(slot)
            self.balancer.readdress(slot)
        except (StackError, OSError) as error:
            self._say(f"{slot.name} could not be started again: {error}")
        else:
            if how:
                self._say(f"the replica in {slot.name} ended by itself with {how}; it is started again")

    def _is_due(self, name: str) -> bool:
        """Whether to start it again now: what ends again and again is started less and less often."""
        ended, pause = self._pauses.get(name, (0.0, 0.0))
        now = time.monotonic()
        if now < ended + pause:
            return False
        self._pauses[name] = now, _next_pause(pause, now - ended)
        return True

    def _retarget(self) -> None:
        serving = sorted(reachable_address(slot.host, slot.port) for slot in self.slots.serving())
        if serving and serving != self._targets:
            self._targets = serving
            self._around.retarget(serving)

    def _report(self, record: Record) -> None:
        self._around.report(record)
        # After each: what was refused or rolled back was checked out as well.
        self.releases.forget_all_but([self._state.release, self._state.previous])

    def poll(self) -> None:
        return None

    def stop(self) -> None:
        """Takes no orders any more, lets the requests in work be done, and ends all."""
        self._stopping.set()
        with ExitStack() as closing:
            closing.callback(self._stop_replicas)
            closing.callback(self.haproxy.stop)
            closing.callback(self._orders.stop, CANCEL_SECONDS)

    def _stop_replicas(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(self.road.stop, self.slots))

    def hasten(self) -> None:
        self.haproxy.hasten()
        self.road.hasten()

    def describe(self) -> str:
        return f"{self._options.count} of {self._state.release[:12]} behind HAProxy"


def reachable_bind(host: str, port: int) -> str:
    """As HAProxy writes it: an IPv6 address has no brackets, and all addresses are a star."""
    return f"{'*' if host in ('0.0.0.0', '') else host or LOOPBACK}:{port}"  # noqa: S104  compared, not bound


def _next_pause(pause: float, since: float) -> float:
    if since > STEADY_SECONDS:
        return FIRST_PAUSE_SECONDS
    return min(LONGEST_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, 2 * pause))
