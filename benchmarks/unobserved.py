"""`taskmanager serve` without what observes it: the other side of what observability costs.

    python -m benchmarks.unobserved --port 8001                        nothing is observed
    python -m benchmarks.unobserved --port 8001 --without request_log  one part alone is left out

The service has no switch for this, and is not to have one. So each part is taken off from outside once the
application is assembled, and a request goes the same way through the same code. What stays of a part are calls of
functions that do nothing, and the reading of a clock for them. That there is something to take off is asked first, or a
part that was given another name would be measured as if it cost nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskmanager.observability.histograms import Histogram

if TYPE_CHECKING:
    from fastapi import FastAPI

    from taskmanager.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until the process is told to end, and return its exit status."""
    # Here and not above: who reads `PARTS` generates load, and is to carry no web framework meanwhile.
    import taskmanager.app
    from taskmanager import cli

    parser = argparse.ArgumentParser(prog="python -m benchmarks.unobserved", description="The service, unobserved.")
    parser.add_argument("--port", required=True)
    parser.add_argument("--without", action="append", choices=PARTS, help="leave out this part alone (default: all)")
    options = parser.parse_args(arguments)
    create_app = taskmanager.app.create_app

    def create_unobserved(settings: Settings | None = None) -> FastAPI:
        return without(create_app(settings), options.without or PARTS)

    # The command line imports it by this name when it comes to serve.
    taskmanager.app.create_app = create_unobserved
    return cli.main(["serve", "--port", options.port])


def without(app: FastAPI, parts: Iterable[str]) -> FastAPI:
    """Take these parts of `PARTS` off the application, and return it.

    Raises
    ------
    AttributeError: there is no such thing to take off any more.
    """
    left_out = set(parts)
    for part in left_out:
        PARTS[part](app)
    if {"request_metrics", "request_log"} <= left_out:
        # Neither is there to be told: the telling goes too.
        _replace(app.state.front_door, "_record", _nothing)
    return app


def _without_request_metrics(app: FastAPI) -> None:
    _replace(app.state.front_door.records.metrics, "count", _nothing)


def _without_request_log(app: FastAPI) -> None:
    _replace(app.state.request_log, "write", _nothing)


def _without_database_metrics(app: FastAPI) -> None:
    metrics = app.state.database._metrics
    _replace(metrics, "took", _nothing)
    _replace(metrics, "failed", _nothing)
    _replace(metrics, "waits", _Deaf(metrics.waits.bounds_s))


def _without_activity(app: FastAPI) -> None:
    _replace(app.state.activity, "run", _end_at_once)


def _without_loop_lag(app: FastAPI) -> None:
    _replace(app.state.loop_lag, "run", _end_at_once)


PARTS: Mapping[str, Callable[[FastAPI], None]] = {
    "request_metrics": _without_request_metrics,
    "request_log": _without_request_log,
    "database_metrics": _without_database_metrics,
    "activity": _without_activity,
    "loop_lag": _without_loop_lag,
}


class _Deaf(Histogram):
    """A histogram that stays empty."""

    __slots__ = ()

    def observe(self, seconds: float) -> None:
        return


def _nothing(*_: object, **__: object) -> None:
    return


async def _end_at_once() -> None:
    return


def _replace(owner: Any, name: str, substitute: object) -> None:
    getattr(owner, name)
    setattr(owner, name, substitute)


if __name__ == "__main__":
    sys.exit(main())
