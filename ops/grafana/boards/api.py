"""The API as its clients meet it: rate, errors, duration, and what is refused (the RED method)."""

from __future__ import annotations

from ops.grafana.boards.board import Board, row
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, WARNING, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import REPLICAS, WINDOW, failures, quantile, requests
from ops.grafana.boards.tables import Column, table
from ops.grafana.boards.uids import API, DATABASE, INCIDENT, SLO
from ops.grafana.boards.words import number

_REQUESTS = f"http_requests_total{{{REPLICAS}}}"
_BUCKETS = "http_request_duration_seconds_bucket"
_ERROR_ALERTS = ("HighErrorRate", "ErrorsAtLowTraffic")
_NO_REQUESTS = "No data: no request came in this time"

_ERRORS = Limit(0.05, "5 %: HighErrorRate", CRITICAL)
_SLOW = Limit(2, "2 s: HighResponseTime", WARNING)
_ERROR_RATIO = f"{failures('1m')} / {requests('1m')}"

_NOW = row(
    "Now",
    5,
    number(
        "Requests",
        About(
            "Requests answered in a second, over the last minute.",
            "what this hour of the day usually has.",
            boards=(INCIDENT,),
        ),
        "reqps",
        Query(requests("1m"), "requests"),
        width=6,
    ),
    number(
        "Error ratio",
        About(
            "The share of requests of the last minute that failed (5xx, without what a planned migration refused).",
            "0 %.",
            _ERROR_ALERTS,
            (SLO,),
        ),
        "percentunit",
        Query(_ERROR_RATIO, "failed"),
        limits=(_ERRORS,),
        decimals=2,
        width=6,
        no_value=_NO_REQUESTS,
    ),
    number(
        "95th percentile",
        About(
            "The time within which 95 % of the last minute's requests were answered.",
            "below 100 ms.",
            ("HighResponseTime",),
        ),
        "s",
        Query(quantile(0.95, _BUCKETS, window="1m"), "p95"),
        limits=(_SLOW,),
        width=6,
        no_value=_NO_REQUESTS,
    ),
    number(
        "In flight",
        About(
            "Requests being answered at this moment, as a share of what is let in at once.",
            "below 50 %.",
            ("RequestsRefused",),
        ),
        "percentunit",
        Query(
            f"sum(http_requests_inprogress{{{REPLICAS}}}) / sum(taskmanager_requests_in_flight_max{{{REPLICAS}}})",
            "of the admitted number",
        ),
        limits=(Limit(0.9, "90 %: what comes next may be refused", WARNING),),
        width=6,
    ),
)

_RATE = row(
    "Rate and errors",
    9,
    graph(
        "Requests by status",
        About("Requests in a second, by the status of their answer.", "2xx and 4xx; no 5xx.", boards=(INCIDENT,)),
        "reqps",
        Query(f"sum by (status) (rate({_REQUESTS}[{WINDOW}]))", "{{status}}"),
        stacked=True,
        no_value=_NO_REQUESTS,
    ),
    graph(
        "Error ratio by handler",
        About(
            "The share of each handler's requests that were answered with 5xx; the line of all handlers leaves out what"
            " a planned migration refused.",
            "0 %.",
            _ERROR_ALERTS,
            (INCIDENT, SLO),
        ),
        "percentunit",
        Query(f"{failures(WINDOW)} / {requests(WINDOW)}", "all handlers"),
        Query(
            f'(sum by (handler) (rate(http_requests_total{{{REPLICAS},status=~"5.."}}[{WINDOW}]))'
            f" or sum by (handler) (rate({_REQUESTS}[{WINDOW}])) * 0) / sum by (handler) (rate({_REQUESTS}[{WINDOW}]))",
            "{{handler}}",
        ),
        limits=(_ERRORS,),
        no_value=_NO_REQUESTS,
    ),
)

_DURATION = row(
    "Duration",
    9,
    graph(
        "Duration of all requests",
        About(
            "The time within which half, 95 % and 99 % of the requests were answered, and the mean of all. The mean"
            " stays low while one request in twenty is slow, so the threshold stands on the 95th percentile.",
            "p95 below 100 ms.",
            ("HighResponseTime",),
            (DATABASE,),
        ),
        "s",
        *(Query(quantile(share, _BUCKETS), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)),
        Query(
            f"sum(rate(http_request_duration_seconds_sum{{{REPLICAS}}}[{WINDOW}]))"
            f" / sum(rate(http_request_duration_seconds_count{{{REPLICAS}}}[{WINDOW}]))",
            "mean",
        ),
        limits=(_SLOW,),
        no_value=_NO_REQUESTS,
    ),
    graph(
        "Requests slower than 2 s",
        About(
            "The share of requests that took more than 2 s. Counted, not estimated: 2 s is a bound of the histogram.",
            "0 %; at 5 % the 95th percentile passes 2 s.",
            ("HighResponseTime",),
        ),
        "percentunit",
        Query(
            f'clamp_min(1 - sum(rate({_BUCKETS}{{{REPLICAS},le="2.0"}}[{WINDOW}]))'
            f' / sum(rate({_BUCKETS}{{{REPLICAS},le="+Inf"}}[{WINDOW}])), 0)',
            "slower than 2 s",
        ),
        limits=(Limit(0.05, "5 %: p95 above 2 s", WARNING),),
        no_value=_NO_REQUESTS,
    ),
)

_HANDLERS = row(
    "",
    9,
    table(
        "Slowest handlers",
        About(
            "The handlers with the highest 95th percentile of the last five minutes, slowest first.",
            "all below 100 ms.",
            ("HighResponseTime",),
            (DATABASE,),
        ),
        (Column("method", "Method"), Column("handler", "Handler"), Column("A", "p95", "s")),
        f"sort_desc(topk(10, {quantile(0.95, _BUCKETS, 'method', 'handler', window='5m')} >= 0))",
        no_value=_NO_REQUESTS,
    ),
    graph(
        "Duration by handler, 95th percentile",
        About("The 95th percentile of each handler.", "below 100 ms.", ("HighResponseTime",)),
        "s",
        Query(quantile(0.95, _BUCKETS, "handler"), "{{handler}}"),
        limits=(_SLOW,),
        no_value=_NO_REQUESTS,
    ),
)

_LOAD = row(
    "Load and refusals",
    8,
    graph(
        "Requests in flight",
        About(
            "Requests being answered at the same time, and how many are let in; what comes beyond is refused with 503.",
            "far below the number that is let in.",
            ("RequestsRefused",),
        ),
        "none",
        Query(f"sum(http_requests_inprogress{{{REPLICAS}}})", "in flight"),
        Query(f"sum(taskmanager_requests_in_flight_max{{{REPLICAS}}})", "let in at once"),
        width=8,
    ),
    graph(
        "Refusals by reason",
        About(
            "Requests refused in a second: overloaded (too many at once), schema (it is not servable), migrating"
            " (planned, no error).",
            "0.",
            ("RequestsRefused", "SchemaNotMigrated", "SchemaMismatch", "SchemaBroken"),
        ),
        "reqps",
        Query(f"sum by (reason) (rate(taskmanager_requests_refused_total{{{REPLICAS}}}[{WINDOW}]))", "{{reason}}"),
        width=8,
    ),
    graph(
        "Event loop's lag",
        About(
            "By how much the process was late to look after its requests, at worst in ten seconds.",
            "below 50 ms.",
            ("EventLoopBlocked",),
        ),
        "s",
        Query(f"max by (instance) (taskmanager_event_loop_lag_seconds{{{REPLICAS}}})", "{{instance}}"),
        limits=(Limit(0.5, "0.5 s: EventLoopBlocked", WARNING),),
        width=8,
    ),
)

_SIZES = row(
    "",
    8,
    *(
        graph(
            f"Size of {what}",
            About(
                f"The mean length of {what} by handler, as their headers tell it.",
                "some kilobytes.",
                boards=(INCIDENT,),
            ),
            "bytes",
            Query(
                f"sum by (handler) (rate(http_{metric}_size_bytes_sum{{{REPLICAS}}}[{WINDOW}]))"
                f" / sum by (handler) (rate(http_{metric}_size_bytes_count{{{REPLICAS}}}[{WINDOW}]))",
                "{{handler}}",
            ),
            width=8,
            no_value=_NO_REQUESTS,
        )
        for what, metric in (("requests", "request"), ("answers", "response"))
    ),
    graph(
        "Memory",
        About(
            "What each replica holds in memory.",
            "level after the first minutes; a steady rise is a leak.",
            boards=(INCIDENT,),
        ),
        "bytes",
        Query(f'process_resident_memory_bytes{{job="taskmanager",{REPLICAS}}}', "{{instance}}"),
        width=8,
    ),
)

BOARD = Board(
    uid=API[0],
    title=f"TaskManager: {API[1]}",
    description="The API as its clients meet it: rate, errors, duration and refusals.",
    rows=(_NOW, _RATE, _DURATION, _HANDLERS, _LOAD, _SIZES),
)
