"""A service with its database and its monitoring, for one round."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stack.monitoring import Monitoring, Plan, Ports
from tests.alerts import shortened
from tests.alerts.fault import WATCHDOG, Setting
from tests.alerts.rig import faulty_service
from tests.alerts.rig.backup_scheduler import BackupScheduler
from tests.alerts.rig.capture import Capture
from tests.alerts.rig.disk import small_disk
from tests.alerts.rig.laboratory import Laboratory
from tests.alerts.rig.release import Release
from tests.alerts.rig.replica import Replica
from tests.alerts.rig.traffic import Traffic, request
from tests.databases import EMPTY_TEMPLATE, MIGRATED_TEMPLATE, Database
from tests.monitoring_programs import monitoring_programs
from tests.processes import ROOT, free_port
from tests.prometheus_api import PrometheusApi
from tests.taskmanager.postgres_proxy import PostgresProxy

STEADY_WITHIN_S = 90.0
LOOK_EVERY_S = 0.1
# The service level is computed every half minute, of two points; that it is missing in the first minute is no news.
NOT_COMPUTED_YET = {"metric": "slo:sli_error:ratio_rate5m"}
RULES = Path("ops/prometheus/rules")
FAULTY_SERVICE = Path(faulty_service.__file__)


class NotSteady(AssertionError):
    """Something was wrong before anything was broken."""


class Rig:
    """Entering starts all and waits for its steady state, leaving ends all.

    Parameters
    ----------
    laboratory: the PostgreSQL.
    folder: an empty one, for logs, configuration and data.
    setting: what the fault needs.
    alert: the one under proof, whose windows may be shortened.
    change: what is done to the rules before Prometheus reads them; to see a proof fail.
    """

    database: Database
    capture: Capture
    monitoring: Monitoring
    prometheus: PrometheusApi
    traffic: Traffic
    disk: Path | None = None
    backups: BackupScheduler | None = None

    def __init__(
        self,
        laboratory: Laboratory,
        folder: Path,
        setting: Setting,
        alert: str,
        change: Callable[[dict[str, Any]], None] = lambda rules: None,
    ) -> None:
        self.laboratory = laboratory
        self.folder = folder
        self.setting = setting
        self.alert = alert
        self.replicas: list[Replica] = []
        self.proxies: list[PostgresProxy] = []
        self._change = change
        self._ending = ExitStack()

    @property
    def replica(self) -> Replica:
        return self.replicas[0]

    @property
    def switch(self) -> Path:
        """A file; the faulty service misbehaves as it says, while it is there."""
        return self.folder / "switch.json"

    @property
    def original(self) -> Path:
        """The prometheus.yml from which Prometheus' own is derived."""
        return self.folder / "configuration" / "prometheus.yml"

    @property
    def rules(self) -> Path:
        return self.original.parent / RULES

    def another_database(self, template: str = EMPTY_TEMPLATE) -> Database:
        """One more database of the same server, for as long as the rig is there."""
        return self._ending.enter_context(self.laboratory.server.database(template))

    def new_release(self, name: str = "release") -> Release:
        """A copy of this release's tree, to which revisions can be added."""
        return Release(self.folder / name)

    def environment(self, database: Database) -> dict[str, str]:
        """The variables of a process that serves or migrates a database."""
        return {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}

    def receiver_answers(self, path: str) -> Any:
        """A document of the incident receiver's."""
        status, body = request(self.monitoring.receiver.port, "GET", path)
        assert status == 200, body
        return json.loads(body)

    def __enter__(self) -> Self:
        try:
            self._start()
            self._wait_until_steady()
        except BaseException:
            self._ending.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def _start(self) -> None:
        self.laboratory.start()
        enter = self._ending.enter_context
        self.database = enter(self.laboratory.server.database(MIGRATED_TEMPLATE))
        if self.setting.disk_bytes is not None:
            self.disk = enter(small_disk(self.folder / "disk", self.setting.disk_bytes))
        self.capture = enter(Capture())
        for number in range(self.setting.replicas):
            self._start_replica(number)
        for replica in self.replicas:
            replica.wait_until_ready()
        if self.setting.backups:
            self.backups = BackupScheduler(self.folder, self.environment(self.database), self.database.admin_url)
            self._ending.callback(self.backups.kill)
            self.backups.start()
            self.backups.wait_until_verified()
        self._write_configuration()
        self.monitoring = Monitoring(
            self.folder,
            Plan(
                [f"127.0.0.1:{replica.port}" for replica in self.replicas],
                monitoring_programs(),
                Ports(free_port(), free_port(), free_port()),
                variables={"ALERT_WEBHOOK_URL": self.capture.url},
                backup=self.backups.address if self.backups is not None else None,
                original=self.original,
            ),
        )
        enter(self.monitoring)
        self.prometheus = PrometheusApi(self.monitoring.prometheus.url)
        self._ending.callback(self.prometheus.close)
        self.traffic = enter(
            Traffic(
                lambda: [replica.port for replica in self.replicas if replica.running],
                self.setting.clients,
                self.setting.pause_s,
                to_all=self.setting.to_all,
            )
        )

    def _start_replica(self, number: int) -> None:
        database = self.database
        if self.setting.proxied:
            proxy = self._ending.enter_context(PostgresProxy(database))
            self.proxies.append(proxy)
            database = proxy.database
        variables = (
            self.environment(database) | {faulty_service.SWITCH: str(self.switch)} | dict(self.setting.variables)
        )
        if self.disk is not None:
            variables["TASKMANAGER_DISK_FOLDER"] = str(self.disk)
        replica = Replica(self.folder, variables, FAULTY_SERVICE if self.setting.faulty else None)
        self.replicas.append(replica)
        self._ending.callback(self._end_replica, replica)
        replica.start()

    @staticmethod
    def _end_replica(replica: Replica) -> None:
        if replica.running:
            replica.resume()
            replica.kill()

    def _write_configuration(self) -> None:
        shutil.copytree(ROOT / RULES, self.rules)
        shutil.copy2(ROOT / "prometheus.yml", self.original)
        files = shortened.shorten(shortened.rule_files(self.rules), self.alert, self.setting.shortened)
        self._change(files)
        shortened.write(files, self.rules)

    def _wait_until_steady(self) -> None:
        """Every target scraped, the rules evaluated since, the way to the receiver open, and no alert, nor one on its
        way."""
        deadline = time.monotonic() + STEADY_WITHIN_S
        while not self.prometheus.targets_up():
            self._require(deadline, "not every target is up")
            time.sleep(LOOK_EVERY_S)
        since = datetime.now(UTC)
        while not (self.prometheus.evaluated_since(since) and self._watchdog_came()):
            self._require(deadline, "not every rule is evaluated, or no Watchdog came")
            time.sleep(LOOK_EVERY_S)
        self._settle(deadline, "pending")
        alerts = self.prometheus.names("firing") | {notice.alert for notice in self.capture.notices}
        if alerts - {WATCHDOG}:
            raise NotSteady(f"before anything was broken: {sorted(alerts - {WATCHDOG})}")

    def settle(self) -> None:
        """Wait until nothing fires any more, nor is about to: for a rig that serves several rounds."""
        deadline = time.monotonic() + STEADY_WITHIN_S
        self._settle(deadline, "firing")
        self._settle(deadline, "pending")

    def _settle(self, deadline: float, state: str) -> None:
        while alerts := self.prometheus.names(state, but_for=NOT_COMPUTED_YET) - {WATCHDOG}:
            self._require(deadline, f"{sorted(alerts)} are still {state}")
            time.sleep(LOOK_EVERY_S)

    def _watchdog_came(self) -> bool:
        _, told = request(self.monitoring.receiver.port, "GET", "/metrics")
        return re.search(rb"^taskmanager_incidents_watchdog_age_seconds [0-9]", told, re.MULTILINE) is not None

    @staticmethod
    def _require(deadline: float, otherwise: str) -> None:
        if time.monotonic() > deadline:
            raise NotSteady(f"after {STEADY_WITHIN_S:.0f} s {otherwise}")
