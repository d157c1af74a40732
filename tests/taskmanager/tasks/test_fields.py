"""Each field and parameter, on both sides of each of its bounds."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.taskmanager.problem_documents import pointers_of

# One code point, two UTF-16 units, four bytes of UTF-8.
WIDE = "\U0001f680"


async def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/tasks", json={"title": "t"} | fields)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("x", "x"),
        ("x" * 200, "x" * 200),
        (WIDE * 200, WIDE * 200),
        ("  trimmed\t\n", "trimmed"),
        (" " * 500 + "x" * 200 + "\u2003" * 500, "x" * 200),
        ("in  side", "in  side"),
    ],
)
async def test_a_title_has_one_to_two_hundred_code_points_once_it_is_trimmed(
    client: httpx.AsyncClient, sent: str, kept: str
) -> None:
    response = await post(client, title=sent)

    assert response.status_code == 201, response.text
    assert response.json()["title"] == kept


@pytest.mark.parametrize("title", ["", " ", "\t\n\u2003\u00a0", "x" * 201, WIDE * 201])
async def test_a_title_outside_its_bounds_is_refused(client: httpx.AsyncClient, title: str) -> None:
    assert pointers_of(await post(client, title=title)) == ["#/title"]


async def test_a_task_without_a_title_is_refused(client: httpx.AsyncClient) -> None:
    assert pointers_of(await client.post("/tasks", json={})) == ["#/title"]


@pytest.mark.parametrize("description", ["", "  not trimmed \n", "x" * 10_000, WIDE * 10_000])
async def test_a_description_has_at_most_ten_thousand_code_points_and_is_kept_as_it_is(
    client: httpx.AsyncClient, description: str
) -> None:
    # As UTF-8 and not as escapes, of which ten thousand wide ones are larger than a body may be.
    body = f'{{"title":"t","description":"{description}"}}'.replace("\n", "\\n").encode()

    response = await client.post("/tasks", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 201, response.text
    assert response.json()["description"] == description


async def test_a_longer_description_is_refused(client: httpx.AsyncClient) -> None:
    assert pointers_of(await post(client, description="x" * 10_001)) == ["#/description"]


@pytest.mark.parametrize("status", ["todo", "in_progress", "done"])
@pytest.mark.parametrize("priority", ["low", "normal", "high"])
async def test_every_status_goes_with_every_priority(client: httpx.AsyncClient, status: str, priority: str) -> None:
    task = (await post(client, status=status, priority=priority)).json()

    assert (task["status"], task["priority"]) == (status, priority)
    assert (task["completed_at"] is not None) == (status == "done")


@pytest.mark.parametrize("field", ["title", "description", "status", "priority", "due_at"])
@pytest.mark.parametrize("value", [1, 1.5, True, False, [], ["todo"], {}, {"title": "t"}, "no\0such", ""])
async def test_a_value_of_a_wrong_type_or_form_is_refused_at_its_field(
    client: httpx.AsyncClient, field: str, value: Any
) -> None:
    if field == "description" and value == "":
        value = None
    assert pointers_of(await post(client, **{field: value})) == [f"#/{field}"]


@pytest.mark.parametrize("field", ["title", "description", "status", "priority"])
async def test_null_is_refused_where_a_value_is_needed(client: httpx.AsyncClient, field: str) -> None:
    assert pointers_of(await post(client, **{field: None})) == [f"#/{field}"]


async def test_a_due_time_of_null_is_no_due_time(client: httpx.AsyncClient) -> None:
    response = await post(client, due_at=None)

    assert response.status_code == 201, response.text
    assert response.json()["due_at"] is None


@pytest.mark.parametrize("status", ["TODO", "Done", "cancelled", " todo", "todo ", "in-progress"])
async def test_a_status_has_one_spelling(client: httpx.AsyncClient, status: str) -> None:
    assert pointers_of(await post(client, status=status)) == ["#/status"]


@pytest.mark.parametrize("due_at", ["1900-01-01T00:00:00Z", "9999-12-30T00:00:00Z", "1900-01-01T12:00:00+12:00"])
async def test_the_first_and_the_last_due_time_are_accepted(client: httpx.AsyncClient, due_at: str) -> None:
    assert (await post(client, due_at=due_at)).status_code == 201


@pytest.mark.parametrize(
    "due_at",
    [
        "1899-12-31T23:59:59Z",
        "1900-01-01T00:00:00+00:01",
        "9999-12-30T00:00:01Z",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "10000-01-01T00:00:00Z",
        "2026-12-31T23:59:60Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0200",
        "2026-01-01T00:00Z",
        "2026-01-01",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "1767225600",
        "٢٠٢٦-01-01T00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "2026-01-01T00:00:00.Z",
        "tomorrow",
        "infinity",
        1767225600,
        1767225600.5,
    ],
)
async def test_a_due_time_that_is_no_moment_in_its_one_form_is_refused(client: httpx.AsyncClient, due_at: Any) -> None:
    assert pointers_of(await post(client, due_at=due_at)) == ["#/due_at"]


NO_NUMBERS = [
    "0",
    "-1",
    "1_000",
    "+1",
    "1.0",
    "1e3",
    "01",
    "-0",
    " 1",
    "1 ",
    "1\n",
    "٣",
    "\uff13",
    "1\0",
    "\0",
    "0x1",
    "null",
]
TOO_LARGE = [str(2**63), str(2**64), "9" * 20, "9" * 5000]


@pytest.mark.parametrize("id_", [*NO_NUMBERS, *TOO_LARGE], ids=lambda text: ascii(text)[:24])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_id_that_no_task_can_have_is_refused(client: httpx.AsyncClient, method: str, id_: str) -> None:
    content = {"title": "t"} if method == "PUT" else None

    assert pointers_of(await client.request(method, f"/tasks/{quote(id_)}", json=content)) == ["id"]


@pytest.mark.parametrize("id_", [1, 2**31, 2**63 - 1])
async def test_an_id_that_a_task_could_have_is_looked_for(client: httpx.AsyncClient, id_: int) -> None:
    assert (await client.get(f"/tasks/{id_}")).status_code == 404


@pytest.mark.parametrize("limit", [*NO_NUMBERS, *TOO_LARGE, "201", ""], ids=lambda text: ascii(text)[:24])
async def test_a_limit_out_of_its_bounds_is_refused_and_never_clamped(client: httpx.AsyncClient, limit: str) -> None:
    assert pointers_of(await client.get("/tasks", params={"limit": limit})) == ["limit"]


async def test_unknown_fields_and_parameters_are_refused(client: httpx.AsyncClient) -> None:
    assert pointers_of(await post(client, colour="red")) == ["#/colour"]
    assert pointers_of(await client.get("/tasks?colour=red")) == ["colour"]
    assert pointers_of(await client.get("/tasks?limit=1&Limit=1")) == ["Limit"]


async def test_a_parameter_that_is_given_twice_is_refused(client: httpx.AsyncClient) -> None:
    assert pointers_of(await client.get("/tasks?limit=2&limit=1")) == ["limit"]
    assert pointers_of(await client.get("/tasks?limit=1&limit=1")) == ["limit"]


async def test_every_fault_of_a_request_is_told_at_once(client: httpx.AsyncClient) -> None:
    pointers = pointers_of(await post(client, title="", status="x", priority="x", due_at="x", colour="x"))

    assert set(pointers) == {"#/title", "#/status", "#/priority", "#/due_at", "#/colour"}


@pytest.mark.parametrize(
    "text",
    [
        "'; DROP TABLE tasks; --",
        "$1 %s {0} ${HOME} {{7*7}} \\' \\\\ \\u0041",
        "<script>alert(1)</script> &amp;",
        "👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301",
        "שלום \u202eevil\u202c العربية",
        "\x01\x02\x1b[31m\x7f\x80\x9f",
        "\ufeff\u200b\u2028\u2029\ufffe\uffff",
        "a\tb\r\nc",
    ],
)
async def test_text_is_stored_as_it_is(client: httpx.AsyncClient, text: str) -> None:
    created = await post(client, title=f"-{text}-", description=text)

    assert created.status_code == 201, created.text
    stored = (await client.get(created.headers["location"])).json()
    assert (stored["title"], stored["description"]) == (f"-{text}-", text)
    assert (await client.get("/tasks")).json() == [stored]
