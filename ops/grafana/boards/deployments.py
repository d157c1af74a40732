"""How deployments went: the brief's success over the last ten, availability, and each as a mark on every graph."""

from __future__ import annotations

from ops.grafana.boards.board import row
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, WARNING, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import MONITORING, SERVICE
from ops.grafana.boards.uids import INCIDENT
from ops.grafana.boards.words import number

_RATIO = f"max(taskmanager_deployment_success_ratio{{{MONITORING}}})"
# A subquery's steps, in which an outage of less than a minute may be missed: the success of requests has those.
_AVAILABLE = f'avg_over_time((max(up{{job="taskmanager",{SERVICE}}}))[30d:1m])'

DEPLOYMENTS = row(
    "Deployments",
    6,
    number(
        "Success over the last 10 deployments",
        About(
            "The share of the last ten deployments, or of as many as there were, that succeeded. Those that the"
            " pre-flight refused touched nothing and are left out.",
            "100 %.",
            boards=(INCIDENT,),
        ),
        "percentunit",
        # NaN, before the first deployment, is no share.
        Query(f"{_RATIO} >= 0", "of the last ten"),
        limits=(Limit(1.0, "100 %: one did not succeed", WARNING),),
        falling=True,
        decimals=0,
        width=6,
        empty_unless="there was a deployment",
        no_value="No deployment was recorded yet",
    ),
    number(
        "Availability in 30 days",
        About(
            "The share of the last 30 days, looked at each minute, in which at least one replica answered.",
            "99.9 % or more.",
            ("ServiceDown", "ServiceAbsent"),
            (INCIDENT,),
        ),
        "percentunit",
        Query(_AVAILABLE, "in 30 days"),
        limits=(Limit(0.999, "99.9 %: what is promised", CRITICAL),),
        falling=True,
        decimals=3,
        width=6,
        no_value="No data: the service is not scraped",
    ),
    graph(
        "Deployments by how they ended",
        About(
            "Deployments within an hour of each point: succeeded, rolled back by themselves, failed, refused by the"
            " pre-flight.",
            "succeeded alone.",
            boards=(INCIDENT,),
        ),
        "none",
        Query(f"sum by (result) (increase(taskmanager_deployments_total{{{MONITORING}}}[1h]))", "{{result}}"),
        width=12,
        no_value="No data: the incident receiver is not scraped",
    ),
)
