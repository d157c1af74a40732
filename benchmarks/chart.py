"""The throughput as a picture: an SVG written by hand, readable on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.cells import CELLS, Cell
from benchmarks.contestants import CONNECTIONS, PGBENCH, POOL_SIZE, THIS
from benchmarks.results import Result
from benchmarks.throughput import ROWS, Outcome

FILE = "throughput.svg"

WIDTH = 860
MARGIN = 28
LABELS = 232  # the column of names
BARS = 470  # the longest bar
ROW = 26
BAR = 16
HEAD = 84
PANEL_HEAD = 34
PANEL_GAP = 18
FOOT = 62

_LIGHT = """
.page { fill: #ffffff; }
text { fill: #1c2330; font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.title { font-size: 19px; font-weight: 650; }
.cell { font-size: 14px; font-weight: 650; }
.quiet { fill: #5b6675; font-size: 12px; }
.name { text-anchor: end; }
.value { font-variant-numeric: tabular-nums; }
.ours-text { font-weight: 650; }
.bar { fill: #a9b4c2; }
.ours { fill: #0b7a68; }
.limit { fill: none; stroke: #8a96a6; stroke-width: 1.5; stroke-dasharray: 4 3; }
.spread { stroke: #1c2330; stroke-width: 1.5; opacity: 0.55; }
.axis { stroke: #d8dee6; stroke-width: 1; }
"""
_DARK = """
.page { fill: #12161c; }
text { fill: #e8ecf1; }
.quiet { fill: #9aa5b4; }
.bar { fill: #56616f; }
.ours { fill: #35c2a6; }
.limit { stroke: #7b8797; }
.spread { stroke: #e8ecf1; }
.axis { stroke: #2c3541; }
"""
_STYLE = f"{_LIGHT}@media (prefers-color-scheme: dark) {{{_DARK}}}"


def write(result: Result, folder: Path) -> Path:
    """Draw the throughput into `folder` and return the picture's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_text(draw(result), encoding="utf-8")
    return path


def draw(result: Result) -> str:
    """The picture: a panel for each cell, a bar for each contestant's median, a line from its lowest to its highest."""
    outcomes = result.outcomes or {}
    panel = PANEL_HEAD + ROW * len(outcomes) + PANEL_GAP
    height = HEAD + panel * len(CELLS) + FOOT
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title description">',
        '<title id="title">Requests answered a second</title>',
        f'<desc id="description">{escape(_description(outcomes))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        _text(MARGIN, 40, "Requests answered a second", "title"),
        _text(MARGIN, 62, "Median of the rounds; a line runs from the lowest to the highest. More is better.", "quiet"),
    ]
    for number, cell in enumerate(CELLS):
        parts += _panel(outcomes, cell, HEAD + panel * number)
    parts += [_text(MARGIN, height - FOOT + 24 + 18 * i, line, "quiet") for i, line in enumerate(_foot(result))]
    return "\n".join([*parts, "</svg>", ""])


def _panel(outcomes: Mapping[str, Outcome], cell: Cell, top: float) -> list[str]:
    parts = [
        _text(MARGIN, top + 20, cell.title, "cell"),
        _text(MARGIN + 76, top + 20, cell.request, "quiet"),
    ]
    longest = max((rates.highest for o in outcomes.values() if (rates := o.rates(cell.name))), default=1.0)
    left = MARGIN + LABELS
    first = top + PANEL_HEAD
    parts.append(_line("axis", left, first, left, first + ROW * len(outcomes)))
    for number, outcome in enumerate(outcomes.values()):
        parts += _row(outcome, cell, left, first + ROW * number, BARS / longest)
    return parts


def _row(outcome: Outcome, cell: Cell, left: float, top: float, scale: float) -> list[str]:
    ours = " ours-text" if outcome.name == THIS else ""
    middle = top + ROW / 2
    parts = [_text(left - 10, middle + 4.5, outcome.title, f"name{ours}")]
    rates = outcome.rates(cell.name)
    if rates is None:
        return [*parts, _text(left + 10, middle + 4.5, outcome.standing, "quiet")]
    kind = "ours" if outcome.name == THIS else "limit" if outcome.name == PGBENCH else "bar"
    width = rates.median * scale
    parts.append(
        f'<rect class="{kind}" x="{left:g}" y="{middle - BAR / 2:g}" width="{width:.1f}" height="{BAR}" rx="2"/>'
    )
    end = left + width
    if rates.highest > rates.lowest:
        parts.append(_line("spread", left + rates.lowest * scale, middle, left + rates.highest * scale, middle))
        end = left + rates.highest * scale
    return [*parts, _text(end + 8, middle + 4.5, f"{rates.median:,.0f}", f"value{ours}")]


def _description(outcomes: Mapping[str, Outcome]) -> str:
    told = []
    for cell in CELLS:
        rates = {o.title: o.rates(cell.name) for o in outcomes.values()}
        figures = (f"{title} {found.median:,.0f}" if found else f"{title} none" for title, found in rates.items())
        told.append(f"{cell.title}: {', '.join(figures)}.")
    return " ".join(told)


def _foot(result: Result) -> list[str]:
    machine, postgresql = result.machine, result.versions["postgresql"]
    equal = f"{CONNECTIONS} connections of wrk over loopback, {ROWS:,} tasks, one worker, a pool of {POOL_SIZE}"
    where = f"{machine.processor}, {machine.cores} cores shared with wrk and PostgreSQL {postgresql}"
    return [
        f"Equal for all: {equal}. Dashed: PostgreSQL alone, the limit.",
        f"{where}. {result.began[:10]}, commit {result.commit[:8]}.",
    ]


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(text)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
