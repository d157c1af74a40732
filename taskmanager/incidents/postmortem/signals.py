"""What the service's metrics tell, as rows: instances, states, schema, migrations, releases, requests that failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from taskmanager.incidents.postmortem.prometheus import Prometheus, Series, time_of
from taskmanager.incidents.postmortem.timeline import Event, Origin, Window

NOT_TOLD = "—"

# The threshold of the alert on errors, HighErrorRate.
TOO_MANY_ERRORS = 0.05

# Refusals while a migration runs are planned, and no failure.
ERROR_RATIO = (
    '(sum(rate(http_requests_total{{status=~"5..",{env}}}[30s]))'
    ' - (sum(rate(taskmanager_requests_refused_total{{reason="migrating",{env}}}[30s])) or vector(0)))'
    " / sum(rate(http_requests_total{{{env}}}[30s]))"
)
P95_S = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{{{env}}}[1m])))"

Rows = Callable[[Series, Window], Iterator[Event]]


@dataclass(frozen=True, slots=True)
class Signal:
    """A query, in which `{env}` stands for the incident's environment, and the rows of each of its series."""

    query: str
    rows: Rows


def events(prometheus: Prometheus, window: Window, env: str) -> list[Event]:
    """The rows of every signal. Raises SourceFailed."""
    return [
        event
        for signal in SIGNALS
        for series in prometheus.series(signal.query.format(env=matcher(env)), window)
        for event in signal.rows(series, window)
    ]


def matcher(env: str) -> str:
    """What a selector says of the environment: the incident's, or none where targets bear no such label."""
    return f'env=~"{env}|"' if re.fullmatch(r"[A-Za-z0-9_-]+", env) else 'env=~".*"'


def _instance(series: Series) -> dict[str, str]:
    return _label(series, "instance")


def _label(series: Series, name: str) -> dict[str, str]:
    return {name: series.labels.get(name) or NOT_TOLD}


def _event(at: datetime, key: str, values: dict[str, str], *, mends: bool = False) -> Event:
    return Event(at, Origin.PROMETHEUS, key, values, mends)


def _up(series: Series, window: Window) -> Iterator[Event]:
    values = _instance(series)
    for at, _, after in series.changes():
        yield _event(at, "instance_up" if after else "instance_down", values, mends=bool(after))
    yield from _presence(series, window, "instance_appeared", values, "instance_gone")


def _presence(
    series: Series, window: Window, came: str, values: dict[str, str], went: str | None = None, *, mends: bool = False
) -> Iterator[Event]:
    """Rows for a series that was not there at the window's start, or is not there at its end."""
    step = timedelta(seconds=window.step_s)
    for start, end in series.runs(window.step_s):
        if start > window.start + step:
            yield _event(start, came, values, mends=mends)
        if went and end < window.end - 2 * step:
            yield _event(end + step, went, values)


def _app_state(series: Series, window: Window) -> Iterator[Event]:
    yield from _presence(series, window, "app_state", _instance(series) | _label(series, "state"))


def _schema_state(series: Series, window: Window) -> Iterator[Event]:
    yield from _presence(series, window, "schema_state", _instance(series) | _label(series, "state"))


def _servable(series: Series, window: Window) -> Iterator[Event]:
    for at, _, after in series.changes():
        yield _event(at, "servable" if after else "not_servable", _instance(series))


def _last_run(series: Series, window: Window) -> Iterator[Event]:
    result = _label(series, "result")
    yield from _presence(series, window, "last_run", result, mends=result["result"] in ("running", "succeeded"))


def _build(series: Series, window: Window) -> Iterator[Event]:
    values = _instance(series) | _label(series, "version") | _label(series, "commit")
    yield from _presence(series, window, "build", values, mends=True)


def _restart(series: Series, window: Window) -> Iterator[Event]:
    for at, _, _ in series.changes():
        yield _event(at, "restarted", _instance(series), mends=True)


def _ratio(series: Series, window: Window) -> Iterator[Event]:
    above = False
    peak = max((value for _, value in series.samples), default=0.0)
    for at, value in series.samples:
        if (value > TOO_MANY_ERRORS) is not above:
            above = not above
            yield _event(time_of(at), "ratio_above" if above else "ratio_below", {"peak": f"{peak:.6f}"})


SIGNALS = (
    Signal('up{{job="taskmanager",{env}}}', _up),
    Signal("taskmanager_app_state{{{env}}} == 1", _app_state),
    Signal("migration_gate_state{{{env}}} == 1", _schema_state),
    Signal("migration_gate_servable{{{env}}}", _servable),
    Signal("max by (result) (migration_gate_last_run{{{env}}} == 1)", _last_run),
    Signal("taskmanager_build_info{{{env}}}", _build),
    Signal('process_start_time_seconds{{job="taskmanager",{env}}}', _restart),
    Signal(ERROR_RATIO, _ratio),
)
