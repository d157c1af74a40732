"""The service level: what was promised, what is left of the budget for failure, and how fast it is used up.

The promise is that 99.9 % of requests in 30 days do not fail. A burn rate of 1 uses the budget up in exactly that time.
The method and its factors are those of Google's "The Site Reliability Workbook", chapter 5.
"""

from __future__ import annotations

from ops.grafana.boards.board import Board, row
from ops.grafana.boards.deployments import DEPLOYMENTS
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, WARNING, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import SERVICE, failures, requests
from ops.grafana.boards.uids import API, INCIDENT, SLO
from ops.grafana.boards.words import number

_OBJECTIVE = 0.999
_BUDGET = 1 - _OBJECTIVE
_BURNS = ("ErrorBudgetBurnFast", "ErrorBudgetBurnSlow")
_NO_REQUESTS = "No data: no request came in this time"


def _ratio(window: str) -> str:
    """The share of requests that failed, as the rules record it."""
    return f"slo:sli_error:ratio_rate{window}{{{SERVICE}}}"


def _burn(window: str) -> str:
    return f"{_ratio(window)} / {_BUDGET:g}"


def _level(window: str, spoken: str) -> Query:
    return Query(f"1 - {_ratio(window)}", f"in {spoken}")


_REQUESTS_30D = requests("30d", SERVICE, "increase")
_FAILED_30D = failures("30d", SERVICE, "increase")

_NOW = row(
    "Now",
    5,
    number(
        "Success in 30 days",
        About(
            "The share of requests of the last 30 days that did not fail; of less, where Prometheus remembers less.",
            "99.9 % or more.",
            _BURNS,
        ),
        "percentunit",
        Query(f"1 - {_FAILED_30D} / {_REQUESTS_30D}", "in 30 days"),
        limits=(Limit(_OBJECTIVE, "99.9 %: the promise is broken", CRITICAL),),
        falling=True,
        decimals=3,
        width=6,
        no_value=_NO_REQUESTS,
    ),
    number(
        "Error budget left",
        About(
            "What is left of the failures that 30 days may have: 100 % is untouched, below 0 the promise is broken.",
            "above 25 %; below it, what can wait is not released.",
            _BURNS,
        ),
        "percentunit",
        Query(f"1 - {_FAILED_30D} / {_REQUESTS_30D} / {_BUDGET:g}", "of 30 days' budget"),
        limits=(Limit(0.25, "25 %: release with care", WARNING), Limit(0, "0: the budget is spent", CRITICAL)),
        falling=True,
        decimals=1,
        width=6,
        no_value=_NO_REQUESTS,
    ),
    number(
        "Requests in 30 days",
        About("Requests of the last 30 days.", "what the service usually has.", boards=(API,)),
        "short",
        Query(_REQUESTS_30D, "requests"),
        decimals=0,
        width=6,
        no_value=_NO_REQUESTS,
    ),
    number(
        "Failed requests in 30 days",
        About(
            "Requests of the last 30 days that failed: 5xx, without what a planned migration refused.",
            "below one in a thousand.",
            _BURNS,
            (INCIDENT,),
        ),
        "short",
        Query(_FAILED_30D, "failed"),
        decimals=0,
        width=6,
    ),
)

_LEVEL = row(
    "Level and burn rate",
    9,
    graph(
        "Success",
        About(
            "The share of requests that did not fail, over the last hour, day and three days at each point.",
            "99.9 % or more.",
            _BURNS,
            (API,),
        ),
        "percentunit",
        _level("1h", "1 hour"),
        _level("1d", "1 day"),
        _level("3d", "3 days"),
        limits=(Limit(_OBJECTIVE, "99.9 %: what is promised", WARNING),),
        falling=True,
        no_value=_NO_REQUESTS,
    ),
    graph(
        "Burn rate",
        About(
            "How many times faster than allowed the budget is used up, by the window that is looked at.",
            "below 1.",
            _BURNS,
            (INCIDENT,),
        ),
        "none",
        Query(_burn("1h"), "over 1 hour"),
        Query(_burn("6h"), "over 6 hours"),
        Query(_burn("3d"), "over 3 days"),
        limits=(
            Limit(14.4, "14.4 over 1 hour: ErrorBudgetBurnFast", CRITICAL),
            Limit(6, "6 over 6 hours: ErrorBudgetBurnFast", CRITICAL),
            Limit(1, "1 over 3 days: ErrorBudgetBurnSlow", WARNING),
        ),
        no_value=_NO_REQUESTS,
    ),
)

_VERDICTS = row(
    "Windows of the alerts",
    5,
    *(
        number(
            f"Burn rate over {spoken}",
            About(
                f"How many times faster than allowed the budget was used up in the last {spoken}, and in the shorter"
                f" window of {short} that ends the alert soon after the failure has ended.",
                "below 1.",
                (alert,),
            ),
            "none",
            Query(f"({_burn(window)} < {_burn(short)}) or {_burn(short)}", "the smaller of both windows"),
            limits=(Limit(factor, f"{factor:g}: {alert}", color),),
            decimals=2,
            width=6,
            no_value=_NO_REQUESTS,
        )
        for window, short, factor, spoken, alert, color in (
            ("1h", "5m", 14.4, "hour", "ErrorBudgetBurnFast", CRITICAL),
            ("6h", "30m", 6.0, "6 hours", "ErrorBudgetBurnFast", CRITICAL),
            ("1d", "2h", 3.0, "day", "ErrorBudgetBurnSlow", WARNING),
            ("3d", "6h", 1.0, "3 days", "ErrorBudgetBurnSlow", WARNING),
        )
    ),
)

BOARD = Board(
    uid=SLO[0],
    title=f"TaskManager: {SLO[1]}",
    description="What was promised (99.9 % of requests in 30 days), what is left of it, how fast that is used up.",
    rows=(_NOW, _LEVEL, _VERDICTS, DEPLOYMENTS),
    by_instance=False,
    time_from="now-24h",
)
