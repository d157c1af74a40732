"""Prometheus, Alertmanager and the incident receiver together, wired to one service or to several replicas of it."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.errors import StackError
from stack.folders import PROJECT_ROOT, prepare_folder
from stack.monitoring.part import Part
from stack.monitoring.programs import Programs
from stack.monitoring.prometheus_configuration import Addresses, derive_configuration
from stack.monitoring.receivers import render
from stack.ports import LOOPBACK
from stack.private_file import write_private
from stack.process import describe_end

INCIDENTS_PATH = "/alerts"
# Whichever comes first. The error budget's longest window is three days; its dashboard shows thirty.
RETENTION_TIME = "30d"
RETENTION_SIZE = "1GB"
# An alert that could not be handed to Alertmanager waits for it, and so does the first one after a start.
RESEND_DELAY = "5s"
# The last line is shown when one ends by itself: it should be a complaint.
LOG_LEVEL = "--log.level=warn"


@dataclass(frozen=True)
class Ports:
    """On the loopback address."""

    prometheus: int = 9090
    alertmanager: int = 9093
    incidents: int = 9095


@dataclass(frozen=True)
class Plan:
    """What is run, and for whom.

    `targets` are the addresses (HOST:PORT) of the service's replicas. `receiver` runs the incident receiver: None for
    TaskManager API's own. `metrics_key_file` holds the key that the service's /metrics asks for, `incidents_key_file`
    the one that the incident receiver asks for, None: none. `variables` name
    receivers of alerts (see stack/alert_variables.py). `backup` is the address of a scheduler of backups, None: none
    runs. `original` is the prometheus.yml that the copy is derived from.
    """

    targets: Sequence[str]
    programs: Programs
    ports: Ports = Ports()
    receiver: Sequence[str] | None = None
    metrics_key_file: Path | None = None
    incidents_key_file: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    backup: str | None = None
    original: Path = PROJECT_ROOT / "prometheus.yml"


class Monitoring:
    """The three in `data`/monitoring, with the incidents' journal in `data`/incidents; each is a part of its own.

    A context manager: entering starts all, leaving stops all.
    """

    def __init__(self, data: Path, plan: Plan) -> None:
        self.folder = data.absolute() / "monitoring"
        self.journal = data.absolute() / "incidents" / "journal.jsonl"
        self.plan = plan
        ports = plan.ports
        self.receiver = Part(
            "the incident receiver",
            plan.receiver or self._receiver_command(),
            ports.incidents,
            self.folder / "incidents.log",
            ready_path="/livez",
            prepare=lambda: prepare_folder(self.journal.parent),
        )
        self.alertmanager = Part(
            "Alertmanager",
            self._alertmanager_command(),
            ports.alertmanager,
            self.folder / "alertmanager.log",
            ready_path="/-/ready",
            prepare=self._write_alertmanager_configuration,
        )
        self.prometheus = Part(
            "Prometheus",
            self._prometheus_command(),
            ports.prometheus,
            self.folder / "prometheus.log",
            ready_path="/-/ready",
            prepare=self._write_prometheus_configuration,
        )
        # In the order of start: who tells comes after who is told, so that no alert finds nobody.
        self.parts = (self.receiver, self.alertmanager, self.prometheus)
        self._told: set[Part] = set()
        self._given_up: set[Part] = set()

    def begin(self) -> list[str]:
        """Starts those that are told, which need no service, and waits for nothing; start() does the rest.

        Returns a line for each that does not start.
        """
        return [line for part in (self.receiver, self.alertmanager) if (line := self._start(part))]

    def start(self) -> list[str]:
        """Starts the three, unless begin() has, and waits until each answers.

        Returns a line for each that does not, and starts the rest. A replica of the service should listen already:
        Prometheus reports one that does not as down.
        """
        lines = [*self.begin(), *map(self._wait_for, (self.receiver, self.alertmanager))]
        return list(filter(None, [*lines, self._start(self.prometheus), self._wait_for(self.prometheus)]))

    def _start(self, part: Part) -> str:
        if part.is_started or part in self._given_up:
            return ""
        try:
            prepare_folder(self.folder)
            part.start()
        except (StackError, OSError) as error:
            self._given_up.add(part)
            reason = f"{error}".removeprefix(f"{part.name} could not be started: ")
            return f"{part.name} is not started: {reason}. The service goes on without it"
        return ""

    def _wait_for(self, part: Part) -> str:
        if not part.is_started or part.wait_until_ready():
            return ""
        if part.poll() is not None:
            return "\n".join(self.ended())
        return f"{part.name} does not answer on {part.address} yet (its log: {part.log})"

    def retarget(self, targets: Sequence[str]) -> None:
        """Watches the replicas at `targets` from now on. Raises OSError when that cannot be written."""
        self.plan = replace(self.plan, targets=targets)
        if self.prometheus.is_running:
            self.prometheus.reload()

    def ended(self) -> list[str]:
        """A line for each part that has ended by itself, once for each end."""
        lines = []
        for part in self.parts:
            code = part.poll()
            if code is None:
                self._told.discard(part)
            elif part not in self._told:
                self._told.add(part)
                words = f": {said}" if (said := part.last_words()) else ""
                lines.append(
                    f"{part.name} ended by itself with {describe_end(code)}{words} (its log: {part.log}). "
                    "The service goes on without it"
                )
        return lines

    def bound_logs(self) -> None:
        """To be called again and again while they run: Alertmanager complains each second of who cannot be told."""
        for part in self.parts:
            part.bound_log()

    def stop(self) -> None:
        """Ends all, Prometheus first: what stops after it raises no alert."""
        self._given_up.clear()
        with ExitStack() as closing:
            for part in self.parts:
                closing.callback(part.stop)

    def hasten(self) -> None:
        """Ends all at once."""
        for part in self.parts:
            part.hasten()

    def _receiver_command(self) -> list[str]:
        command = [sys.executable, "-m", "taskmanager", "incidents", "serve"]
        # It is asked for the ends that it does not tell.
        alertmanager = f"http://{LOOPBACK}:{self.plan.ports.alertmanager}"
        own = ("--port", f"{self.plan.ports.incidents}", "--journal", f"{self.journal}", "--alertmanager", alertmanager)
        return [*command, *own]

    def _alertmanager_command(self) -> list[str | Path]:
        address = f"127.0.0.1:{self.plan.ports.alertmanager}"
        return [
            self.plan.programs.alertmanager,
            f"--config.file={self._alertmanager_configuration}",
            f"--storage.path={self.folder / 'alertmanager'}",
            f"--web.listen-address={address}",
            f"--web.external-url=http://{address}",
            # Empty: no cluster, and no second port.
            "--cluster.listen-address=",
            LOG_LEVEL,
        ]

    def _prometheus_command(self) -> list[str | Path]:
        address = f"127.0.0.1:{self.plan.ports.prometheus}"
        consoles = PROJECT_ROOT / "ops/prometheus/consoles"
        return [
            self.plan.programs.prometheus,
            f"--config.file={self._prometheus_configuration}",
            f"--storage.tsdb.path={self.folder / 'prometheus'}",
            f"--storage.tsdb.retention.time={RETENTION_TIME}",
            f"--storage.tsdb.retention.size={RETENTION_SIZE}",
            f"--web.listen-address={address}",
            f"--web.external-url=http://{address}",
            f"--web.console.templates={consoles}",
            f"--web.console.libraries={consoles}",
            f"--rules.alert.resend-delay={RESEND_DELAY}",
            LOG_LEVEL,
        ]

    @property
    def _alertmanager_configuration(self) -> Path:
        return self.folder / "alertmanager.yml"

    @property
    def _prometheus_configuration(self) -> Path:
        return self.folder / "prometheus.yml"

    def _write_alertmanager_configuration(self) -> None:
        # Those of the environment may be meant for another place: the receiver that runs is the one started here.
        own = {
            "ALERT_INCIDENTS_URL": f"{self.receiver.url}{INCIDENTS_PATH}",
            "ALERT_INCIDENTS_KEY_FILE": f"{self.plan.incidents_key_file or ''}",
        }
        write_private(self._alertmanager_configuration, render({**self.plan.variables, **own}))

    def _write_prometheus_configuration(self) -> None:
        addresses = Addresses(
            taskmanager=self.plan.targets,
            incidents=self.receiver.address,
            prometheus=self.prometheus.address,
            alertmanager=self.alertmanager.address,
            backup=self.plan.backup,
        )
        plan = self.plan
        text = derive_configuration(plan.original, addresses, plan.metrics_key_file, plan.incidents_key_file)
        write_private(self._prometheus_configuration, text)

    def __enter__(self) -> Self:
        """Raises StackError when one of the three does not answer; none is left running then."""
        try:
            if complaints := self.start():
                raise StackError("\n".join(complaints))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
