"""A rehearsal as a picture: which table was locked when, how strongly and by which statement, and who waited."""

from __future__ import annotations

from migration_gate.review.rehearsal.bars import NARROWEST, SPACE, Bar, bar_of, stacked
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.report import FAILED, NOTHING_TO_DO, OVER_BUDGET, Report
from migration_gate.review.rehearsal.svg import box, document, dot, line, text, ticks, width_of
from migration_gate.review.rehearsal.traffic import READ
from migration_gate.review.rehearsal.wording import counted, duration, number, one_line

WIDTH, MARGIN, TOP = 1200.0, 28.0, 96.0
BAR, GAP, LANE_PADDING = 20.0, 4.0, 8.0
WAITS_HEIGHT = 150.0
MOST_LISTED = 20

_VERDICTS = {OVER_BUDGET: "over budget", FAILED: "failed", NOTHING_TO_DO: "nothing to do"}


def picture(report: Report) -> str:
    """The report as SVG."""
    return _Drawing(report).document()


class _Drawing:
    """Draws downwards: `_y` is where the next part begins."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._parts: list[str] = []
        self._y = TOP
        # Whoever only reads or writes rows keeps nobody out of the table: of such locks there are too many to draw.
        drawn = [
            (statement, lock)
            for statement in report.statements
            for lock in statement.locks
            if lock.mode >= LockMode.SHARE_UPDATE_EXCLUSIVE
        ]
        waited = {wait.table for wait in report.waits}
        self._tables = list(dict.fromkeys([*(lock.table for _, lock in drawn), *sorted(waited)]))
        names = [width_of(one_line(table, 34), 13) for table in self._tables]
        self._left = MARGIN + max([width_of("statements", 13), *names]) + 16
        ends = [lock.released_ms for _, lock in drawn] + [wait.started_ms + wait.ms for wait in report.waits]
        self._end_ms = max([report.duration_ms, *ends, 1.0])
        self._bars = [bar_of(statement, lock, self._x, WIDTH - MARGIN) for statement, lock in drawn]

    def document(self) -> str:
        report = self._report
        verdict = _VERDICTS.get(report.outcome, "within budget")
        title = f"Migration rehearsal: {verdict}"
        facts = (
            f"{counted(len(report.revisions), 'revision')}, {counted(len(report.statements), 'statement')} in"
            f" {duration(report.duration_ms)}; {counted(len(report.breaches), 'breach', 'breaches')}"
        )
        self._add(text(MARGIN, 40, title, "title over" if report.breaches or report.failure else "title"))
        self._add(text(MARGIN, 62, f"{facts}; {self._data()}", "faint"))
        self._legend()
        self._running()
        self._lanes()
        self._axis()
        if report.waits:
            self._waits()
        self._list()
        return document(WIDTH, self._y + 16, title, self._description(facts), self._parts)

    def _add(self, *parts: str) -> None:
        self._parts.extend(parts)

    def _x(self, ms: float) -> float:
        return self._left + (WIDTH - MARGIN - self._left) * ms / self._end_ms

    def _data(self) -> str:
        if self._report.data == "none":
            return "tables were empty, so durations say little"
        return f"{number(sum(table.rows for table in self._report.tables))} rows made up"

    def _description(self, facts: str) -> str:
        told = [
            f"Statement {bar.statement.number} held {bar.lock.mode.label} on {bar.lock.relation} for"
            f" {duration(bar.lock.held_ms)}."
            for bar in self._bars
            if bar.lock.mode.blocks
        ]
        longest = max((wait.ms for wait in self._report.waits), default=0.0)
        waits = f"The longest wait of a query was {duration(longest)}." if longest else "No query waited."
        return " ".join([f"{facts}.", *told[:MOST_LISTED], waits])

    def _legend(self) -> None:
        x = MARGIN
        for colour, words in (
            ("all", "ACCESS EXCLUSIVE: nobody reads or writes"),
            ("writes", "SHARE to EXCLUSIVE: nobody writes"),
            ("none", "SHARE UPDATE EXCLUSIVE: reads and writes go on"),
        ):
            self._add(box(x, TOP - 19, 14, 14, colour), text(x + 20, TOP - 7, words, "small"))
            x += 44 + width_of(words)

    def _running(self) -> None:
        """The statements themselves, one after another, and the revisions that they belong to."""
        y = self._y + 20
        self._add(text(self._left - 12, y + 14, "statements", "faint", "end"))
        free_from = 0.0
        for statement in self._report.statements:
            x = self._x(statement.started_ms)
            width = max(NARROWEST, self._x(statement.started_ms + statement.duration_ms) - x)
            tip = f"{statement.number}: {one_line(statement.sql, 200)} ({duration(statement.duration_ms)})"
            self._add(box(x, y, width, BAR - 2, "over" if statement.sqlstate else "faint", tip=tip, round_=2))
            label = str(statement.number)
            if width > width_of(label) + 6:
                self._add(text(x + width / 2, y + 13.5, label, "small on", "middle"))
                free_from = max(free_from, x + width)
            elif x >= free_from:
                self._add(text(x, y - 5, label, "small faint"))
                free_from = x + width_of(label) + 3
        self._y = y + BAR + 12

    def _lanes(self) -> None:
        top = self._y
        lane: list[tuple[list[list[Bar]], float]] = []
        for position, table in enumerate(self._tables):
            rows = stacked(bar for bar in self._bars if bar.lock.table == table)
            height = max(1, len(rows)) * (BAR + GAP) - GAP + 2 * LANE_PADDING
            if position % 2 == 0:
                self._add(box(MARGIN - 10, self._y, WIDTH - 2 * MARGIN + 20, height, "band", round_=4))
            middle = self._y + LANE_PADDING + BAR / 2 + 4.5
            self._add(text(self._left - 12, middle, one_line(table, 34), "strong", "end"))
            lane.append((rows, self._y))
            self._y += height
        if not self._tables:
            self._add(text(self._left, self._y + 20, "no lock that would keep anybody waiting was seen", "faint"))
            self._y += 34
        # Above the lanes' ground and below the bars.
        for tick in ticks(self._end_ms):
            self._add(line(self._x(tick), top, self._x(tick), self._y + 6, "line"))
        for rows, y in lane:
            for place, bars in enumerate(rows):
                for bar in bars:
                    self._bar(bar, y + LANE_PADDING + place * (BAR + GAP))

    def _bar(self, bar: Bar, y: float) -> None:
        self._add(box(bar.x, y, bar.width, BAR, bar.colour, tip=bar.tip))
        if bar.side == "inside":
            self._add(text(bar.x + SPACE, y + 14.5, bar.words, "small on"))
        elif bar.side == "right":
            self._add(text(bar.x + bar.width + SPACE, y + 14.5, bar.words, "small"))
        else:
            self._add(text(bar.x - SPACE, y + 14.5, bar.words, "small", "end"))

    def _axis(self) -> None:
        self._add(line(self._left, self._y + 6, WIDTH - MARGIN, self._y + 6, "line"))
        for tick in ticks(self._end_ms):
            x = self._x(tick)
            self._add(line(x, self._y + 6, x, self._y + 11, "faint"))
            self._add(text(x, self._y + 26, _tick(tick, self._end_ms), "small faint", "middle"))
        self._y += 40

    def _waits(self) -> None:
        """Each wait rises from nothing, when its query was sent, to its length, when it was let through."""
        budget = self._report.budget.wait_ms
        longest = max(wait.ms for wait in self._report.waits)
        top, base = self._y + 26, self._y + 26 + WAITS_HEIGHT
        scale = WAITS_HEIGHT / (max(longest, budget if budget < 4 * longest else 0) * 1.08)
        self._add(text(self._left, self._y + 10, "waits of readers and writers behind the migration", "strong"))
        for tick in ticks(WAITS_HEIGHT / scale, 5):
            self._add(line(self._left, base - tick * scale, WIDTH - MARGIN, base - tick * scale, "line"))
            self._add(
                text(self._left - 12, base - tick * scale + 4, duration(tick) if tick else "0", "small faint", "end")
            )
        if base - budget * scale > top:
            y = base - budget * scale
            self._add(line(self._left, y, WIDTH - MARGIN, y, "over", width=1.5, dashes="6 4"))
            self._add(text(WIDTH - MARGIN, y - 5, f"budget {duration(budget)}", "small over", "end"))
        # A thin broken line over a broad one: a read and a write that waited together are both seen.
        for wait in sorted(self._report.waits, key=lambda wait: (wait.kind, wait.ms)):
            x1, x2, y = self._x(wait.started_ms), self._x(wait.started_ms + wait.ms), base - wait.ms * scale
            tip = f"a {wait.kind} of {wait.table} waited {duration(wait.ms)} behind statement {wait.statement}"
            broad = wait.kind == READ
            self._add(line(x1, base, x2, y, wait.kind, width=3.5 if broad else 1.8, dashes="" if broad else "5 4"))
            self._add(dot(x2, y, wait.kind, square=wait.kind == "write", tip=tip))
        self._peaks(base, scale)
        self._add(
            dot(self._left + 4, base + 20, "read", square=False), text(self._left + 14, base + 24, "a read", "small")
        )
        x = self._left + 74
        self._add(dot(x, base + 20, "write", square=True), text(x + 10, base + 24, "a write", "small"))
        self._y = base + 50

    def _peaks(self, base: float, scale: float) -> None:
        """Name the longest wait behind each statement, where there is room for its words."""
        taken: list[tuple[float, float, float]] = []
        for wait in sorted(self._report.waits, key=lambda wait: -wait.ms):
            words = f"{one_line(wait.table, 30)} {duration(wait.ms)}"
            x, y = self._x(wait.started_ms + wait.ms), base - wait.ms * scale
            width = width_of(words) + 14
            left = x - width if x - width > self._left else x
            if all(y_ - 16 > y or y_ + 16 < y or left > right or left + width < begin for begin, right, y_ in taken):
                taken.append((left, left + width, y))
                self._add(
                    text(x - 9 if left < x else x + 9, y - 4, words, "small strong", "end" if left < x else "start")
                )

    def _list(self) -> None:
        """The statements in words: the picture can be read without the report beside it."""
        over = {breach.statement for breach in self._report.breaches}
        weighty = [
            statement
            for statement in self._report.statements
            if statement.number in over or statement.sqlstate or statement.rewrites or (statement.locks)
        ]
        for statement in weighty[:MOST_LISTED]:
            told = [f"rewrites {rewrite.table}" for rewrite in statement.rewrites]
            told += ["over budget"] * (statement.number in over) + ["failed"] * bool(statement.sqlstate)
            self._add(text(MARGIN + 22, self._y, str(statement.number), "code strong", "end"))
            self._add(text(MARGIN + 34, self._y, statement.revision or "", "code faint"))
            self._add(text(MARGIN + 150, self._y, one_line(statement.sql, 96), "code"))
            self._add(text(WIDTH - MARGIN, self._y, ", ".join(told), "small over" if told else "small", "end"))
            self._y += 20
        if len(weighty) > MOST_LISTED:
            self._add(
                text(MARGIN + 34, self._y, f"and {len(weighty) - MOST_LISTED} more, see the report", "small faint")
            )
            self._y += 20


def _tick(ms: float, upto: float) -> str:
    """A moment on the axis, all of them in the same unit."""
    return f"{ms:g} ms" if upto < 1000 else f"{ms / 1000:g} s"
