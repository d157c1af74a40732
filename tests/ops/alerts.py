"""The alerts that there are, as far as Alertmanager looks at them."""

from __future__ import annotations

CAUSES = (
    "DatabaseUnreachable",
    "MigrationFailed",
    "SchemaNotMigrated",
    "SchemaMismatch",
    "SchemaBroken",
    "ServiceDown",
)

# Told at once, each by itself.
IMMEDIATE = ("DatabaseError", *CAUSES)

SEVERITY = (
    dict.fromkeys(IMMEDIATE, "critical")
    | dict.fromkeys(("HighErrorRate", "ErrorBudgetBurnFast", "ServiceAbsent", "CrashLoop"), "critical")
    | dict.fromkeys(
        (
            "HighResponseTime",
            "ErrorsAtLowTraffic",
            "ErrorBudgetBurnSlow",
            "ReplicaDown",
            "ReplicaNotReady",
            "MetricMissing",
            "SchemaSuspect",
            "SchemaCheckStale",
            "MigrationStuck",
            "GateOverridden",
            "PoolSaturated",
            "RequestsRefused",
            "EventLoopBlocked",
            "ConnectionsHigh",
            "LockWait",
            "LongTransaction",
            "Deadlocks",
            "DiskAlmostFull",
            "BackupTooOld",
            "ConfigurationNotLoaded",
        ),
        "warning",
    )
    | dict.fromkeys(
        ("AlertmanagerUnreachable", "NotificationsFailing", "RulesFailing", "IncidentReceiverDown"), "critical"
    )
    | {"Watchdog": "none"}
)

_BURNS = {"ErrorBudgetBurnFast", "ErrorBudgetBurnSlow"}
_NOBODY_ANSWERS = (
    {"HighErrorRate", "HighResponseTime", "ErrorsAtLowTraffic", "ReplicaDown", "ReplicaNotReady"}
    | {"SchemaCheckStale", "MetricMissing"}
    | _BURNS
)
_SCHEMA = {"HighErrorRate", "ErrorsAtLowTraffic", "ReplicaNotReady"} | _BURNS

# Cause: what it mutes. SchemaSuspect here is the one with the code `incomplete`.
MUTED_BY = {
    "ServiceDown": _NOBODY_ANSWERS,
    "ServiceAbsent": _NOBODY_ANSWERS,
    "DatabaseUnreachable": {"HighErrorRate", "HighResponseTime", "ErrorsAtLowTraffic", "ReplicaNotReady"}
    | {"SchemaCheckStale", "PoolSaturated", "RequestsRefused"}
    | _BURNS,
    "SchemaNotMigrated": _SCHEMA,
    "SchemaMismatch": _SCHEMA,
    "SchemaBroken": _SCHEMA,
    "MigrationFailed": {"ReplicaNotReady", "SchemaSuspect"},
    "CrashLoop": {"ReplicaDown", "ReplicaNotReady"},
    "ErrorBudgetBurnFast": {"ErrorBudgetBurnSlow"},
}
