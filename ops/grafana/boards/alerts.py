"""The alerts that panels speak of: how bad each is, and which runbooks tell what to do.

The rules in ops/prometheus/rules are where alerts are made; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass

# Where Grafana finds the runbooks: the folder docs/runbooks, mounted into what Grafana serves as its own files.
RUNBOOKS = "/public/runbooks"


@dataclass(frozen=True)
class Alert:
    """`severity` is critical or warning; `codes` name the runbooks, docs/runbooks/<code>.md."""

    severity: str
    codes: tuple[str, ...]


def _critical(*codes: str) -> Alert:
    return Alert("critical", codes)


def _warning(*codes: str) -> Alert:
    return Alert("warning", codes)


ALERTS = {
    "AlertmanagerUnreachable": _critical("alertmanager_unreachable"),
    "BackupTooOld": _warning("backup_too_old"),
    "ConfigurationNotLoaded": _warning("configuration_not_loaded"),
    "ConnectionsHigh": _warning("connections_high"),
    "CrashLoop": _critical("crash_loop"),
    "DatabaseError": _critical("database_error"),
    "DatabaseUnreachable": _critical("unreachable"),
    "Deadlocks": _warning("deadlocks"),
    "DiskAlmostFull": _warning("disk_almost_full"),
    "ErrorBudgetBurnFast": _critical("error_budget_burn"),
    "ErrorBudgetBurnSlow": _warning("error_budget_burn"),
    "ErrorsAtLowTraffic": _warning("errors_at_low_traffic"),
    "EventLoopBlocked": _warning("event_loop_blocked"),
    "GateOverridden": _warning("override_active"),
    "HighErrorRate": _critical("high_error_rate"),
    "HighResponseTime": _warning("high_response_time"),
    "IncidentReceiverDown": _critical("incident_receiver_down"),
    "LockWait": _warning("lock_wait"),
    "LongTransaction": _warning("long_transaction"),
    "MetricMissing": _warning("metric_missing"),
    "MigrationFailed": _critical("migration_failed"),
    "MigrationStuck": _warning("migration_stuck"),
    "NotificationsFailing": _critical("notifications_failing"),
    "PoolSaturated": _warning("pool_saturated"),
    "ReplicaDown": _warning("replica_down"),
    "ReplicaNotReady": _warning("replica_not_ready"),
    "RequestsRefused": _warning("overloaded"),
    "RulesFailing": _critical("rules_failing"),
    "SchemaBroken": _critical("statement_broken", "privileges_missing"),
    "SchemaCheckStale": _warning("schema_check_stale"),
    "SchemaMismatch": _critical("ahead_incompatible", "diverged", "wrong_database"),
    "SchemaNotMigrated": _critical("never_migrated", "behind"),
    "SchemaSuspect": _warning("tampered", "drifted", "incomplete", "multiple_heads", "broken_graph", "unversioned"),
    "ServiceAbsent": _critical("service_absent"),
    "ServiceDown": _critical("service_down"),
}
