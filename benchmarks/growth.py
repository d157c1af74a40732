"""What a task costs as the table grows, and what partitions would do: pages and bytes, which no busy machine changes.

    python -m benchmarks.growth
    python -m benchmarks.growth --rows 100000

docs/scaling.md quotes it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks import table
from stack.postgres import Cluster

ROWS = (100_000, 1_000_000)
_WRITES = 1000

_Session = psycopg.Connection[tuple[Any, ...]]

_BYTES = "SELECT pg_table_size('{t}'), pg_indexes_size('{t}'), count(*) FROM {t}"
_ONE = "SELECT * FROM {t} WHERE id = {middle}"
_NEWEST = "SELECT * FROM {t} ORDER BY created_at DESC, id DESC LIMIT 50"
_DUE = """
    SELECT * FROM {t} WHERE status = 'todo' ORDER BY coalesce(due_at, 'infinity'::timestamptz), id LIMIT 50
"""
_READINGS = {"one task": _ONE, "the newest 50": _NEWEST, "the 50 due first": _DUE}

_INSERT = """
    INSERT INTO tasks (title, description, tags) VALUES ('Call the supplier', repeat('a word ', 12), '{tag1,area1}')
"""
_CHANGE = "UPDATE tasks SET priority = 3, version = version + 1, updated_at = now() WHERE id = %s"

_PARTITIONED = """
    CREATE TABLE by_month (LIKE tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE (created_at);
    DO $$
    DECLARE
        first timestamptz := (SELECT min(created_at) FROM tasks);
        step interval := ((SELECT max(created_at) FROM tasks) - first) / 12 + interval '1 second';
    BEGIN
        FOR n IN 0..11 LOOP
            EXECUTE format('CREATE TABLE by_month_%s PARTITION OF by_month FOR VALUES FROM (%L) TO (%L)',
                           n, first + n * step, first + (n + 1) * step);
        END LOOP;
    END $$;
    INSERT INTO by_month SELECT * FROM tasks;
    ALTER TABLE by_month ADD PRIMARY KEY (id, created_at);
    CREATE INDEX ON by_month (created_at DESC, id DESC);
    CREATE INDEX ON by_month (status, coalesce(due_at, 'infinity'::timestamptz), id);
    ANALYZE by_month
"""


def measure(cluster: Cluster, rows: int) -> dict[str, Any]:
    """The figures of a table of so many tasks."""
    template = f"growth_{rows}"
    table.make_template(cluster, template, rows)
    with table.copy_of(cluster, template, "growth") as database, database.admin() as session:
        heap, indexes, count = _row(session, _BYTES.format(t="tasks"))
        found: dict[str, Any] = {
            "tasks": count,
            "table bytes a task": round(heap / count),
            "index bytes a task": round(indexes / count),
            "pages read": {
                name: pages(session, sql.format(t="tasks", middle=rows // 2)) for name, sql in _READINGS.items()
            },
        }
        session.execute(_PARTITIONED)
        found["pages read, by month"] = {
            name: pages(session, sql.format(t="by_month", middle=rows // 2)) for name, sql in _READINGS.items()
        }
        found["a primary key of id alone, by month"] = refusal(session, "ALTER TABLE by_month ADD UNIQUE (id)")
        session.execute("DROP TABLE by_month; CHECKPOINT")
        found["bytes of the log a new task"] = written(session, [(_INSERT, ())] * _WRITES)
        found["bytes of the log a change"] = written(session, [(_CHANGE, (1 + n * 7,)) for n in range(_WRITES)])
    return found


def pages(session: _Session, sql: str) -> int:
    """Pages of 8 KiB that a statement touches once its plan is made, in memory or not."""
    (plan,) = _row(session, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
    (plan,) = _row(session, f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
    top = plan[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def written(session: _Session, statements: Sequence[tuple[str, tuple[object, ...]]]) -> int:
    """Bytes of PostgreSQL's log that a statement writes, each in a transaction of its own; whole pages included, which
    PostgreSQL writes the first time a page changes after a checkpoint."""
    (before,) = _row(session, "SELECT pg_current_wal_insert_lsn()")
    for sql, arguments in statements:
        session.execute(sql, arguments)
    (total,) = _row(session, f"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')")
    return round(int(total) / len(statements))


def refusal(session: _Session, sql: str) -> str:
    """What PostgreSQL says against a statement, empty where it takes it."""
    try:
        session.execute(sql)
    except psycopg.Error as error:
        return str(error.diag.message_primary)
    return ""


def _row(session: _Session, sql: str) -> tuple[Any, ...]:
    row = session.execute(sql).fetchone()
    assert row is not None  # noqa: S101  every statement here has one
    return row


def _shown(results: Sequence[dict[str, Any]]) -> Table:
    shown = Table("figure", *(f"{result['tasks']:,} tasks" for result in results))
    for name, value in results[0].items():
        if isinstance(value, dict):
            for inner in value:
                shown.add_row(f"{name}: {inner}", *(f"{result[name][inner]:,}" for result in results))
        elif name != "tasks":
            shown.add_row(name, *(str(result[name]) for result in results))
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, help="sizes of the table (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    options = parser.parse_args(arguments)
    with table.server() as cluster:
        results = [measure(cluster, rows) for rows in options.rows]
    if options.json:
        Console(soft_wrap=True).print_json(json.dumps(results))
    else:
        Console(width=table_width()).print(_shown(results))
    return 0


def table_width() -> int:
    """Of a terminal, or of a file."""
    return max(Console().width, 100)


if __name__ == "__main__":
    raise SystemExit(main())
