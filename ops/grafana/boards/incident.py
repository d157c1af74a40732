"""The board to open first: what is wrong now, since when, what was deployed, and how past incidents ended."""

from __future__ import annotations

from ops.grafana.boards.alerts import RUNBOOKS
from ops.grafana.boards.board import Board, row
from ops.grafana.boards.incident_history import HISTORY
from ops.grafana.boards.limits import WARNING, Limit
from ops.grafana.boards.panels import About, Query, text
from ops.grafana.boards.promql import REPLICAS, WATCHED, numbered
from ops.grafana.boards.states import (
    APP_STATES,
    FIRING,
    OVERRIDDEN,
    REACHABLE,
    RUN_RESULTS,
    SCHEMA_STATES,
    SERVABLE,
    words_of,
)
from ops.grafana.boards.tables import Column, table
from ops.grafana.boards.uids import API, DATABASE, INCIDENT, META, SLO
from ops.grafana.boards.words import number, state, timeline

_SCHEMA_ALERTS = ("SchemaNotMigrated", "SchemaMismatch", "SchemaBroken", "SchemaSuspect")
_NOTHING_FIRES = "No alert is firing"

READING = f"""\
**Read from the top.** A word stands beside every colour.

1. **Firing alerts**: the cause is critical; symptoms are muted while a cause fires. Click a code for its runbook.
2. **Process and schema**: *not ready* with a schema state other than *current* is a deployment whose migrations are
   missing, broken or another code's. *migrating* is planned and alerts nobody.
3. **Blue marks** on every graph are deployments; red ones are critical alerts, orange ones are warnings.
4. **History** below: which alerts fired, from when to when, and how long incidents stayed open.

Runbooks: `docs/runbooks/<code>.md` in the repository, `{RUNBOOKS}/<code>.md` on this server. The diagnosis on the
machine: `taskmanager status`. Incidents with their notes: `taskmanager incidents`, or the receiver's
[list](${{receiver}}/incidents) as JSON.
"""

_NOW = row(
    "What is wrong now",
    8,
    table(
        "Firing alerts",
        About(
            "Every alert that fires for this service and for what watches it, with its severity and code.",
            "the table is empty, and says so.",
            boards=(META,),
        ),
        (
            Column("alertname", "Alert"),
            Column("severity", "Severity"),
            Column("code", "Code", link=("Runbook", f"{RUNBOOKS}/${{__value.raw}}.md")),
            Column("service", "Service"),
            Column("instance", "Replica"),
            Column("kind", "Kind"),
        ),
        f'ALERTS{{alertstate="firing",severity=~"critical|warning",{WATCHED}}}',
        width=14,
        empty_unless="an alert fires",
        no_value=_NOTHING_FIRES,
    ),
    text("How to read this board", About("How the board is read.", "the same on every day."), READING, width=10),
)

_STATES = row(
    "Process and schema",
    7,
    timeline(
        "Process by replica",
        About(
            "What each replica is: starting, migrating, ready, not ready or draining.",
            "ready, with starting for some seconds after a deployment.",
            ("ServiceDown", "ReplicaDown", "ReplicaNotReady", "CrashLoop"),
        ),
        words_of(APP_STATES),
        Query(numbered("taskmanager_app_state", list(APP_STATES), "instance", REPLICAS), "{{instance}}"),
        width=12,
    ),
    timeline(
        "Schema by replica",
        About(
            "The state that each replica finds the database's schema in, by its stable code; while the database cannot"
            " be reached, the last one that was found.",
            "current; ahead_compatible while a newer release is rolled out or back.",
            (*_SCHEMA_ALERTS, "DatabaseUnreachable"),
            (DATABASE,),
        ),
        words_of(SCHEMA_STATES),
        Query(numbered("migration_gate_state", list(SCHEMA_STATES), "instance", REPLICAS), "{{instance}}"),
        width=12,
    ),
)

_MIGRATIONS = row(
    "",
    4,
    state(
        "Traffic",
        About(
            "Whether the schema allows traffic, by the replica that judges worst.",
            "serves traffic.",
            ("SchemaNotMigrated", "SchemaMismatch", "SchemaBroken"),
        ),
        SERVABLE,
        Query(f"min(migration_gate_servable{{{REPLICAS}}})", "schema gate"),
    ),
    state(
        "Database",
        About("Whether any replica reaches the database.", "reachable.", ("DatabaseUnreachable",), (DATABASE,)),
        REACHABLE,
        Query(f"max(migration_gate_database_reachable{{{REPLICAS}}})", "database"),
    ),
    number(
        "Migrations behind",
        About(
            "Revisions that the code has and the database lacks; not known while the database cannot be asked.",
            "0; for the seconds of a migration more.",
            ("SchemaNotMigrated",),
        ),
        "none",
        Query(f"max(migration_gate_revisions_behind{{{REPLICAS}}})", "revisions behind"),
    ),
    state(
        "Last migration",
        About(
            "How the newest run of migrations ended, as the ledger in the database tells.",
            "succeeded, and running for the time of a migration.",
            ("MigrationFailed", "MigrationStuck"),
        ),
        words_of(RUN_RESULTS),
        Query(numbered("migration_gate_last_run", list(RUN_RESULTS), "env", REPLICAS, "result"), "last run"),
    ),
    number(
        "Last successful migration",
        About(
            "How long ago a run of migrations last succeeded.",
            "as long as since the last release with one.",
            boards=(DATABASE,),
        ),
        "dtdurations",
        Query(f"time() - max(migration_gate_last_success_timestamp_seconds{{{REPLICAS}}})", "ago"),
        decimals=0,
    ),
    state(
        "Override",
        About(
            "Whether somebody has told the gate to let traffic through whatever the schema is.",
            "gate enforced.",
            ("GateOverridden",),
        ),
        OVERRIDDEN,
        Query(f"max(migration_gate_override_active{{{REPLICAS}}})", "gate"),
    ),
)

_RELEASES = row(
    "",
    6,
    table(
        "Releases that answer",
        About(
            "The version, commit and schema heads of each replica, and for how long it has run.",
            "one version; two while a release is rolled out.",
            ("CrashLoop",),
            (API,),
        ),
        (
            Column("instance", "Replica"),
            Column("version", "Version"),
            Column("commit", "Commit"),
            Column("schema_heads", "Schema heads"),
            Column("A", "Running for", "dtdurations"),
        ),
        f"taskmanager_build_info{{{REPLICAS}}} * on (instance) group_left ()"
        f" (time() - process_start_time_seconds{{{REPLICAS}}})",
        width=10,
    ),
    timeline(
        "Alerts over time",
        About(
            "Each alert that was pending or firing in the chosen time, from when to when. The gap after a bar is its"
            " resolution.",
            "no bar at all, and the sentence that says so.",
            boards=(SLO, META),
        ),
        FIRING,
        Query(
            'max by (alertname, severity) (ALERTS{alertstate="firing",severity=~"critical|warning",'
            + WATCHED
            + '} * 2 or ALERTS{alertstate="pending",severity=~"critical|warning",'
            + WATCHED
            + "})",
            "{{alertname}} ({{severity}})",
        ),
        width=10,
        empty_unless="an alert fires",
        no_value="No alert was pending or firing in this time",
    ),
    number(
        "Schema last checked",
        About(
            "How long ago the database last answered the check of the schema, by the replica where it is longest.",
            "below 10 s.",
            ("SchemaCheckStale",),
        ),
        "dtdurations",
        Query(f"max(migration_gate_check_age_seconds{{{REPLICAS}}})", "ago"),
        limits=(Limit(30, "30 s: SchemaCheckStale", WARNING),),
        decimals=0,
    ),
)


BOARD = Board(
    uid=INCIDENT[0],
    title=f"TaskManager: {INCIDENT[1]}",
    description="Open this first. What is wrong now, since when, after which deployment, and how past incidents ended.",
    rows=(_NOW, _STATES, _MIGRATIONS, _RELEASES, *HISTORY),
    receiver=True,
)
