"""A service is well, loses its database, and gets it back: what boards and pages show of it at each of the three.

It is played once; what was seen is kept, and the tests read that. So no test depends on another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ops.grafana.boards.__main__ import BOARDS
from tests import plain_http
from tests.browser import Browser
from tests.ops.grafana_json import NAMES, Json, Target, annotations, filled_in, read, targets
from tests.ops.scene import Scene, scene
from tests.prometheus_api import PrometheusApi

PAGES = ("taskmanager.html", "taskmanager.fr.html")
_WITHIN_S = 90.0

# A panel of a board, and one of its queries.
Place = tuple[str, str, str]


@dataclass
class Seen:
    """One of the three: each query's series, what is marked on the graphs, which alerts fired, and the pages' HTML."""

    series: dict[Place, list[Json]] = field(default_factory=dict)
    marks: dict[str, list[Json]] = field(default_factory=dict)
    firing: set[str] = field(default_factory=set)
    pages: dict[str, str] = field(default_factory=dict)

    @property
    def empty(self) -> set[Place]:
        """The queries that gave nothing, or nothing but NaN."""
        return {place for place, series in self.series.items() if not any(map(numbers, series))}


@dataclass
class Story:
    """The three, and whether a page that was left open told of the fault by itself."""

    well: Seen
    broken: Seen
    mended: Seen
    told_by_itself: bool


def numbers(series: Json) -> list[float]:
    """The values of a series that are numbers."""
    values = series.get("values") or [series["value"]]
    return [float(value) for _, value in values if value != "NaN"]


def filled_by(fault: str = "") -> set[Place]:
    """The queries of panels that say of themselves that they are empty unless something has happened."""
    said = {
        (name, panel.title): panel.empty_unless
        for name, board in BOARDS.items()
        for panel in board.panels()
        if panel.empty_unless and fault in panel.empty_unless
    }
    return {
        (name, target.panel, target.letter)
        for name in NAMES
        for target in targets(read(name))
        if (name, target.panel) in said
    }


def play(folder: Path) -> Story:
    """Play it, which takes a minute or two."""
    with scene(folder) as playing, Browser() as browser:
        prometheus = playing.prometheus
        # Until what was pending while all of it started has passed too.
        wait(lambda: _ask_all(prometheus).empty == filled_by())
        well = _look(prometheus)

        browser.open(f"{prometheus.url}/consoles/{PAGES[0]}")
        playing.cluster.stop()
        told_by_itself = wait(lambda: "DatabaseUnreachable" in browser.text)
        wait(lambda: _unacknowledged(playing))
        for number in _unacknowledged(playing):
            _acknowledge(playing, number)
        wait(lambda: not _ask_all(prometheus, filled_by("fires")).empty)
        broken = _look(prometheus)

        playing.cluster.start()
        wait(lambda: "DatabaseUnreachable" not in prometheus.names("firing"))
        wait(lambda: not _ask_all(prometheus, filled_by("acknowledged") | filled_by("resolved")).empty)
        return Story(well, broken, _look(prometheus), told_by_itself)


def _look(prometheus: PrometheusApi) -> Seen:
    seen = _ask_all(prometheus)
    seen.firing = prometheus.names("firing")
    for name, expression in annotations(read("incident")).items():
        seen.marks[name] = prometheus.lately(filled_in(expression), seconds=120)
    seen.pages = {page: page_of(prometheus, page) for page in PAGES}
    return seen


def page_of(prometheus: PrometheusApi, page: str, **parameters: str) -> str:
    """One of Prometheus' own pages."""
    answer = plain_http.get(f"{prometheus.url}/consoles/{page}", params=parameters, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.text


def _ask_all(prometheus: PrometheusApi, only: set[Place] | None = None) -> Seen:
    """What the boards ask, or some of it."""
    seen = Seen()
    for name in NAMES:
        for target in targets(read(name)):
            place = (name, target.panel, target.letter)
            if only is None or place in only:
                seen.series[place] = ask(prometheus, target)
    return seen


def ask(prometheus: PrometheusApi, target: Target) -> list[Json]:
    """The series of a panel's query: now, or of the last half minute."""
    expression = filled_in(target.expression)
    return prometheus.now(expression) if target.instant else prometheus.lately(expression, seconds=30)


def _unacknowledged(playing: Scene) -> list[str]:
    incidents = plain_http.get(f"{playing.receiver_url}/incidents", params={"state": "open"}, timeout=10).json()
    return [str(incident["id"]) for incident in incidents if incident.get("acknowledged_at") is None]


def _acknowledge(playing: Scene, number: str) -> None:
    body = {"by": "a test", "text": "looking"}
    plain_http.post(f"{playing.receiver_url}/incidents/{number}/acknowledge", json=body, timeout=10).raise_for_status()


def wait(condition: Callable[[], object]) -> bool:
    """Whether it becomes true within a minute and a half."""
    deadline = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True
