"""Pieces of PromQL that several boards are made of."""

from __future__ import annotations

from collections.abc import Sequence

# The chosen service and environment; the chosen replicas of it; and what watches it, in the same environment.
SERVICE = 'service="$service",env="$env"'
REPLICAS = f'{SERVICE},instance=~"$instance"'
MONITORING = 'service="monitoring",env="$env"'
WATCHED = 'service=~"$service|monitoring",env="$env"'

WINDOW = "$__rate_interval"


def failed_rate(window: str, selector: str = REPLICAS) -> str:
    """Failed requests a second: answers of 500 and above, without those that a planned migration refused."""
    return (
        f'clamp_min(sum(rate(http_requests_total{{{selector},status=~"5.."}}[{window}]) or vector(0))'
        f' - sum(rate(taskmanager_requests_refused_total{{{selector},reason="migrating"}}[{window}]) or vector(0)), 0)'
    )


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
