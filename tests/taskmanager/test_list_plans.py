"""What PostgreSQL reads for a page of a million tasks: an index by name, and no more rows than the page needs.

A prepared statement is planned for its arguments five times, and then perhaps once for all: both ways are tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from taskmanager.tasks import list_statements
from taskmanager.tasks.list_statements import LIST_STATEMENTS, SEARCHES, ListStatement
from tests.databases import MIGRATED_TEMPLATE, Database, Server

# Nine in ten are done. What is in progress is old, so that whoever reads by age reads past all others. One in a
# hundred is of high priority, one in five has no due time; twenty tasks share each moment of creation. `needle` and
# `rare` are on twenty tasks, `common` on half of them and `often` on a third.
FILL = """
INSERT INTO tasks (title, description, status, priority, due_at, tags, created_at, updated_at, completed_at)
SELECT 'task ' || n,
       CASE WHEN n % 50000 = 0 THEN 'common needle' WHEN n % 2 = 0 THEN 'common words' ELSE 'plain words' END,
       status, CASE WHEN n % 100 = 7 THEN 3 WHEN n % 3 = 0 THEN 1 ELSE 2 END,
       CASE WHEN n % 5 > 0 THEN timestamptz '2026-01-01 00:00Z' + (n::bigint * 7919 % 1000000) * interval '30 s' END,
       CASE WHEN n % 50000 = 0 THEN ARRAY['rare', 'often'] WHEN n % 3 = 0 THEN ARRAY['often'] ELSE '{}' END,
       timestamptz '2026-01-01 00:00Z' + (n / 20) * interval '1 s',
       timestamptz '2026-01-01 00:00Z' + (n::bigint * 104729 % 1000000) * interval '1 s',
       CASE WHEN status = 'done' THEN now() END
FROM generate_series(1, 1000000) AS n,
     LATERAL (SELECT CASE WHEN n <= 50000 THEN 'in_progress' WHEN n % 19 = 0 THEN 'todo' ELSE 'done' END AS status) AS s
"""
INDEXES = """
SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tasks' AND indexname <> 'tasks_pkey' ORDER BY 1
"""

ROWS = 51

# A first page: keys before all, bounds that hold nothing back.
FIRST = {
    "rows": str(ROWS),
    "after_priority": "4",
    "after_time": "'infinity'",
    "after_id": "9223372036854775807",
    "status": "NULL",
    "priority": "NULL",
    "least_priority": "1",
    "due_from": "'-infinity'",
    "due_until": "'infinity'",
    "updated_since": "'-infinity'",
    "words": "NULL",
    "tag": "NULL",
}
FIRST_DUE = FIRST | {"after_time": "'-infinity'", "after_id": "0"}
DEEP = FIRST | {"after_priority": "2", "after_time": "'2026-01-01 06:00Z'", "after_id": "430000"}
DEEP_DUE = FIRST | {"after_time": "'2026-07-01 00:00Z'", "after_id": "500000"}


@pytest.fixture(scope="module")
def million(server: Server) -> Iterator[Database]:
    """A million tasks under the real schema, its indexes built after them."""
    with server.database(MIGRATED_TEMPLATE) as database:
        indexes = database.execute(INDEXES)
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        database.execute(FILL)
        for _, definition in indexes:
            database.execute(str(definition))
        database.execute("VACUUM ANALYZE tasks")
        assert database.execute(INDEXES) == indexes
        yield database


@dataclass(frozen=True)
class Reading:
    """What one execution read. `rows` are those that scans of `indexes` gave, the ones filtered out among them."""

    nodes: list[str]
    indexes: list[str]
    rows: int
    buffers: int


def readings(database: Database, statement: ListStatement, arguments: dict[str, str]) -> Iterator[tuple[str, Reading]]:
    values = ", ".join(arguments[name] for name in statement.parameters)
    with psycopg.connect(database.app_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(f"PREPARE list AS {statement.sql}")
        for mode in ("force_generic_plan", "force_custom_plan"):
            connection.execute(f"SET plan_cache_mode = {mode}")
            row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE list({values})").fetchone()
            assert row is not None
            yield mode, reading_of(row[0][0]["Plan"])


def reading_of(top: dict[str, Any]) -> Reading:
    nodes = list(nodes_of(top))
    scans = [node for node in nodes if node["Node Type"] in ("Index Scan", "Bitmap Heap Scan", "Seq Scan")]
    return Reading(
        nodes=[node["Node Type"] for node in nodes],
        indexes=sorted(node["Index Name"] for node in nodes if "Index Name" in node),
        rows=sum(
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in scans
        ),
        buffers=top["Shared Hit Blocks"] + top["Shared Read Blocks"],
    )


def nodes_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from nodes_of(child)


NEWEST, URGENT, DUE, UPDATED = (
    "tasks_newest_idx",
    "tasks_status_priority_newest_idx",
    "tasks_status_due_idx",
    "tasks_updated_idx",
)
TODO, IN_PROGRESS, HIGH = {"status": "'todo'"}, {"status": "'in_progress'"}, {"least_priority": "3"}
BETWEEN = {"after_time": "'2026-06-01 00:00Z'", "due_until": "'2026-06-02 00:00Z'"}

# Each with its index, and with how many scans of it are merged.
ORDERED = [
    ("newest", NEWEST, 1, [FIRST, DEEP]),
    ("newest_of_status", URGENT, 3, [FIRST | TODO, DEEP | TODO, FIRST | IN_PROGRESS, DEEP | {"status": "'done'"}]),
    ("urgent", URGENT, 3, [FIRST, DEEP, FIRST | HIGH, DEEP | HIGH | {"after_priority": "3"}]),
    ("urgent_of_status", URGENT, 1, [FIRST | TODO, DEEP | TODO, FIRST | IN_PROGRESS | HIGH, DEEP | IN_PROGRESS]),
    ("due", DUE, 3, [FIRST_DUE, DEEP_DUE, FIRST_DUE | BETWEEN, FIRST_DUE | {"after_time": "'infinity'"}]),
    ("due_of_status", DUE, 1, [FIRST_DUE | TODO, DEEP_DUE | IN_PROGRESS, FIRST_DUE | BETWEEN | {"status": "'done'"}]),
    ("updated", UPDATED, 1, [FIRST, DEEP, FIRST | {"updated_since": "'2026-01-12 13:46:00Z'"}]),
]
UNBOUNDED = {"Seq Scan", "Sort", "Incremental Sort", "Bitmap Heap Scan", "Gather"}


def test_a_page_in_the_order_of_an_index_reads_the_page_and_no_more(million: Database) -> None:
    assert {f"list_{name}" for name, *_ in ORDERED} == {name for name in LIST_STATEMENTS if name.startswith("list_")}
    for name, index, scans, pages in ORDERED:
        for arguments in pages:
            for mode, reading in readings(million, LIST_STATEMENTS[f"list_{name}"], arguments):
                where = f"{name}, {mode}, {arguments}: {reading}"
                assert reading.indexes == [index] * scans, where
                # Whoever plans for these very bounds may sort what they hold, where that is less than a page.
                if mode == "force_generic_plan" or reading.rows >= ROWS:
                    assert UNBOUNDED.isdisjoint(reading.nodes), where
                    assert ("Merge Append" in reading.nodes) == (scans > 1), where
                # A merge holds one row of each scan in hand.
                assert reading.rows <= ROWS + scans, where
                # A heap page for each row, and each scan's way down its tree.
                assert reading.buffers <= ROWS + scans + 10 * scans, where


RARE = {"words": "'needle'", "tag": "'rare'"}
FREQUENT = {"words": "'common'", "tag": "'often'"}
MATCHES = {"words": (20, 500_000), "tag": (20, 333_346), "words_and_tag": (20, 166_680)}
NARROW = {"status": "'done'", "priority": "2", "updated_since": "'2026-01-12 13:46:00Z'"}


def test_a_search_reads_what_matches_and_not_the_table(million: Database) -> None:
    for (order, match), statement in SEARCHES.items():
        first = FIRST_DUE if order == "due" else FIRST
        for more in ({}, NARROW):
            for mode, reading in readings(million, statement, first | RARE | more):
                where = f"{order}, {match}, {mode}, {more}: {reading}"
                assert {*reading.indexes} <= {"tasks_words_idx", "tasks_tags_idx", "tasks_pkey"}, where
                assert "Seq Scan" not in reading.nodes, where
                # Once to match, once for the page.
                assert reading.rows <= 2 * MATCHES[match][0], where
                assert reading.buffers <= 200, where


@pytest.mark.parametrize("match", MATCHES)
def test_a_broad_search_goes_by_its_index_as_well(million: Database, match: str) -> None:
    for mode, reading in readings(million, SEARCHES["newest", match], FIRST | FREQUENT):
        where = f"{match}, {mode}: {reading}"
        assert "Seq Scan" not in reading.nodes, where
        assert {*reading.indexes} <= {"tasks_words_idx", "tasks_tags_idx", "tasks_pkey"}, where
        # Each of several workers counts its own share, rounded.
        assert abs(reading.rows - MATCHES[match][1] - ROWS) <= 5, where


def test_what_a_plan_by_another_index_would_cost_is_noticed(million: Database) -> None:
    """The same reading of a plain query: the assertions above can fail."""
    plain = list_statements.ListStatement(
        "SELECT id FROM tasks WHERE status = $1::text AND due_at > $2::timestamptz ORDER BY title LIMIT $3::int",
        ("status", "after_time", "rows"),
    )
    for _, reading in readings(million, plain, DEEP | IN_PROGRESS):
        assert reading.rows > 10_000
        assert reading.buffers > 500
