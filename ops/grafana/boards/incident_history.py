"""The history of incidents and of their resolution: Prometheus' own ALERTS, and the metrics of the receiver."""

from __future__ import annotations

from ops.grafana.boards.alerts import RUNBOOKS
from ops.grafana.boards.board import row
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import MONITORING, WATCHED
from ops.grafana.boards.states import FIRING
from ops.grafana.boards.tables import Column, table
from ops.grafana.boards.uids import META
from ops.grafana.boards.words import number

_FIRING = f'ALERTS{{alertstate="firing",severity=~"critical|warning",{WATCHED}}}'
_BY = "max by (alertname, severity, code, service)"
# How finely the past is looked at, in seconds: a firing that is shorter may be missed in this table, not in the graphs.
_STEP_S = 15


def _since(fold: str, what: str) -> str:
    return f"{fold}(({_BY} ({what}))[$__range:{_STEP_S}s])"


_HISTORY = table(
    "Incidents of this time and their resolution",
    About(
        "Each alert that fired in the chosen time: when it was first and last seen firing, for how long altogether, and"
        " whether it has been resolved. It needs Prometheus alone.",
        "the table is empty, and says so. After an incident, every row says resolved.",
        boards=(META,),
    ),
    (
        Column("alertname", "Alert"),
        Column("severity", "Severity"),
        Column("code", "Code", link=("Runbook", f"{RUNBOOKS}/${{__value.raw}}.md")),
        Column("service", "Service"),
        Column("A", "First seen", "dateTimeAsIso"),
        Column("B", "Last seen", "dateTimeAsIso"),
        Column("C", "Fired for", "dtdurations"),
        Column("D", "Now", words=FIRING),
    ),
    f"{_since('min_over_time', f'timestamp({_FIRING})')} * 1000",
    f"{_since('max_over_time', f'timestamp({_FIRING})')} * 1000",
    f"{_since('count_over_time', _FIRING)} * {_STEP_S}",
    f"({_BY} ({_FIRING}) * 2) or ({_since('max_over_time', _FIRING)} * 0)",
    width=24,
    empty_unless="an alert fires",
    no_value="No alert fired in this time",
)

_OPEN = number(
    "Open incidents",
    About(
        "Incidents that the receiver has opened and that are not resolved yet.",
        "0.",
        ("IncidentReceiverDown",),
    ),
    "none",
    Query(f"sum(taskmanager_incidents_open{{{MONITORING}}})", "open"),
    limits=(Limit(0, "0: an incident is open", CRITICAL),),
    decimals=0,
    width=8,
)


def _median(what: str) -> str:
    buckets = f"sum by (le) (increase(taskmanager_incident_time_to_{what}_seconds_bucket{{{MONITORING}}}[$__range]))"
    counted = f"sum(increase(taskmanager_incident_time_to_{what}_seconds_count{{{MONITORING}}}[$__range]))"
    return f"histogram_quantile(0.5, {buckets}) and on () ({counted} > 0)"


_ACKNOWLEDGE = number(
    "Time to acknowledge",
    About(
        "The median time from an incident's opening until somebody took it up, in the chosen time.",
        "minutes.",
        boards=(META,),
    ),
    "dtdurations",
    Query(_median("acknowledge"), "median"),
    width=8,
    empty_unless="an incident is acknowledged",
    no_value="No incident was acknowledged in this time",
)

_RESOLVE = number(
    "Time to resolve",
    About(
        "The median time from an incident's opening to its resolution, in the chosen time.",
        "below 30 minutes.",
        boards=(META,),
    ),
    "dtdurations",
    Query(_median("resolve"), "median"),
    limits=(Limit(1800, "30 minutes"),),
    width=8,
    empty_unless="an incident is resolved",
    no_value="No incident was resolved in this time",
)

_COUNTS = graph(
    "Incidents opened and resolved",
    About(
        "Incidents opened and incidents resolved within ten minutes of each point. Both lines are alike when what opens"
        " is also resolved.",
        "0.",
        ("IncidentReceiverDown",),
    ),
    "none",
    Query(f"sum(increase(taskmanager_incidents_total{{{MONITORING}}}[10m]))", "opened"),
    Query(f"sum(increase(taskmanager_incident_time_to_resolve_seconds_count{{{MONITORING}}}[10m]))", "resolved"),
    width=12,
    no_value="No data: the incident receiver is not scraped",
)

_OPEN_OVER_TIME = graph(
    "Open incidents over time",
    About(
        "Incidents that are open, by severity.",
        "0; a step up is an incident, the step down its resolution.",
        boards=(META,),
    ),
    "none",
    Query(f"sum by (severity) (taskmanager_incidents_open{{{MONITORING}}})", "{{severity}}"),
    width=12,
    no_value="No data: the incident receiver is not scraped",
)

HISTORY = (
    row("History of incidents and of their resolution", 8, _HISTORY),
    row("", 5, _OPEN, _ACKNOWLEDGE, _RESOLVE),
    row("", 8, _COUNTS, _OPEN_OVER_TIME),
)
