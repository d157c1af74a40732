"""Lists: every combination against a naive filter and sort, page by page, and what is refused."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import combinations
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import psycopg
import pytest

from taskmanager.app import create_app
from taskmanager.settings import Settings
from taskmanager.tasks.served_lists import FILTERS, SERVED, Sort, is_search
from tests.databases import Database
from tests.taskmanager.problem_documents import pointers_of, problem_of

NEXT = re.compile(r'<(/tasks\?[!-~]+)>; rel="next"')
RANKS = {"low": 1, "normal": 2, "high": 3}
FILTER_SETS = [names for size in range(len(FILTERS) + 1) for names in combinations(FILTERS, size)]
COMBINATIONS = [(sort, names) for sort in Sort for names in FILTER_SETS]
SERVED_COMBINATIONS = [(sort, names) for sort, names in COMBINATIONS if is_search(names) or {*names} <= {*SERVED[sort]}]

Task = dict[str, Any]

# Few different ones of each, so that most tasks share their keys with others.
TIMES = [f"2026-03-{day:02}T12:00:00.{micros:06}Z" for day in (1, 2, 3) for micros in (0, 1, 999_999)]
WORDS = ["report", "Été", "invoice", "x1"]


def insert_random_tasks(database: Database, number: int) -> None:
    """Tasks that are written past the API, since nobody but the server sets its times."""
    chance = random.Random(7)  # noqa: S311
    rows = []
    for _ in range(number):
        status = chance.choice(["todo", "in_progress", "done", "done"])
        rows.append((
            " ".join(chance.sample(WORDS, 2)),
            " ".join(chance.sample(WORDS, chance.randint(0, 2))),
            status,
            chance.choice([1, 2, 2, 3]),
            chance.choice([None, *TIMES]),
            chance.sample(["home", "été", "work"], chance.randint(0, 2)),
            chance.choice(TIMES),
            chance.choice(TIMES),
            TIMES[0] if status == "done" else None,
        ))  # fmt: skip
    columns = "title, description, status, priority, due_at, tags, created_at, updated_at, completed_at"
    with psycopg.connect(database.migrator_url) as connection, connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO tasks ({columns}) VALUES ({', '.join(['%s'] * 9)})", rows)


def moment(text: str | None) -> datetime:
    """A time of a task; what has none comes after all."""
    return datetime.max.replace(tzinfo=UTC) if text is None else datetime.fromisoformat(text)


def naive(tasks: list[Task], sort: Sort, asked: dict[str, str]) -> list[Task]:
    """What a list must be, by Python alone."""
    keep = {
        "status": lambda task, value: task["status"] == value,
        "priority": lambda task, value: task["priority"] == value,
        "due_after": lambda task, value: task["due_at"] is not None and moment(task["due_at"]) > moment(value),
        "due_before": lambda task, value: task["due_at"] is not None and moment(task["due_at"]) < moment(value),
        "updated_since": lambda task, value: moment(task["updated_at"]) >= moment(value),
        "tag": lambda task, value: value in task["tags"],
        "q": lambda task, value: (
            {*value.lower().split()} <= {*re.findall(r"\w+", f"{task['title']} {task['description']}".lower())}
        ),
    }
    found = [task for task in tasks if all(keep[name](task, value) for name, value in asked.items())]
    keys = {
        Sort.DUE: lambda task: (moment(task["due_at"]), task["id"]),
        Sort.NEWEST: lambda task: (moment(task["created_at"]), task["id"]),
        Sort.URGENT: lambda task: (RANKS[task["priority"]], moment(task["created_at"]), task["id"]),
        Sort.UPDATED: lambda task: (moment(task["updated_at"]), task["id"]),
    }
    return sorted(found, key=keys[sort], reverse=sort is not Sort.DUE)


def next_of(response: httpx.Response) -> str | None:
    if "link" not in response.headers:
        return None
    link = NEXT.fullmatch(response.headers["link"])
    assert link is not None, response.headers["link"]
    return link[1]


async def walk(client: httpx.AsyncClient, **parameters: Any) -> list[list[Task]]:
    """Every page of a list, each but the last as long as it may be."""
    limit = int(parameters.get("limit", 50))
    pages: list[list[Task]] = []
    address: str | None = "/tasks?" + urlencode(parameters)
    while address is not None:
        response = await client.get(address)
        assert response.status_code == 200, response.text
        pages.append(response.json())
        address = next_of(response)
        assert len(pages[-1]) == limit if address is not None else len(pages[-1]) <= limit
    return pages


@pytest.mark.parametrize("sort", Sort)
async def test_every_served_combination_is_the_naive_list(
    client: httpx.AsyncClient, tasks_database: Database, sort: Sort
) -> None:
    insert_random_tasks(tasks_database, 300)
    tasks = [task for page in await walk(client, limit=200) for task in page]
    assert len(tasks) == 300
    values = {
        "status": "done", "priority": "normal", "due_after": TIMES[1], "due_before": TIMES[7],
        "updated_since": TIMES[2], "tag": "été", "q": "ÉTÉ report",
    }  # fmt: skip
    found = 0
    for _, names in (served for served in SERVED_COMBINATIONS if served[0] is sort):
        asked = {name: values[name] for name in names}
        expected = naive(tasks, sort, asked)
        found += len(expected)
        for limit in (5, len(expected) or 1, 200):
            pages = await walk(client, sort=sort.value, limit=min(limit, 200), **asked)
            assert [task for page in pages for task in page] == expected, (names, limit)
    assert found > 1000


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50, 199, 200])
@pytest.mark.parametrize("sort", Sort)
async def test_pages_of_any_size_make_the_same_list(
    client: httpx.AsyncClient, tasks_database: Database, sort: Sort, limit: int
) -> None:
    insert_random_tasks(tasks_database, 205)

    pages = await walk(client, sort=sort.value, limit=limit)

    tasks = [task for page in pages for task in page]
    assert tasks == naive(tasks, sort, {})
    assert len({task["id"] for task in tasks}) == 205


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ({}, [1, 2, 3, None]),
        ({"due_before": 2}, [1]),
        ({"due_after": 2}, [3]),
        ({"due_after": 1, "due_before": 3}, [2]),
        ({"due_after": 3, "due_before": 1}, []),
    ],
)
@pytest.mark.parametrize("more", [{}, {"q": "t"}])
async def test_bounds_of_a_due_time_are_strict_and_leave_out_tasks_without_one(
    client: httpx.AsyncClient, asked: dict[str, int], due: list[int | None], more: dict[str, str]
) -> None:
    # One microsecond apart: the smallest step that there is.
    moments = {step: f"2026-03-31T18:00:00.00000{step}Z" for step in (1, 2, 3)}
    for step in (3, None, 1, 2):
        await client.post("/tasks", json={"title": "t", "due_at": moments[step] if step else None})

    parameters = {name: moments[step] for name, step in asked.items()} | more | {"sort": "due_at"}

    [page] = await walk(client, **parameters)
    assert [moment(task["due_at"]) for task in page] == [moment(moments[step] if step else None) for step in due]


async def test_a_task_changed_at_the_very_moment_is_changed_since_then(client: httpx.AsyncClient) -> None:
    first, second = [(await client.post("/tasks", json={"title": "t"})).json() for _ in range(2)]

    [page] = await walk(client, sort="-updated_at", updated_since=second["updated_at"])
    assert page == [second]
    [page] = await walk(client, sort="-updated_at", updated_since=first["updated_at"])
    assert page == [second, first]


async def test_a_moment_may_have_any_offset(client: httpx.AsyncClient) -> None:
    await client.post("/tasks", json={"title": "t", "due_at": "2026-03-31T18:00:00Z"})

    for moment, number in (("2026-03-31T20:00:00+02:00", 0), ("2026-03-31T20:00:01+02:00", 1)):
        [page] = await walk(client, sort="due_at", due_before=moment)
        assert len(page) == number


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("certificat", True), ("CERTIFICAT", True), ("renew certificat", True), ("certificat renew", True),
        ("  renew,  certificat!", True), ("été", True), ("ÉTÉ", True), ("42", True), ("mail@example.org", True),
        ("certif", False), ("renew tomorrow", False), ("renew:* | certif:*", False), ("'", None), ("", None),
        (" \t ", None), ("!!! &", None), ("🦊", None), ("a\0b", None), ("a" * 200, False), ("a" * 201, None),
        ("\\", None), ("(renew", True), ("renew <-> certificat", True), ("''renew''", True), ("²", False),
    ],
)  # fmt: skip
async def test_a_search_is_for_whole_words_in_any_order_and_case(
    client: httpx.AsyncClient, q: str, found: bool | None
) -> None:
    content = {"title": "Renew the certificat", "description": "Cet été, 42 fois: mail@example.org"}
    assert (await client.post("/tasks", json=content)).status_code == 201

    response = await client.get("/tasks", params={"q": q})

    if found is None:
        assert pointers_of(response) == ["q"]
    else:
        assert response.status_code == 200, response.text
        assert len(response.json()) == found


async def test_a_tag_is_found_as_a_whole_and_in_its_own_case(client: httpx.AsyncClient) -> None:
    tags = ["home", "a,b", '"{}\\', "été"]
    await client.post("/tasks", json={"title": "t", "tags": tags})

    for tag in tags:
        assert len((await client.get("/tasks", params={"tag": tag})).json()) == 1, tag
    for tag in ("hom", "Home", "a", "{}"):
        assert (await client.get("/tasks", params={"tag": tag})).json() == [], tag


async def test_the_next_address_keeps_every_parameter(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.post(
            "/tasks", json={"title": "a&b=c", "tags": ["a&b"], "priority": "high", "due_at": "2026-05-01T00:00:00Z"}
        )
    given = {
        "limit": "1", "sort": "-priority", "status": "todo", "priority": "high", "due_after": "2026-01-01T00:00:00Z",
        "due_before": "2026-12-31T18:00:00.500000Z", "updated_since": "2026-01-01T00:00:00Z", "tag": "a&b", "q": "b=c",
    }  # fmt: skip

    address = next_of(await client.get("/tasks", params=given))

    assert address is not None
    told = {name: values[0] for name, values in parse_qs(urlsplit(address).query, strict_parsing=True).items()}
    assert told.pop("cursor")
    assert told == given


async def test_a_list_of_exactly_one_page_has_no_next_one(client: httpx.AsyncClient) -> None:
    assert (await walk(client)) == [[]]
    for _ in range(3):
        await client.post("/tasks", json={"title": "t"})

    assert [len(page) for page in await walk(client, limit=3)] == [3]
    assert [len(page) for page in await walk(client, limit=2)] == [2, 1]


async def test_what_looks_like_the_seam_between_two_tasks_is_cut_nowhere(client: httpx.AsyncClient) -> None:
    seam = ',{"id":1,"title":"'
    for number in range(4):
        content = {"title": f"{seam}{number}", "description": f"}}]{seam}", "tags": [",{", "id:", seam]}
        assert (await client.post("/tasks", json=content)).status_code == 201

    pages = await walk(client, limit=1)

    assert [task["title"] for [task] in pages] == [f"{seam}{number}" for number in (3, 2, 1, 0)]


BAD_VALUES = {
    "limit": ["", "0", "-1", "201", "1e2", "1.0", "01", "+1", "٣", "x", "9" * 400, "null", "50 ", "1_0"],
    "cursor": ["", "\0", "x", "A" * 40, "A" * 60_000, "null", "é" * 40, "../../etc/passwd"],
    "sort": ["", "created_at", "-due_at", "priority", "-created_at,id", "id; DROP TABLE tasks", "\0", "NULL"],
    "status": ["", "Todo", "cancelled", "todo,done", "\0", "x" * 10_000],
    "priority": ["", "1", "HIGH", "urgent", "\0"],
    "due_before": ["", "now", "infinity", "-infinity", "2026-03-31", "2026-03-31T18:00:00", "2026-02-30T00:00:00Z",
                   "10000-01-01T00:00:00Z", "\0", "2026-03-31T25:00:00Z", "2026-03-31T18:00:00.1234567Z"],
    "tag": ["", "   ", "\0", "x" * 51],
    "q": ["", " ", "\0", "a\0", "!?", "x" * 201],
}  # fmt: skip
BAD_VALUES["due_after"] = BAD_VALUES["updated_since"] = BAD_VALUES["due_before"]


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD_VALUES.items() for value in values])
async def test_a_bad_value_is_refused_by_the_name_of_its_parameter(
    client: httpx.AsyncClient, name: str, value: str
) -> None:
    assert pointers_of(await client.get("/tasks", params={name: value})) == [name]


@pytest.mark.parametrize("query", ["page=2", "offset=50", "Limit=1", "sort_by=id", "%00=1", "limit[]=1", "q[]=a"])
async def test_a_parameter_that_is_not_known_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert len(pointers_of(await client.get(f"/tasks?{query}"))) == 1


@pytest.mark.parametrize("query", ["q=%ff", "tag=%ed%a0%80", "q=%c3", "q=a%ff"])
async def test_bytes_that_are_no_text_are_nobodys_fault_but_the_clients(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/tasks?{query}")).status_code in (200, 422)


async def test_a_cursor_goes_with_its_own_list_alone(client: httpx.AsyncClient) -> None:
    for _ in range(3):
        await client.post("/tasks", json={"title": "t", "tags": ["home"]})
    mine = {"tag": "home", "status": "todo"}
    address = next_of(await client.get("/tasks", params={**mine, "limit": 1}))
    assert address is not None
    cursor = parse_qs(urlsplit(address).query)["cursor"][0]

    others: list[dict[str, str]] = [{}, {"tag": "home"}, {"status": "todo"}, mine | {"status": "done"}]
    others += [mine | {"sort": sort} for sort in Sort if sort is not Sort.NEWEST] + [mine | {"q": "t"}]
    for other in others:
        response = await client.get("/tasks", params={**other, "cursor": cursor})
        assert pointers_of(response) == ["cursor"], other
        assert response.json()["errors"][0]["code"] == "cursor_of_another_list"
    # The page's length and a sort that is the usual one make no other list.
    response = await client.get("/tasks", params={**mine, "limit": 2, "sort": "-created_at", "cursor": cursor})
    assert [task["id"] for task in response.json()] == [2, 1]


async def test_a_combination_that_no_index_serves_is_refused(client: httpx.AsyncClient) -> None:
    refused = [combination for combination in COMBINATIONS if combination not in SERVED_COMBINATIONS]
    assert len(refused) == 110
    values = {
        "status": "todo", "priority": "low", "due_after": TIMES[0], "due_before": TIMES[1], "updated_since": TIMES[0],
    }  # fmt: skip
    for sort, names in refused:
        asked = {name: values[name] for name in names}
        problem = problem_of(
            await client.get("/tasks", params={"sort": sort.value, **asked}), 422, "combination_not_served"
        )
        assert "sort=due_at goes with status, due_after and due_before;" in problem["detail"]


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("due_before=2026-01-01T00:00:00Z", "due_before goes with sort=due_at."),
        ("priority=low&sort=due_at", "priority goes with sort=-created_at or sort=-priority."),
        ("status=todo&due_after=2026-01-01T00:00:00Z", "status and due_after go with sort=due_at."),
        ("status=todo&updated_since=2026-01-01T00:00:00Z", "Leave out updated_since."),
        ("priority=low&due_before=2026-01-01T00:00:00Z&updated_since=2026-01-01T00:00:00Z", "Leave out some of them."),
    ],
)
async def test_who_is_refused_a_combination_is_told_the_one_change_that_mends_it(
    client: httpx.AsyncClient, query: str, advice: str
) -> None:
    problem = problem_of(await client.get(f"/tasks?{query}"), 422, "combination_not_served")

    assert f" here. {advice} Served: " in problem["detail"]


@contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """Somebody who inserts, deletes and moves the tasks called `moving`, until the block ends; counts the rounds."""
    rounds: list[int] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def write() -> None:
        chance = random.Random(11)  # noqa: S311
        try:
            with psycopg.connect(database.app_url, autocommit=True) as connection:
                while not over.is_set():
                    connection.execute("INSERT INTO tasks (title) VALUES ('moving')")
                    connection.execute(
                        "UPDATE tasks SET priority = %s, due_at = %s, updated_at = %s, created_at = %s"
                        " WHERE title = 'moving' AND id %% 5 = %s",
                        [chance.randint(1, 3), *(chance.choice(TIMES) for _ in range(3)), chance.randint(0, 4)],
                    )
                    connection.execute(
                        "DELETE FROM tasks WHERE id = (SELECT min(id) FROM tasks WHERE title = 'moving')"
                    )
                    rounds.append(1)
        except BaseException as error:  # noqa: BLE001  told below
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield rounds
    finally:
        over.set()
        writer.join()
    assert failures == []


@pytest.mark.parametrize("more", [{}, {"tag": "standing"}], ids=["all", "search"])
@pytest.mark.parametrize("sort", Sort)
async def test_a_walk_while_others_write_shows_each_task_that_stands_still_once(
    client: httpx.AsyncClient, tasks_database: Database, sort: Sort, more: dict[str, str]
) -> None:
    insert_random_tasks(tasks_database, 120)
    tasks_database.execute("UPDATE tasks SET title = 'moving' WHERE id % 3 = 0")
    tasks_database.execute("UPDATE tasks SET tags = '{standing}' WHERE id % 2 = 0")
    standing = [task["id"] for page in await walk(client, sort=sort.value, **more) for task in page if task["id"] % 3]
    assert len(standing) == 80 if not more else 40

    with writing(tasks_database) as rounds:
        for limit in (1, 2, 7):
            before = len(rounds)
            pages = await walk(client, sort=sort.value, limit=limit, **more)
            seen = [task["id"] for page in pages for task in page]
            assert [id_ for id_ in seen if id_ in standing] == standing, limit
            assert len(rounds) > before


async def test_a_search_that_matches_too_much_says_what_to_do(migrated_database: Database) -> None:
    """The statement timeout is real; what takes so long is put in the way of PostgreSQL's own functions."""
    application = create_app(Settings(database_url=migrated_database.app_url))
    async with application.router.lifespan_context(application):
        assert (await application.state.watcher.first_answer()).servable
        with psycopg.connect(migrated_database.admin_url, autocommit=True) as admin:
            admin.execute("CREATE SCHEMA slow; GRANT USAGE ON SCHEMA slow TO PUBLIC")
            admin.execute(
                "CREATE FUNCTION slow.plainto_tsquery(regconfig, text) RETURNS tsquery LANGUAGE plpgsql STABLE"
                " AS 'BEGIN PERFORM pg_sleep(60); RETURN NULL; END'"
            )
            role = f"taskmanager_app IN DATABASE {migrated_database.name}"
            admin.execute(f"ALTER ROLE {role} SET search_path = slow, pg_catalog, public")
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            problem = problem_of(await client.get("/tasks?q=everything"), 422, "query_too_broad")
            assert "a rarer tag" in problem["detail"]
            # What no narrower question would mend is no client's fault.
            with psycopg.connect(migrated_database.migrator_url) as other:
                other.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
                problem_of(await client.get("/tasks"), 503, "database_unavailable")


async def test_the_documentation_tells_every_parameter_and_what_goes_together(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/tasks"]["get"]

    parameters = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert parameters.keys() == {"limit", "cursor", "sort", *FILTERS}
    for name, parameter in parameters.items():
        assert parameter["description"], name
        assert parameter["schema"]["examples"], name
        assert "null" not in str(parameter["schema"]), name
        assert not parameter["required"], name
    assert "`sort=-updated_at` goes with `updated_since`" in operation["description"]
    assert "Link" in operation["responses"]["200"]["headers"]


async def test_every_example_of_a_parameter_is_taken(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/tasks"]["get"]
    for parameter in operation["parameters"]:
        example = {parameter["name"]: parameter["schema"]["examples"][0]}
        # With words every filter is served; a cursor goes with the list alone that it was made for.
        query = example if parameter["name"] == "cursor" else {"q": "x"} | example
        assert (await client.get("/tasks", params=query)).status_code == 200, query


async def test_a_time_of_an_answer_can_be_copied_into_an_address_as_it_is(client: httpx.AsyncClient) -> None:
    for title in ("first", "second"):
        made = (await client.post("/tasks", json={"title": title})).json()
    assert made["updated_at"].endswith("+00:00")

    response = await client.get(f"/tasks?sort=-updated_at&updated_since={made['updated_at']}")

    assert [task["title"] for task in response.json()] == ["second"]
