"""What people and machines are shown: budget, text, JSON and picture of one made-up report."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from migration_gate.review.rehearsal.bars import bar_of, stacked
from migration_gate.review.rehearsal.budget import Budget, breaches
from migration_gate.review.rehearsal.locks import LockMode
from migration_gate.review.rehearsal.measured import Lock, Rewrite, Scan, Statement, Wait
from migration_gate.review.rehearsal.picture import picture
from migration_gate.review.rehearsal.report import Failure, Place, Report, TableRows, Traffic
from migration_gate.review.rehearsal.svg import ticks
from migration_gate.review.rehearsal.text import as_text
from migration_gate.review.rehearsal.wording import counted, duration, number, one_line

_SVG = "{http://www.w3.org/2000/svg}"


def _statement(position: int = 1, sql: str = "ALTER TABLE book ALTER n TYPE bigint", **facts: object) -> Statement:
    known = Statement(position, "beef", "beef.py", 12, sql, True, 10.0, 20.0)
    return replace(known, **facts)  # type: ignore[arg-type]


def _lock(mode: LockMode = LockMode.ACCESS_EXCLUSIVE, held_ms: float = 800.0, table: str = "public.book") -> Lock:
    return Lock(table, None, mode, 10.0, held_ms, 0.0)


def _report(*statements: Statement, waits: tuple[Wait, ...] = (), budget: Budget | None = None) -> Report:
    budget = budget or Budget()
    return Report(
        source=Place("postgresql://me@here/source", "18.6"),
        scratch=Place("postgresql://me@there/postgres", "18.6"),
        database="migration_gate_rehearsal_20261121_00000000",
        kept=False,
        data="none",
        statistics="the source's row counts",
        budget=budget,
        revisions=tuple(dict.fromkeys(s.revision for s in statements if s.revision)),
        duration_ms=1_000.0,
        observing_ms=5.0,
        statements=statements,
        waits=waits,
        tables=(TableRows("public.book", 5_000_000, "reltuples", 0),),
        traffic=Traffic(100, 1, 2, 60),
        breaches=breaches(statements, waits, 1_000.0, budget),
    )


def _codes(report: Report) -> list[str]:
    return [breach.code for breach in report.breaches]


def test_a_lock_that_keeps_nobody_out_costs_nothing() -> None:
    report = _report(_statement(locks=(_lock(LockMode.SHARE_UPDATE_EXCLUSIVE, 60_000.0),)))
    assert _codes(report) == []
    assert report.outcome == "within_budget"


def test_a_limit_that_is_met_exactly_is_kept() -> None:
    met = _report(_statement(locks=(_lock(held_ms=500.0),)), waits=(Wait("public.book", "read", 1, 0.0, 500.0, False),))
    assert _codes(met) == []
    passed = _report(_statement(locks=(_lock(LockMode.SHARE, held_ms=500.1),)))
    assert _codes(passed) == ["lock_held"]
    assert "all writes of the table stand still" in passed.breaches[0].message


@pytest.mark.parametrize(("rows", "found"), [(10_000, []), (10_001, ["table_rewritten"]), (None, ["table_rewritten"])])
def test_the_sources_rows_judge_a_rewrite_and_unknown_is_too_many(rows: int | None, found: list[str]) -> None:
    scan = Scan("public.book", 1, 0, rows, LockMode.ACCESS_EXCLUSIVE)
    report = _report(_statement(rewrites=(Rewrite("public.book", rows),), scans=(scan,)))
    assert _codes(report) == found, "the reading that a rewrite consists of is not told a second time"


@pytest.mark.parametrize(
    ("sql", "under", "found"),
    [
        ("ALTER TABLE book ADD CHECK (n > 0)", LockMode.ACCESS_EXCLUSIVE, ["table_scanned"]),
        ("CREATE UNIQUE INDEX b ON book (n)", LockMode.SHARE, ["table_scanned"]),
        ("ALTER TABLE book VALIDATE CONSTRAINT c", None, []),
        ("UPDATE book SET n = 1", LockMode.ACCESS_EXCLUSIVE, ["table_scanned"]),
        # How rows are found in an empty table says nothing of how they would be found in a full one.
        ("UPDATE book SET n = 1 WHERE id = 5", LockMode.ACCESS_EXCLUSIVE, []),
    ],
)
def test_a_definition_that_reads_a_large_table_while_others_are_kept_out(
    sql: str, under: LockMode | None, found: list[str]
) -> None:
    report = _report(_statement(sql=sql, scans=(Scan("public.book", 1, 0, 20_000, under),)))
    assert _codes(report) == found


def test_waits_of_one_statement_are_one_breach() -> None:
    waits = tuple(Wait("public.book", "read", 1, 0.0, 600.0 + more, more == 3) for more in range(4))
    (breach,) = _report(_statement(), waits=waits).breaches
    assert breach.measured == 603.0
    assert "waited at least 603 ms behind this statement, and 3 more waited too long" in breach.message


def test_the_document_for_machines() -> None:
    report = _report(
        _statement(locks=(_lock(), _lock(LockMode.SHARE, table="public.shelf")), scans=None),
        waits=(Wait("public.book", "read", 1, 20.0, 700.0, False),),
    )
    document = json.loads(json.dumps(report.as_dict()))

    assert (document["format"], document["outcome"]) == (1, "over_budget")
    (statement,) = document["statements"]
    assert statement["strongest_lock"] == {
        "table": "public.book",
        "index": None,
        "mode": "ACCESS EXCLUSIVE",
        "blocks": "reads and writes",
        "acquired_ms": 10.0,
        "held_ms": 800.0,
        "waited_ms": 0.0,
    }
    assert statement["waits"] == {"readers": 1, "writers": 0, "longest_ms": 700.0}
    assert statement["scans"] is None
    assert document["budget"] == {"lock_ms": 500.0, "wait_ms": 500.0, "rewrite_rows": 10_000, "duration_s": None}
    assert [breach["code"] for breach in document["breaches"]] == ["lock_held", "lock_held", "query_waited"]
    assert document["failure"] is None


def test_the_text_aligns_and_says_each_remedy_once() -> None:
    report = _report(
        _statement(locks=(_lock(), _lock(LockMode.SHARE, 2.0, "public.shelf"))),
        _statement(2, "SELECT 1"),
        waits=(Wait("public.book", "read", 1, 20.0, 700.0, False),),
    )
    shown = as_text(report)

    rows = shown.split("\n\n")[1].splitlines()
    assert [row.index("public.") for row in rows[1:3]] == [rows[0].index(" on ") + 1] * 2
    assert "800 ms" in rows[1]
    assert "1 read, up to 700 ms" in rows[1]
    assert shown.count("Solution:") == 1
    assert shown.endswith("over budget: 2 breaches; 1 revision, 2 statements in 1.00 s")
    assert "\033" not in shown
    assert "\033[31m" in as_text(report, colour=True)


def test_a_failure_is_the_texts_last_word() -> None:
    failed = replace(
        _report(_statement(sqlstate="42P01")), failure=Failure("no such table", "beef", "beef.py", 12, "42P01")
    )
    assert as_text(failed).endswith("failed: revision beef (beef.py:12): no such table")
    assert failed.outcome == "failed"


def test_the_picture_can_be_read_aloud_and_names_what_it_shows() -> None:
    report = _report(
        _statement(locks=(_lock(), _lock(LockMode.SHARE, 2.0, "public.a<b>&c"))),
        waits=(Wait("public.book", "read", 1, 20.0, 700.0, False), Wait("public.book", "write", 1, 25.0, 650.0, False)),
    )
    drawn = ET.fromstring(picture(report))  # noqa: S314  our own

    assert drawn.findtext(f"{_SVG}title") == "Migration rehearsal: over budget"
    assert "held ACCESS EXCLUSIVE on public.book for 800 ms" in (drawn.findtext(f"{_SVG}desc") or "")
    words = [text.text for text in drawn.iter(f"{_SVG}text")]
    assert {"public.book", "public.a<b>&c", "budget 500 ms"} <= set(words)
    assert any(word is not None and re.match(r"1 +ACCESS EXCLUSIVE +800 ms", word) for word in words)
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    for shape in drawn.iter(f"{_SVG}rect"):
        assert 0 <= float(shape.attrib["x"]) <= float(shape.attrib["x"]) + float(shape.attrib["width"]) <= width + 1
        assert float(shape.attrib["y"]) + float(shape.attrib["height"]) <= height + 1


@pytest.mark.parametrize("report", [_report(), _report(_statement())], ids=["nothing", "no lock"])
def test_there_is_a_picture_of_little_too(report: Report) -> None:
    ET.fromstring(picture(report))  # noqa: S314


def test_bars_and_their_words_do_not_cover_each_other() -> None:
    def bar(begin: float, length: float) -> object:
        return bar_of(_statement(), replace(_lock(held_ms=length), acquired_ms=begin), lambda ms: ms, 1_000.0)

    first, second, third = bar(0, 400), bar(300, 10), bar(700, 200)
    assert stacked([first, second, third]) == [[first, third], [second]]  # type: ignore[list-item]
    assert bar(990, 5).side == "left"  # type: ignore[attr-defined]


def test_numbers_for_people() -> None:
    assert [duration(ms) for ms in (0.04, 9.9, 36.6, 999, 1_500, 61_000)] == [
        "0.0 ms",
        "9.9 ms",
        "37 ms",
        "999 ms",
        "1.50 s",
        "1 min 1 s",
    ]
    assert number(1_204_000) == "1,204,000"
    assert (counted(1, "breach", "breaches"), counted(2, "breach", "breaches")) == ("1 breach", "2 breaches")
    assert one_line("a\n  \x1bb", 10) == "a b"
    assert one_line("abcdefghij", 5) == "abcd…"
    assert ticks(1_000) == [0, 200, 400, 600, 800, 1_000]
    assert ticks(0) == [0]


def test_modes_know_whom_they_keep_out() -> None:
    assert LockMode.of("ShareRowExclusiveLock") is LockMode.SHARE_ROW_EXCLUSIVE
    assert [mode.blocks for mode in LockMode] == ["", "", "", "", "writes", "writes", "writes", "reads and writes"]
    assert LockMode.ACCESS_EXCLUSIVE.label == "ACCESS EXCLUSIVE"
