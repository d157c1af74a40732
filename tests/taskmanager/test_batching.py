"""Who asks at the same time is asked together, and is told what it would be told alone."""

from __future__ import annotations

import asyncio
import contextvars
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import asyncpg
import httpx
import psycopg
import pytest

from taskmanager.batching import AT_ONCE, MOST_TOGETHER, STALLED_S, Batcher, BatchStatement
from taskmanager.observability.logs import REQUEST_ID
from taskmanager.problems import DatabaseUnavailable
from taskmanager.tasks.statements import GET_TASK
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.at_once import at_once
from tests.taskmanager.problem_documents import problem_of

Serve = Callable[..., Service]

SQUARE: BatchStatement[int] = BatchStatement(
    "SELECT n AS id, n * n AS square FROM unnest($1::bigint[]) AS n WHERE n <> 4",
    lambda items: (items,),
    lambda items, rows: [next((row for row in rows if row["id"] == item), None) for item in items],
)


PATIENCE_S = 30.0


class Postgres:
    """Answers when it is told to, as `SQUARE` would; `faults` are what it makes of an item."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.since: list[float] = []
        self.request_ids: list[str | None] = []
        self.faults: dict[int, Exception] = {}
        self._answers: list[asyncio.Event] = []

    async def rows(self, _sql: str, items: list[int], *, asked: float) -> Any:
        self.asked.append(list(items))
        self.since.append(asked)
        self.request_ids.append(REQUEST_ID.get())
        answers = asyncio.Event()
        self._answers.append(answers)
        await answers.wait()
        for item in items:
            if item in self.faults:
                raise self.faults[item]
        return [{"id": item, "square": item * item} for item in reversed(items) if item != 4]

    async def answer(self, *, number: int = 1) -> None:
        for _ in range(number):
            self._answers.pop(0).set()
            for _ in range(5):  # for whoever waits to learn of it
                await asyncio.sleep(0)


async def gathered(batcher: Batcher[int], items: range | list[int]) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.create_task(batcher.row(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_who_comes_alone_is_asked_alone_and_at_once() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, PATIENCE_S)
    for item in (2, 3):
        (task,) = await gathered(batcher, [item])
        await postgres.answer()
        assert (await task)["square"] == item * item
    assert postgres.asked == [[2], [3]]


async def test_who_comes_while_others_are_asked_gathers_and_is_asked_together() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, PATIENCE_S)

    tasks = await gathered(batcher, range(1, 8))
    assert postgres.asked == [[1], [2]]
    await postgres.answer()
    tasks += await gathered(batcher, [8, 9])
    assert postgres.asked == [[1], [2], [3, 4, 5, 6, 7]]
    await postgres.answer(number=3)

    rows = [await task for task in tasks]
    assert postgres.asked == [[1], [2], [3, 4, 5, 6, 7], [8, 9]]
    assert [row and row["square"] for row in rows] == [1, 4, 9, None, 25, 36, 49, 64, 81]
    assert postgres.since == sorted(postgres.since)


async def test_no_more_go_together_than_a_statement_is_to_hold() -> None:
    postgres = Postgres()
    tasks = await gathered(Batcher(SQUARE, postgres.rows, PATIENCE_S), range(AT_ONCE + MOST_TOGETHER + 10))

    await postgres.answer(number=AT_ONCE)
    assert [len(items) for items in postgres.asked] == [*[1] * AT_ONCE, MOST_TOGETHER, 10]
    await postgres.answer(number=2)
    assert [(await task)["square"] for task in tasks if (await task) is not None][-1] == (
        AT_ONCE + MOST_TOGETHER + 9
    ) ** 2


async def test_a_fault_of_one_is_told_to_that_one_alone() -> None:
    postgres = Postgres()
    postgres.faults = {1: ValueError("one"), 5: asyncpg.CheckViolationError("five")}
    tasks = await gathered(Batcher(SQUARE, postgres.rows, PATIENCE_S), range(1, 7))

    while not all(task.done() for task in tasks):
        await postgres.answer()

    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert postgres.asked == [[1], [2], [3, 4, 5, 6], [3, 4], [5, 6], [5], [6]]
    assert [type(answer) for answer in told] == [ValueError, dict, dict, type(None), asyncpg.CheckViolationError, dict]


async def test_an_outage_is_told_to_all_and_asked_for_once() -> None:
    postgres = Postgres()
    postgres.faults = {4: DatabaseUnavailable("gone")}
    tasks = await gathered(Batcher(SQUARE, postgres.rows, PATIENCE_S), range(1, 7))

    await postgres.answer(number=3)

    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert postgres.asked == [[1], [2], [3, 4, 5, 6]]
    refusals = [answer for answer in told if isinstance(answer, DatabaseUnavailable)]
    assert [refusal.detail for refusal in refusals] == ["gone"] * 4
    # One that several tasks raise would grow by a traceback each.
    assert len({id(refusal) for refusal in refusals}) == 4


async def test_who_leaves_while_it_waits_is_not_asked_for_and_holds_nobody_up() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, PATIENCE_S)
    tasks = await gathered(batcher, range(1, 6))

    tasks[3].cancel()
    tasks[0].cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert postgres.asked == [[1], [2], [3, 5]]
    tasks[4].cancel()
    for _ in range(2):
        await asyncio.sleep(0)
    await postgres.answer(number=3)

    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in told] == [
        asyncio.CancelledError, dict, dict, asyncio.CancelledError, asyncio.CancelledError,
    ]  # fmt: skip
    (again,) = await gathered(batcher, [7])
    await postgres.answer()
    assert (await again)["square"] == 49


async def test_who_has_gathered_too_long_is_refused_and_not_asked_for() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, patience_s=0.1)
    late = await gathered(batcher, range(1, 5))
    await asyncio.sleep(0.2)
    in_time = await gathered(batcher, [5, 6])

    await postgres.answer(number=3)

    told = await asyncio.gather(*late, *in_time, return_exceptions=True)
    assert postgres.asked == [[1], [2], [5, 6]]
    assert [type(answer) for answer in told] == [dict, dict, DatabaseUnavailable, DatabaseUnavailable, dict, dict]
    # Who is in time is not counted from when those came who were too late.
    assert postgres.since[2] > postgres.since[0] + 0.15


async def test_who_gathers_behind_statements_that_stall_goes_beside_them() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, PATIENCE_S)
    stalled = await gathered(batcher, [1, 2])
    assert not batcher.is_stalled(4)
    behind = await gathered(batcher, [3, 5])
    assert not batcher.is_stalled(4)
    await asyncio.sleep(STALLED_S * 1.5)

    assert batcher.is_stalled(3)
    assert not batcher.is_stalled(2)
    batcher.send_gathered()
    # The next ones gather anew, and the first that comes back leaves as many on their way as there are to be.
    later = await gathered(batcher, [6])
    assert not batcher.is_stalled(4)
    await postgres.answer()
    assert postgres.asked == [[1], [2], [3, 5]]
    await postgres.answer(number=3)

    assert [row["square"] for row in await asyncio.gather(*stalled, *behind, *later)] == [1, 4, 9, 25, 36]
    assert postgres.asked == [[1], [2], [3, 5], [6]]


@pytest.mark.parametrize("told", [lambda items, rows: rows[1:], lambda items, rows: 1 / (len(items) == 1) and rows])
async def test_nobody_is_told_anothers_row_and_nothing_is_asked_twice(told: Callable[..., Any]) -> None:
    """Fewer rows than requests, or a fault after the statement was made."""
    postgres = Postgres()
    statement: BatchStatement[int] = BatchStatement("", lambda items: (items,), told)
    batcher = Batcher(statement, postgres.rows, PATIENCE_S)
    tasks = await gathered(batcher, [5, 6, 7, 8])

    await postgres.answer(number=3)

    told = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert postgres.asked == [[5], [6], [7, 8]]
    assert all(isinstance(answer, Exception) for answer in told[2:])


async def test_what_is_logged_for_many_bears_the_id_of_none() -> None:
    postgres = Postgres()
    batcher = Batcher(SQUARE, postgres.rows, PATIENCE_S)

    async def requested(number: int) -> Any:
        REQUEST_ID.set(f"request-{number}")
        return await batcher.row(number)

    tasks = [asyncio.create_task(requested(number)) for number in (1, 2, 3, 5)]
    await asyncio.sleep(0)
    await postgres.answer(number=3)
    await asyncio.gather(*tasks)

    assert postgres.asked == [[1], [2], [3, 5]]
    assert postgres.request_ids[:2] == ["request-1", "request-2"]
    assert postgres.request_ids[2] == contextvars.Context().run(REQUEST_ID.get)


CONTENTS = [
    {"title": "plain"},
    {"title": "{}", "tags": ["{", "}", "{a,b}", "NULL", "null"]},
    {"title": '"', "tags": ['"', '""', "\\", '\\"', "a\\", "'", "a,b"], "description": '{"a": "\\"}'},
    {"title": "été 🎉", "tags": ["été", "🎉", "שלום", "a  b", "a\nb", "a\tb"]},
    {"title": "done", "status": "done", "priority": "high"},
    {"title": "due", "due_at": "2026-03-31T18:00:00.25+02:00", "priority": "low"},
]


def test_everybody_gets_the_task_that_it_sent(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    def create(number: int) -> tuple[dict[str, Any], httpx.Response]:
        content = CONTENTS[number % len(CONTENTS)]
        content = content | {"title": f"{content['title']} {number}"}
        return content, service.request("POST", "/tasks", json=content)

    answers = [answer for number in range(4) for answer in at_once(60, lambda index, n=number: create(60 * n + index))]

    for content, answer in answers:
        assert answer.status_code == 201
        task = answer.json()
        expected = {"description": "", "tags": [], "status": "todo", "priority": "normal"} | content
        assert task | expected | {"due_at": task["due_at"]} == task
        assert (task["due_at"] is None) == ("due_at" not in content)
        assert (task["completed_at"] is not None) == (expected["status"] == "done")
        assert answer.headers["location"] == f"/tasks/{task['id']}"
        assert service.get(answer.headers["location"]).json() == task
    # They did go together, or nothing was tried: what one statement makes has one time of creation.
    assert len({answer.json()["created_at"] for _, answer in answers}) < len(answers)


def test_everybody_gets_the_task_that_it_asked_for(migrated_database: Database, serve: Serve) -> None:
    migrated_database.execute("INSERT INTO tasks (title) SELECT 'task ' || n FROM generate_series(1, 40) AS n")
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    for _ in range(4):
        answers = at_once(60, lambda number: service.get(f"/tasks/{number // 2 + 20}"))

        for number, answer in enumerate(answers):
            id_ = number // 2 + 20
            if id_ <= 40:
                assert answer.json()["title"] == f"task {id_}"
            else:
                problem_of(answer, 404, "not_found")


def test_a_task_that_the_database_refuses_takes_no_other_with_it(migrated_database: Database, serve: Serve) -> None:
    """By a rule that the service does not know: what it knows it refuses itself."""
    with psycopg.connect(migrated_database.migrator_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE tasks ADD CONSTRAINT no_sevens CHECK (title NOT LIKE '%7%')")
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    answers = [
        answer
        for _ in range(4)
        for answer in at_once(
            60, lambda number: (number, service.request("POST", "/tasks", json={"title": str(number)}))
        )
    ]

    for number, answer in answers:
        # A busy machine may take too long to find whose fault it is; who is refused for that has made nothing.
        assert answer.status_code in ({500, 503} if "7" in str(number) else {201, 503})
    created = sorted(str(number) for number, answer in answers if answer.status_code == 201)
    assert migrated_database.execute('SELECT array_agg(title ORDER BY title COLLATE "C") FROM tasks') == [(created,)]
    assert len(created) > len(answers) / 2
    assert 500 in {answer.status_code for _, answer in answers}
    assert not re.search(r"Traceback.*was never retrieved", service.log, re.DOTALL)


@pytest.mark.parametrize(
    "body",
    ["IF NEW.title LIKE '%7%' THEN RETURN NULL; END IF; RETURN NEW", "NEW.id := 1000000 - NEW.id; RETURN NEW"],
    ids=["a row left out", "ids that count down"],
)
def test_nobody_is_given_what_another_one_wrote(migrated_database: Database, serve: Serve, body: str) -> None:
    """Not even where somebody put a trigger on the table that turns rows away or their order round."""
    with psycopg.connect(migrated_database.migrator_url, autocommit=True) as connection:
        connection.execute(f"CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; END $$")
        connection.execute("CREATE TRIGGER odd BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION odd()")
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)

    answers = [
        (number, answer)
        for _ in range(3)
        for number, answer in enumerate(
            at_once(60, lambda number: service.request("POST", "/tasks", json={"title": f"task {number}"}))
        )
    ]

    # On a busy machine some are refused for lateness, as above.
    assert {201, 500} <= {answer.status_code for _, answer in answers} <= {201, 500, 503}
    for number, answer in answers:
        if answer.status_code == 201:
            assert answer.json()["title"] == f"task {number}"
    # No place is lost: whoever comes next is served.
    assert service.get("/tasks").status_code == 200
    assert service.stop() == 0


def test_a_stall_that_is_shorter_than_a_statement_may_take_refuses_nobody(
    migrated_database: Database, serve: Serve
) -> None:
    """A disk that takes its time, or a migration that holds the table: requests wait, and all are answered."""
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    task = service.request("POST", "/tasks", json={"title": "there"}).json()["id"]

    def asked_behind_a_lock() -> list[int]:
        answers = []
        with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(64) as clients:
            other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            locked = time.monotonic()
            while time.monotonic() - locked < 0.7:
                answers.append(clients.submit(service.get, f"/tasks/{task}"))
                answers.append(clients.submit(service.request, "POST", "/tasks", json={"title": "behind"}))
                time.sleep(0.05)
            other.rollback()
            return [answer.result().status_code for answer in answers]

    # A machine that others keep busy stalls by itself, for longer than the lock: tried again then.
    for _ in range(4):
        told = asked_behind_a_lock()
        if len(told) > 20 and set(told) == {200, 201}:
            break

    assert len(told) > 20  # far more than may be on their way at once
    assert set(told) == {200, 201}


def test_who_is_refused_behind_a_lock_has_made_nothing(migrated_database: Database, serve: Serve) -> None:
    service = serve(migrated_database)
    service.wait_for("/tasks", 200)
    with psycopg.connect(migrated_database.migrator_url) as other, ThreadPoolExecutor(50) as clients:
        other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        posts = [clients.submit(service.request, "POST", "/tasks", json={"title": str(n)}) for n in range(50)]
        time.sleep(1.9)
        other.rollback()
        answers = [post.result() for post in posts]

    time.sleep(1)
    created = [answer for answer in answers if answer.status_code == 201]
    for answer in answers:
        if answer not in created:
            problem_of(answer, 503, "database_unavailable")
    assert len(created) < 50
    assert migrated_database.execute("SELECT count(*) FROM tasks") == [(len(created),)]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_tasks_are_looked_up_by_their_index(migrated_database: Database, mode: str) -> None:
    migrated_database.execute("INSERT INTO tasks (title) SELECT 'task ' || n FROM generate_series(1, 20000) AS n")
    migrated_database.execute("ANALYZE tasks")
    with psycopg.connect(migrated_database.app_url, autocommit=True, prepare_threshold=None) as connection:
        connection.execute(f"PREPARE one AS {GET_TASK.sql}")
        connection.execute(f"SET plan_cache_mode = {mode}")
        for ids in ([7], list(range(1, 20000, 320))):
            plan = "\n".join(
                row[0] for row in connection.execute(f"EXPLAIN EXECUTE one(ARRAY{ids}::bigint[])").fetchall()
            )
            assert "tasks_pkey" in plan
            assert "Seq Scan" not in plan
