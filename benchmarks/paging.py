"""Page 1 and the page after 900,000 rows: the deep one must cost what the first one costs, on every sort."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from benchmarks.contestants import SERVERS, THIS
from benchmarks.failures import WrongAnswer
from benchmarks.loopback import Answer, Connection
from benchmarks.series import Series
from benchmarks.server import Server
from benchmarks.table import copy_of, make_template
from stack.ports import free_port
from stack.postgres import Cluster

ROWS = 1_000_000
DEPTH = 900_000
STEP = 200  # the longest page: the fewest requests on the way
PAGE = 50
SORTS = ("-created_at", "due_at", "-priority", "-updated_at")
TEMPLATE = "bench_million"

_ID = re.compile(rb'"id":\s*(\d+)')
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next"?')


@dataclass
class Paging:
    """Latencies in ms by sort: of the first page, and of the one after `DEPTH` rows; why a sort has none."""

    first_ms: dict[str, Series] = field(default_factory=dict)
    deep_ms: dict[str, Series] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)

    def factor(self, sort: str) -> float | None:
        """How many times the quicker page's median the slower one's is."""
        if sort not in self.first_ms:
            return None
        medians = (self.first_ms[sort].median, self.deep_ms[sort].median)
        return max(medians) / min(medians)


def measure_paging(cluster: Cluster, repeats: int, folder: Path, say: Callable[[str], None]) -> Paging:
    """Time both pages of every sort, in turns, `repeats` times each, over one connection."""
    say(f"filling a table with {ROWS:,} tasks")
    make_template(cluster, TEMPLATE, ROWS)
    result = Paging()
    with copy_of(cluster, TEMPLATE, "bench_paging") as database:
        port = free_port()
        launch = SERVERS[THIS].launch(port, database, folder)
        with Server(launch, port, folder / "paging.log") as server:
            server.wait_until_ready()
            for sort in SORTS:
                try:
                    _measure_sort(server, sort, repeats, result)
                except WrongAnswer as wrong:
                    result.void[sort] = str(wrong)
                    say(f"sort={sort}: VOID: {wrong}")
                else:
                    first, deep = result.first_ms[sort].median, result.deep_ms[sort].median
                    say(f"sort={sort}: first page {first:.2f} ms, after {DEPTH:,} rows {deep:.2f} ms")
    return result


def _measure_sort(server: Server, sort: str, repeats: int, result: Paging) -> None:
    with Connection(server.port, server.headers) as connection:
        first = "/tasks?" + urlencode({"sort": sort, "limit": PAGE})
        deep = deep_page(lambda path: _page(connection, path), sort)
        taken: dict[str, list[float]] = {first: [], deep: []}
        # The first few fill PostgreSQL's memory and its plan cache.
        for number in range(-10, repeats):
            for path, latencies in taken.items():
                began = time.perf_counter()
                answer = connection.get(path)
                elapsed_ms = (time.perf_counter() - began) * 1000
                _require_page(answer, path, PAGE)
                if number >= 0:
                    latencies.append(elapsed_ms)
    result.first_ms[sort] = Series(tuple(taken[first]))
    result.deep_ms[sort] = Series(tuple(taken[deep]))


def deep_page(page: Callable[[str], Answer], sort: str, depth: int = DEPTH, step: int = STEP) -> str:
    """The address of the page after `depth` rows, reached as a client does: by following `Link: rel="next"`.

    Parameters
    ----------
    page: answers a path.
    sort: the order of the list.
    depth: rows before that page.
    step: rows a page on the way.

    Raises
    ------
    WrongAnswer: the way ends too early, or passes a task twice.
    """
    path = "/tasks?" + urlencode({"sort": sort, "limit": step})
    seen: set[bytes] = set()
    for passed in range(step, depth + 1, step):
        answer = page(path)
        seen.update(_ID.findall(answer.body))
        if len(seen) != passed:
            raise WrongAnswer(f"{path}: {len(seen)} different tasks on the way, {passed} were to come")
        path = next_page(answer, path)
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query)) | {"limit": str(PAGE)}
    return f"{parts.path}?{urlencode(query)}"


def next_page(answer: Answer, path: str) -> str:
    """Where the Link header leads, as a path with its query. Raises WrongAnswer where it leads nowhere."""
    link = _NEXT.search(answer.header("Link") or "")
    if link is None:
        raise WrongAnswer(f'{path}: the answer has no `Link` with rel="next"')
    parts = urlsplit(link[1])
    return f"{parts.path}?{parts.query}"


def _page(connection: Connection, path: str) -> Answer:
    answer = connection.get(path)
    if answer.status != 200:
        raise WrongAnswer(f"{path} was answered with {answer.status}: {answer.body[:200].decode(errors='replace')}")
    return answer


def _require_page(answer: Answer, path: str, tasks: int) -> None:
    found = len(_ID.findall(answer.body)) if answer.status == 200 else 0
    if found != tasks:
        raise WrongAnswer(f"{path} was answered with {answer.status} and {found} tasks, not {tasks}")
