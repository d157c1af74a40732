"""Monitoring beside the service of one `stack up`: what is wrong with it is said, and ends nothing."""

import http.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from stack.deploy.record import Record
from stack.deploy.report import report
from stack.errors import StackError
from stack.folders import PROJECT_ROOT
from stack.monitoring.free_ports import AskedPorts, choose_ports
from stack.monitoring.incidents_key import incidents_key
from stack.monitoring.metrics_key import METRICS_KEY_VARIABLE, MetricsKey, metrics_key
from stack.monitoring.monitoring import Monitoring, Plan
from stack.monitoring.programs import ProgramsMissing, find_programs
from stack.monitoring.receivers import alert_variables, file_faults, render
from stack.service import get, reachable_address
from stack.user_settings import UserSettings

BOARD = PROJECT_ROOT / "ops/prometheus/consoles/taskmanager.html"


class Choice(StrEnum):
    """Whether monitoring is started: `auto` where this machine has the programs, and `on` says what it lacks."""

    ON = "on"
    AUTO = "auto"
    OFF = "off"


@dataclass(frozen=True)
class MonitoringOptions:
    """What the command line says of it. `receiver` runs the incident receiver; see monitoring.Plan."""

    choice: Choice = Choice.OFF
    ports: AskedPorts = field(default_factory=AskedPorts)
    receiver: tuple[str, ...] | None = None


class BesideService:
    """Empty until prepare() finds that monitoring is asked for and possible: then each step does nothing."""

    def __init__(self, options: MonitoringOptions, data: Path, say: Callable[[str], None]) -> None:
        self._options = options
        self._data = data
        self._say = say
        self._key = MetricsKey()
        self._monitoring: Monitoring | None = None

    def prepare(self, host: str, port: int, settings: UserSettings) -> None:
        """Before anything runs; `host` and `port` are those that the service will listen on.

        Raises PortTaken when a port that was asked for is not to be had.
        """
        if self._options.choice is Choice.OFF:
            return
        try:
            programs = find_programs()
        except ProgramsMissing as missing:
            self._say_what_is_missing(missing)
            return
        ports = choose_ports(self._options.ports, port, self._say)
        folder = self._data / "monitoring"
        incidents_key_file = None
        try:
            self._key = metrics_key(settings, folder)
            incidents_key_file = incidents_key(settings, folder)
        except (StackError, OSError) as error:
            self._say(f"{error}. Until that is mended, monitoring lacks the key")
        plan = Plan(
            [reachable_address(host, port)],
            programs,
            ports,
            receiver=self._options.receiver,
            metrics_key_file=self._key.file,
            incidents_key_file=incidents_key_file,
            variables=self._usable_variables(settings),
        )
        self._monitoring = Monitoring(self._data, plan)

    def _say_what_is_missing(self, missing: ProgramsMissing) -> None:
        if self._options.choice is Choice.ON:
            self._say(f"the service runs without monitoring: {missing}")
        else:
            self._say(
                f"no monitoring: {missing.reason} (`stack up --monitoring on`, or make run MONITORING=on, "
                "tells how to have it)"
            )

    def _usable_variables(self, settings: UserSettings) -> dict[str, str]:
        """Those of the environment and of the env file, none of them where they cannot be used.

        Without the incident receiver's, which may be meant for a container: here it is the one started beside.
        """
        found = alert_variables(settings)
        variables = {name: value for name, value in found.items() if not name.startswith("ALERT_INCIDENTS_")}
        try:
            render(variables)
            faults = file_faults(variables)
        except StackError as error:
            faults = f"{error}".splitlines()
        if not faults:
            return variables
        for fault in faults:
            self._say(fault)
        self._say("alerts go to the incident receiver alone until that is mended")
        return {}

    @property
    def service_variables(self) -> Mapping[str, str]:
        """What the service must know, beside its own settings."""
        return self._key.service

    def begin(self) -> None:
        """While the service starts: what needs none."""
        for line in self._monitoring.begin() if self._monitoring else ():
            self._say(line)

    def start(self, host: str, port: int) -> None:
        """Once the service listens: until then Prometheus would report it as down."""
        if self._monitoring is None:
            return
        status, _ = get(host, port, "/metrics", self._read_key())
        if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            self._say(
                f"the service refuses Prometheus its metrics ({status}), so that alerts call it down: make a key with "
                "`taskmanager keys new --scope metrics:read --file FILE_OF_THE_KEYS`, put what that prints into a file "
                f"of its own, name that file in {METRICS_KEY_VARIABLE}, and start again"
            )
        for line in self._monitoring.start():
            self._say(line)

    def retarget(self, targets: Sequence[str]) -> None:
        """The addresses (HOST:PORT) of the replicas that serve now, instead of those before."""
        if self._monitoring is None:
            return
        try:
            self._monitoring.retarget(targets)
        except (StackError, OSError) as error:
            self._say(f"Prometheus does not learn which replicas serve: {error}")

    def report(self, record: Record) -> None:
        """Tells the incident receiver of a deployment, where one runs."""
        if self._monitoring is None or not self._monitoring.receiver.is_running:
            return
        if fault := report(self._monitoring.receiver.port, self._monitoring.plan.incidents_key_file, record):
            self._say(f"the incident receiver did not take the deployment's record: {fault}")

    def _read_key(self) -> str:
        try:
            return self._key.read()
        except OSError:
            return ""

    def look(self) -> None:
        """Says which part has ended by itself, once, and keeps the logs of the others within bounds."""
        if self._monitoring is None:
            return
        for line in self._monitoring.ended():
            self._say(line)
        self._monitoring.bound_logs()

    def stop(self) -> None:
        if self._monitoring is not None:
            self._monitoring.stop()

    def hasten(self) -> None:
        if self._monitoring is not None:
            self._monitoring.hasten()

    def places(self) -> dict[str, str]:
        """What is where, for the summary: of the parts that run."""
        if self._monitoring is None:
            return {}
        prometheus, alertmanager = self._monitoring.prometheus, self._monitoring.alertmanager
        places: dict[str, str] = {}
        if prometheus.is_running:
            places |= {"Prometheus": prometheus.url, "alerts": f"{prometheus.url}/alerts"}
            if BOARD.is_file():
                places["board"] = f"{prometheus.url}/consoles/{BOARD.name}"
        if alertmanager.is_running:
            places["Alertmanager"] = alertmanager.url
        if self._monitoring.receiver.is_running:
            places["incidents"] = self._monitoring.receiver.url
        return places
