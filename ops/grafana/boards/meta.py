"""The monitoring as something that can fail: targets, rules, notifications, the watchdog, storage."""

from __future__ import annotations

from ops.grafana.boards.board import Board, row
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import MONITORING, WATCHED, WINDOW
from ops.grafana.boards.states import LOADED, UP
from ops.grafana.boards.uids import INCIDENT, META, SLO
from ops.grafana.boards.words import number, state, timeline

_PROMETHEUS = f'job="prometheus",{MONITORING}'
_ALERTMANAGER = f'job="alertmanager",{MONITORING}'
_NOT_SCRAPED = "No data: this part of the monitoring is not scraped"
_NEVER_HEARD = "not known: the receiver has heard no watchdog yet"

_TARGETS = row(
    "Targets",
    8,
    timeline(
        "Targets over time",
        About(
            "Whether each target answered its last scrape.",
            "up.",
            ("ServiceDown", "ReplicaDown", "IncidentReceiverDown", "ServiceAbsent"),
            (INCIDENT,),
        ),
        UP,
        Query(f"up{{{WATCHED}}}", "{{job}} {{instance}}"),
        width=12,
    ),
    graph(
        "Duration of scrapes",
        About(
            "How long each target took to tell its metrics; one that is slower than its timeout counts as down.",
            "below 100 ms.",
            ("ServiceDown", "MetricMissing"),
        ),
        "s",
        Query(f"max by (job, instance) (scrape_duration_seconds{{{WATCHED}}})", "{{job}} {{instance}}"),
        limits=(Limit(1, "1 s: the timeout of the service's scrape"),),
    ),
)

_RULES = row(
    "Rules",
    8,
    graph(
        "Duration of rule groups",
        About(
            "How long the last evaluation of each group took.",
            "far below the group's interval.",
            ("RulesFailing",),
        ),
        "s",
        Query(f"max by (rule_group) (prometheus_rule_group_last_duration_seconds{{{_PROMETHEUS}}})", "{{rule_group}}"),
        no_value=_NOT_SCRAPED,
    ),
    graph(
        "Rules that fail, evaluations missed",
        About(
            "Evaluations of rules that failed, and evaluations that were missed because the one before took too long,"
            " within five minutes.",
            "0.",
            ("RulesFailing",),
        ),
        "none",
        Query(f"sum(increase(prometheus_rule_evaluation_failures_total{{{_PROMETHEUS}}}[5m]))", "failed"),
        Query(f"sum(increase(prometheus_rule_group_iterations_missed_total{{{_PROMETHEUS}}}[5m]))", "missed"),
        no_value=_NOT_SCRAPED,
    ),
)

_NOTIFICATIONS = row(
    "Notifications",
    8,
    graph(
        "From Prometheus to Alertmanager",
        About(
            "Alerts in a second that Prometheus handed to Alertmanager, and those that it could not hand over.",
            "sent above 0, since the watchdog always fires; no errors, none dropped.",
            ("AlertmanagerUnreachable",),
        ),
        "ops",
        Query(f"sum(rate(prometheus_notifications_sent_total{{{_PROMETHEUS}}}[{WINDOW}]))", "sent"),
        Query(f"sum(rate(prometheus_notifications_errors_total{{{_PROMETHEUS}}}[{WINDOW}]))", "errors"),
        Query(f"sum(rate(prometheus_notifications_dropped_total{{{_PROMETHEUS}}}[{WINDOW}]))", "dropped"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
    graph(
        "From Alertmanager to receivers",
        About(
            "Notifications within five minutes by integration, and those that failed.",
            "none failed.",
            ("NotificationsFailing",),
        ),
        "none",
        Query(
            f"sum by (integration) (increase(alertmanager_notifications_total{{{_ALERTMANAGER}}}[5m])) > 0",
            "{{integration}} attempted",
        ),
        Query(f"sum(increase(alertmanager_notifications_failed_total{{{_ALERTMANAGER}}}[5m]))", "failed, all together"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
    graph(
        "Queue and alerts held",
        About(
            "Alerts that wait in Prometheus to be handed over, what the queue holds at most, and the alerts that"
            " Alertmanager knows.",
            "the queue is empty.",
            ("AlertmanagerUnreachable",),
        ),
        "none",
        Query(f"sum(prometheus_notifications_queue_length{{{_PROMETHEUS}}})", "waiting in Prometheus"),
        Query(f"sum by (state) (alertmanager_alerts{{{_ALERTMANAGER}}})", "in Alertmanager: {{state}}"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
)

_WATCHDOG = row(
    "Watchdog and configuration",
    5,
    number(
        "Watchdog's age",
        About(
            "How long ago the alert that always fires last reached the incident receiver. When it stops coming,"
            " alerting is silent, and the receiver opens an incident by itself.",
            "below 30 s.",
            ("IncidentReceiverDown", "AlertmanagerUnreachable"),
        ),
        "dtdurations",
        Query(f"max(taskmanager_incidents_watchdog_age_seconds{{{MONITORING}}})", "ago"),
        limits=(Limit(60, "60 s: alerting may be silent", CRITICAL),),
        decimals=0,
        width=6,
        no_value=_NEVER_HEARD,
    ),
    number(
        "Alertmanagers",
        About("Alertmanagers that Prometheus hands alerts to.", "1 or more.", ("AlertmanagerUnreachable",)),
        "none",
        Query(f"sum(prometheus_notifications_alertmanagers_discovered{{{_PROMETHEUS}}})", "known"),
        limits=(Limit(1, "1: nobody is told", CRITICAL),),
        falling=True,
        width=6,
    ),
    state(
        "Configuration",
        About(
            "Whether Prometheus and Alertmanager run on the configuration that was last loaded without a fault.",
            "as its file says.",
            ("ConfigurationNotLoaded",),
        ),
        LOADED,
        Query(f"min(prometheus_config_last_reload_successful{{{_PROMETHEUS}}})", "Prometheus"),
        Query(f"min(alertmanager_config_last_reload_successful{{{_ALERTMANAGER}}})", "Alertmanager"),
        width=6,
    ),
    number(
        "Oldest sample",
        About(
            "How far back Prometheus remembers; a service level of 30 days needs 30 days.",
            "30 days or more.",
            boards=(SLO,),
        ),
        "dtdurations",
        Query(f"time() - min(prometheus_tsdb_lowest_timestamp_seconds{{{_PROMETHEUS}}})", "of history"),
        decimals=0,
        width=6,
    ),
)

_STORAGE = row(
    "Prometheus' storage",
    8,
    graph(
        "Series in memory",
        About("Series that Prometheus keeps in memory.", "level; a rise is a label without bound.", boards=(INCIDENT,)),
        "short",
        Query(f"sum(prometheus_tsdb_head_series{{{_PROMETHEUS}}})", "series"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
    graph(
        "Size on disk",
        About(
            "What Prometheus' blocks and its write-ahead log take.",
            "level after the time that is kept.",
            boards=(INCIDENT,),
        ),
        "bytes",
        Query(f"sum(prometheus_tsdb_storage_blocks_bytes{{{_PROMETHEUS}}})", "blocks"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
    graph(
        "Samples taken in",
        About("Samples in a second.", "level.", boards=(INCIDENT,)),
        "ops",
        Query(f"sum(rate(prometheus_tsdb_head_samples_appended_total{{{_PROMETHEUS}}}[{WINDOW}]))", "samples"),
        width=8,
        no_value=_NOT_SCRAPED,
    ),
)

BOARD = Board(
    uid=META[0],
    title=f"TaskManager: {META[1]}",
    description="The monitoring as something that can fail: targets, rules, notifications, the watchdog, storage.",
    rows=(_TARGETS, _RULES, _NOTIFICATIONS, _WATCHDOG, _STORAGE),
    by_instance=False,
)
