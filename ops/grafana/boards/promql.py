"""Pieces of PromQL that several boards are made of."""

from __future__ import annotations

from collections.abc import Sequence

# The chosen service and environment; the chosen replicas of it; what watches it, in the same environment; and the
# scheduler of its backups.
SERVICE = 'service="$service",env="$env"'
REPLICAS = f'{SERVICE},instance=~"$instance"'
MONITORING = 'service="monitoring",env="$env"'
BACKUPS = f'job="backup",{SERVICE}'
WATCHED = 'service=~"$service|monitoring",env="$env"'

# Kinds of taskmanager_db_errors_total that clients cause: DatabaseError leaves them out, and a test compares.
CLIENTS_DB_ERRORS = "integrity|data"

WINDOW = "$__rate_interval"


# The rules sum what each replica has counted, from 0 on: a counter that is born with its first failure would not tell
# of that one. So these sums are what shares of failure are computed from.
_REQUESTS = "instance:http_requests:sum"
_ANSWERED_5XX = "instance:http_responses_5xx:sum"
_PLANNED = "instance:http_requests_refused_migrating:sum"


def requests(window: str, selector: str = REPLICAS, function: str = "rate") -> str:
    """Requests a second; with `function` increase, requests in the window."""
    return f"sum({function}({_REQUESTS}{{{selector}}}[{window}]))"


def failures(window: str, selector: str = REPLICAS, function: str = "rate") -> str:
    """Failed ones among them: answers of 500 and above, without those by which a planned migration refused."""
    answered, planned = (f"sum({function}({metric}{{{selector}}}[{window}]))" for metric in (_ANSWERED_5XX, _PLANNED))
    return f"clamp_min({answered} - {planned}, 0)"


def quantile(share: float, buckets: str, *by: str, selector: str = REPLICAS, window: str = WINDOW) -> str:
    """A quantile of a histogram in seconds; `buckets` is its metric, without selector."""
    labels = ", ".join(("le", *by))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({buckets}{{{selector}}}[{window}])))"


def numbered(metric: str, states: Sequence[str], by: str, selector: str, label: str = "state") -> str:
    """The number (from 1) of the state for which the metric is 1; several series become one line."""
    branches = " or ".join(
        f'{metric}{{{selector},{label}="{state}"}} * {number}' for number, state in enumerate(states, start=1)
    )
    return f"max by ({by}) ({branches})"
