"""Each code of the service's own alerts, and the scene in which its runbook is played."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.docs.service_runbooks import database_faults as database
from tests.docs.service_runbooks import monitoring_faults as monitoring
from tests.docs.service_runbooks import process_faults as process
from tests.docs.service_runbooks.fault import Fault, nothing


@dataclass(frozen=True)
class Scene:
    """What is on the stage, and what goes wrong.

    fault: makes it go wrong.
    settings: the service's, beside its database.
    replicas: two where the code tells one replica from the others.
    watched: Alertmanager and the incident receiver are there too, the latter with these options; None: neither is.
    disk: the service has a small file system of its own.
    backups: a scheduler of backups is there.
    """

    fault: Fault
    settings: Mapping[str, str] = field(default_factory=dict)
    replicas: int = 1
    watched: tuple[str, ...] | None = None
    disk: bool = False
    backups: bool = False


_SMALL_POOL = {"TASKMANAGER_POOL_SIZE": "2"}

SCENES = {
    "database_error": Scene(database.read_only),
    "service_down": Scene(process.killed),
    "high_error_rate": Scene(database.emptied, {"TASKMANAGER_SCHEMA_GATE": "off"}),
    "high_response_time": Scene(process.slow_clients),
    "errors_at_low_traffic": Scene(database.trigger_by_hand),
    "error_budget_burn": Scene(database.table_locked),
    "service_absent": Scene(monitoring.no_targets),
    "crash_loop": Scene(process.killed_again_and_again),
    "replica_down": Scene(process.replica_killed, replicas=2),
    "replica_not_ready": Scene(process.replica_misconfigured, replicas=2),
    "metric_missing": Scene(monitoring.metric_dropped),
    "schema_check_stale": Scene(process.replica_cut_off, replicas=2),
    "migration_stuck": Scene(database.migration_blocked),
    "override_active": Scene(database.glass_broken),
    "pool_saturated": Scene(database.table_locked, _SMALL_POOL),
    "overloaded": Scene(database.table_locked, {"TASKMANAGER_MAX_IN_FLIGHT": "6"}),
    "event_loop_blocked": Scene(process.throttled),
    "connections_high": Scene(database.idle_sessions, _SMALL_POOL),
    "lock_wait": Scene(database.table_locked),
    "long_transaction": Scene(database.left_open),
    "deadlocks": Scene(database.crossing_updates),
    "disk_almost_full": Scene(database.disk_filled, disk=True),
    "watchdog": Scene(nothing, watched=()),
    "alertmanager_unreachable": Scene(monitoring.alertmanager_killed, watched=()),
    "notifications_failing": Scene(monitoring.wrong_receiver, watched=()),
    "rules_failing": Scene(monitoring.rule_on_many_series),
    "configuration_not_loaded": Scene(monitoring.configuration_broken, watched=()),
    "incident_receiver_down": Scene(monitoring.receiver_killed, watched=()),
    "backup_too_old": Scene(monitoring.scheduler_killed, backups=True),
    "alerting_silent": Scene(monitoring.alertmanager_killed, watched=("--watchdog-timeout", "12s")),
}

# The same runbook for a process that is there and answers nobody.
FURTHER = {"service_down-hung": ("service_down", Scene(process.hung))}
