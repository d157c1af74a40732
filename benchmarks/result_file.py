"""The result of a run as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.cells import CELLS
from benchmarks.contestants import BRIEF, CONNECTIONS, POOL_SIZE, THIS, WORKERS
from benchmarks.observability import SIGNALS, TRACED_SHARE, Observability
from benchmarks.overload import Overload
from benchmarks.paging import DEPTH, SORTS, Paging
from benchmarks.paging import ROWS as PAGING_ROWS
from benchmarks.results import Result
from benchmarks.series import Series, percentile, ratio
from benchmarks.tally import Tally
from benchmarks.targets import Target
from benchmarks.throughput import ROWS

FORMAT = 1
FILE = "result.json"


def as_json(result: Result) -> dict[str, Any]:
    """All of it; every ratio and verdict is computed here from the figures beside it."""
    return {
        "format": FORMAT,
        "began": result.began,
        "duration_s": round(result.duration_s, 1),
        "command": result.command,
        "commit": result.commit,
        "machine": asdict(result.machine),
        "versions": dict(result.versions),
        "options": dict(result.options),
        "equal_for_all": {
            "rows": ROWS,
            "client_connections": CONNECTIONS,
            "pool_size": POOL_SIZE,
            "workers": WORKERS,
            "postgresql": dict(result.server_settings),
        },
        "throughput": result.outcomes and {name: _outcome(result, name) for name in result.outcomes},
        "paging": result.paging and _paging(result.paging),
        "cold_start_s": result.cold_start and {n: s.as_dict() for n, s in result.cold_start.seconds.items()},
        "overload": result.overload and _overload(result.overload),
        "observability": result.observability and _observability(result.observability),
        "targets": [_target(target) for target in result.targets()],
        "void": result.void(),
        "missing": result.absent(),
    }


def write(result: Result, folder: Path) -> Path:
    """Write the JSON into `folder` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(json.dumps(as_json(result), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _outcome(result: Result, name: str) -> dict[str, Any]:
    outcomes = result.outcomes or {}
    outcome, brief, this = outcomes[name], outcomes.get(BRIEF), outcomes.get(THIS)
    cells = {}
    for cell in CELLS if outcome.standing == "measured" else ():
        rates = outcome.rates(cell.name)
        cells[cell.name] = {
            "request": cell.request,
            "answers_per_s": _series(rates),
            "cpu_us_per_answer": _series(outcome.cpu_us(cell.name)),
            "times_the_brief": _rounded(ratio(rates, brief.rates(cell.name)) if brief else None),
            "this_service_is_times": _rounded(ratio(this.rates(cell.name), rates) if this else None),
            "runs": [asdict(run) for run in outcome.cells.get(cell.name, ())],
        }
    return {
        "title": outcome.title,
        "standing": outcome.standing,
        "cells": cells,
        "rss_bytes": _series(outcome.rss()),
        "database_connections": outcome.database_connections,
    }


def _paging(paging: Paging) -> dict[str, Any]:
    sorts = {
        sort: {
            "first_page_ms": _series(paging.first_ms.get(sort)),
            "deep_page_ms": _series(paging.deep_ms.get(sort)),
            "slower_to_quicker": _rounded(paging.factor(sort)),
        }
        for sort in SORTS
        if sort in paging.first_ms
    }
    return {"rows": PAGING_ROWS, "depth": DEPTH, "sorts": sorts}


def _overload(overload: Overload) -> dict[str, Any]:
    return {
        "answers_per_s_by_connections": {str(step): round(rate, 1) for step, rate in overload.rates.items()},
        "saturating_connections": overload.connections,
        "max_in_flight": overload.max_in_flight,
        "saturating_answers_per_s": round(overload.rate, 1),
        "open_loop_is_dishonest": overload.dishonest(),
        "loads": {load: [_tally(tally) for tally in tallies] for load, tallies in overload.tallies.items()},
    }


def _observability(observability: Observability) -> dict[str, Any]:
    def side(name: str, cell: str) -> dict[str, Any]:
        return {
            "answers_per_s": _series(observability.rates(name, cell)),
            "cpu_us_per_answer": _series(observability.cpu_us(name, cell)),
            "cpu_us_more_with_everything_on": _rounded(observability.cost_us(name, cell)),
        }

    return {
        "signals": list(SIGNALS),
        "traced_share": TRACED_SHARE,
        "scrapes": len(observability.scrapes_ms),
        "scrape_ms": _quantiles(observability.scrapes_ms),
        "cells": {
            cell.name: {
                "request": cell.request,
                "on_to_off": _series(observability.kept(cell.name)),
                "sides": {name: side(name, cell.name) for name in observability.sides()},
            }
            for cell in CELLS
        },
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "seconds": tally.seconds,
        "sent": tally.sent,
        "answered": len(tally.answered_ms),
        "refused": len(tally.refused_ms),
        "refused_without_retry_after": tally.refused_without_retry_after,
        "other_statuses": {str(status): count for status, count in tally.other_statuses.items()},
        "lost": tally.lost,
        "connections_broken": tally.connections_broken,
        "answered_ms": _quantiles(tally.answered_ms),
        "refused_ms": _quantiles(tally.refused_ms),
        "generator_cpu_share": round(tally.generator_cpu_share, 3),
        "generator_late_ms": _quantiles(tally.late_ms),
    }


def _quantiles(values: list[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {f"p{share:.0%}"[:-1]: round(percentile(values, share), 3) for share in (0.5, 0.9, 0.99)} | {
        "max": round(max(values), 3)
    }


def _target(target: Target) -> dict[str, Any]:
    return {
        "name": target.name,
        "asked": target.asked,
        "bound": target.bound,
        "measured": _rounded(target.measured),
        "verdict": target.verdict,
        "why_not": target.why_not if target.met is None else None,
    }


def _series(found: Series | None) -> dict[str, object] | None:
    # Hundreds of latencies would bury everything else in the file.
    if found is None:
        return None
    told = found.as_dict()
    return told if len(found.values) <= 20 else {name: value for name, value in told.items() if name != "rounds"}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
