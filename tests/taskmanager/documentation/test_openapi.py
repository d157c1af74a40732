"""The API's description: complete, true, and not changed unseen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from taskmanager.app import create_app
from taskmanager.documentation.__main__ import check, differences, text_of
from taskmanager.documentation.openapi import describe
from taskmanager.observability.health_documents import Alive, Health, Version
from taskmanager.problems import MalformedHeader
from taskmanager.settings import Settings
from taskmanager.tasks.idempotency import key_of
from taskmanager.tasks.listing import ListParameters
from taskmanager.tasks.preconditions import is_known, versions_to_match
from taskmanager.tasks.schemas import Task, TaskContent, TaskPatch
from tests.databases import Database
from tests.processes import ROOT, run
from tests.taskmanager.problem_documents import problem_of

COMMITTED = ROOT / "docs" / "openapi.json"
COMMAND = (str(ROOT / ".venv/bin/python"), "-m", "taskmanager.documentation")
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def application() -> FastAPI:
    """Made, and never started: nothing connects."""
    return create_app(Settings(database_url="postgresql://nobody@localhost/nothing"))


@pytest.fixture
def document(application: FastAPI) -> dict[str, Any]:
    return describe(application)


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def every_value(value: Any) -> Iterator[tuple[str, Any]]:
    """Every member of every object, with its name."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name, member
            yield from every_value(member)
    elif isinstance(value, list):
        for member in value:
            yield from every_value(member)


def test_the_committed_document_is_the_one_that_the_code_makes(document: dict[str, Any]) -> None:
    assert check(COMMITTED, document) == [], "python -m taskmanager.documentation > docs/openapi.json"


def test_the_command_needs_no_database_and_no_settings(document: dict[str, Any]) -> None:
    done = run(*COMMAND)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text_of(document)


async def test_the_service_tells_the_same_document(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    assert (await client.get("/openapi.json")).json() == document


def test_the_check_names_what_a_changed_route_changes(application: FastAPI, tmp_path: Path) -> None:
    kept = tmp_path / "openapi.json"
    kept.write_text(text_of(describe(application)))
    assert check(kept, describe(application)) == []

    @application.get("/new", operation_id="new")
    async def new() -> None: ...

    assert check(kept, describe(application)) == ["#/paths/~1new: is new"]


def test_the_check_fails_for_a_document_that_is_not_the_codes(document: dict[str, Any], tmp_path: Path) -> None:
    document["paths"]["/tasks"]["post"]["responses"]["418"] = document["paths"]["/tasks"]["post"]["responses"].pop(
        "409"
    )
    document["paths"]["/tasks/{id}"]["get"]["parameters"].pop()
    document["info"]["title"] = "Another API"
    kept = tmp_path / "kept.json"
    kept.write_text(text_of(document))

    done = run(*COMMAND, "--check", str(kept))

    assert done.returncode == 1
    places = [line.removeprefix(f"{kept}: ") for line in done.stderr.splitlines()]
    assert places[:-1] == [
        "#/info/title: has changed",
        "#/paths/~1tasks/post/responses/418: is no more",
        "#/paths/~1tasks/post/responses/409: is new",
        "#/paths/~1tasks~1{id}/get/parameters: has changed",
    ]
    assert places[-1] == f"Is that meant? Then: python -m taskmanager.documentation > {kept}"


def test_the_check_fails_for_a_file_that_is_none_or_is_written_otherwise(
    document: dict[str, Any], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.json"
    assert check(kept, document) == ["cannot be read: FileNotFoundError"]
    kept.write_text("{")
    assert check(kept, document) == ["cannot be read: JSONDecodeError"]
    kept.write_text(json.dumps(document))
    assert check(kept, document) == ["#: is written otherwise, in another order or form"]


def test_a_difference_is_told_at_its_place() -> None:
    kept = {"a": [1, 2], "b": {"c/d~": 1}, "e": 1, "f": 1}
    made = {"a": [1, 3], "b": {"c/d~": 2}, "e": True, "g": None}

    assert list(differences(kept, made)) == [
        "#/a/1: has changed",
        "#/b/c~1d~0: has changed",
        "#/e: has changed",
        "#/f: is no more",
        "#/g: is new",
    ]
    assert list(differences([1], [1, 2])) == ["#: has changed"]


def test_every_operation_has_a_name_that_stays_and_says_what_it_is_for(document: dict[str, Any]) -> None:
    assert {f"{method} {path}": operation["operationId"] for method, path, operation in operations(document)} == {
        "get /tasks": "list_tasks",
        "post /tasks": "create_task",
        "get /tasks/{id}": "get_task",
        "put /tasks/{id}": "replace_task",
        "patch /tasks/{id}": "patch_task",
        "delete /tasks/{id}": "delete_task",
        "get /livez": "livez",
        "get /readyz": "readyz",
        "get /health": "health",
        "get /version": "version",
        "get /metrics": "metrics",
    }
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        assert all(parameter["description"] for parameter in operation.get("parameters", ()))
        assert all(answer["description"] for answer in operation["responses"].values())


def test_the_document_is_whole(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    schemas = document["components"]["schemas"]
    assert not {"HTTPValidationError", "ValidationError"} & schemas.keys()
    references = {value for name, value in every_value(document) if name == "$ref"}
    assert references == {f"#/components/schemas/{name}" for name in schemas}


def test_every_refusal_is_a_problem_and_every_success_has_a_schema(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {})
            if status in {"204", "304"}:
                assert content == {}
            elif int(status) >= 400 and path not in {"/health", "/readyz"}:
                problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
                assert content == {"application/problem+json": problem}, (method, path, status)
            else:
                (media_type,) = content.values()
                assert media_type["schema"], (method, path, status)


def test_a_patch_is_described_under_both_of_its_media_types(document: dict[str, Any]) -> None:
    content = document["paths"]["/tasks/{id}"]["patch"]["requestBody"]["content"]

    assert content.keys() == {"application/merge-patch+json", "application/json"}
    assert content["application/merge-patch+json"] == content["application/json"]
    # What a patch leaves out is not reset, and FastAPI would leave a null out.
    assert "default" not in dict(every_value(document["components"]["schemas"]["TaskPatch"]))
    assert None in content["application/json"]["examples"]["cleared"]["value"].values()


async def test_a_task_has_the_fields_that_are_described_in_their_order(client: httpx.AsyncClient) -> None:
    task = (await client.post("/tasks", json={"title": "t", "status": "done", "due_at": "2026-03-31T18:00:00Z"})).json()

    assert list(task) == list(Task.model_fields)
    Task.model_validate(task, strict=False)


@pytest.mark.parametrize("gate", ["enforce", "warn", "off"])
@pytest.mark.parametrize("draining", [False, True])
async def test_what_the_probes_answer_is_what_is_described(
    migrated_database: Database, empty_database: Database, gate: str, draining: bool
) -> None:
    for database in (migrated_database, empty_database):
        application = create_app(Settings.model_validate({"database_url": database.app_url, "schema_gate": gate}))
        async with application.router.lifespan_context(application):
            await application.state.watcher.first_answer()
            application.state.service_state.draining = draining
            async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://it") as client:
                for path in ("/health", "/readyz"):
                    Health.model_validate_json((await client.get(path)).content)
                Version.model_validate_json((await client.get("/version")).content)
                Alive.model_validate_json((await client.get("/livez")).content)


# Not one character more or less than str.strip() takes for blank, and a few of every other kind.
SINGLE = [chr(point) for point in [*range(0x0300), 0x1680, 0x180E, *range(0x2000, 0x2070), 0x3000, 0xFEFF, 0x1F98A]]
TEXTS = [*SINGLE, *(f" {one}\n" for one in SINGLE), *(f"a{one}" for one in SINGLE), "", "a" * 10_000]
# What the headers are made of: every line of up to four of these, and lines around the longest that are taken.
PIECES = [*'"*, \t\\a3\x7f\x80\xffé@', "W/", "w/", '"3"', 'W/"3"', '"\\""']
LINES = ["".join(pieces) for many in range(5) for pieces in product(PIECES, repeat=many)]
LINES += [make("a" * many) for many in (254, 255, 256) for make in (str, '"{}"'.format)]
LINES += ['"' + piece * many + '"' for piece, most in (("\\\\", 255), ("a", 8190)) for many in (most, most + 1)]


def is_as_described(schema: dict[str, Any], text: str) -> bool:
    return (
        re.search(schema["pattern"].removesuffix("$") + r"\Z", text) is not None
        and schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    )  # fmt: skip


def is_taken(read: Callable[[str], object], text: str) -> bool:
    try:
        read(text)
    except (ValidationError, MalformedHeader):
        return False
    return True


def of_parameter(document: dict[str, Any], method: str, path: str, name: str) -> dict[str, Any]:
    parameters = document["paths"][path][method]["parameters"]
    [schema] = [parameter["schema"] for parameter in parameters if parameter["name"] == name]
    assert isinstance(schema, dict)
    return schema


def test_the_described_form_of_a_text_is_what_is_taken(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    content, patch = schemas["TaskContent"]["properties"], schemas["TaskPatch"]["properties"]
    assert content["tags"]["uniqueItems"]
    texts: list[tuple[dict[str, Any], Callable[[str], object]]] = [
        (content["title"], lambda text: TaskContent.model_validate({"title": text})),
        (content["description"], lambda text: TaskContent.model_validate({"title": "t", "description": text})),
        (content["tags"]["items"], lambda text: TaskContent.model_validate({"title": "t", "tags": [text]})),
        (patch["title"], lambda text: TaskPatch(title=text)),
        (patch["description"]["anyOf"][0], lambda text: TaskPatch(description=text)),
        (patch["tags"]["anyOf"][0]["items"], lambda text: TaskPatch(tags=[text])),
        (of_parameter(document, "get", "/tasks", "tag"), lambda text: ListParameters(tag=text)),
    ]
    for schema, read in texts:
        # Whatever is of the described length; of blanks more are taken than are described.
        fitting = [text for text in TEXTS if schema.get("minLength", 0) <= len(text) <= schema["maxLength"]]
        assert [text for text in fitting if is_as_described(schema, text) != is_taken(read, text)] == []


@pytest.mark.parametrize(
    ("method", "path", "name", "read"),
    [
        ("put", "/tasks/{id}", "If-Match", versions_to_match),
        ("get", "/tasks/{id}", "If-None-Match", lambda text: is_known(text, 3)),
        ("post", "/tasks", "Idempotency-Key", key_of),
    ],
)
def test_the_described_form_of_a_header_is_what_is_taken(
    document: dict[str, Any], method: str, path: str, name: str, read: Callable[[str], object]
) -> None:
    schema = of_parameter(document, method, path, name)

    assert [line for line in LINES if is_as_described(schema, line) != is_taken(read, line)] == []


# A list's description tells which filters go with which sort.
SORT_OF = {"due_after": "due_at", "due_before": "due_at", "updated_since": "-updated_at"}


def examples(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """A request for each example: of each body, and of each parameter beside what its operation needs."""
    for method, path, operation in operations(document):
        bodies = [
            {"json": example["value"], "headers": {"Content-Type": media_type}}
            for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
            for example in content["examples"].values()
        ]
        for body in bodies:
            yield method, path, body
        for parameter in operation.get("parameters", ()):
            for value in parameter["schema"]["examples"]:
                options = dict(bodies[0]) if bodies else {}
                if parameter["in"] == "query":
                    name = parameter["name"]
                    options["params"] = {name: value} | ({"sort": SORT_OF[name]} if name in SORT_OF else {})
                elif parameter["in"] == "header":
                    options["headers"] = options.get("headers", {}) | {parameter["name"]: value}
                yield method, path, options


async def test_every_example_runs(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    requests = list(examples(document))
    assert len(requests) > 20
    number = 0
    for method, path, options in requests:
        if "{id}" in path:
            number = (await client.post("/tasks", json={"title": "for an example"})).json()["id"]
        response = await client.request(method, path.replace("{id}", str(number)), **options)
        assert response.status_code in {200, 201, 204, 304}, (method, path, options, response.text)


T = {"title": "t"}
MERGE = {"Content-Type": "application/merge-patch+json"}
ANSWERS: list[tuple[int, str, str, dict[str, Any]]] = [
    (200, "GET", "/tasks", {}),
    (400, "GET", "/tasks", {"headers": [("Authorization", "a"), ("Authorization", "b")]}),
    (422, "GET", "/tasks", {"params": {"limit": 0}}),
    (201, "POST", "/tasks", {"json": T}),
    (201, "POST", "/tasks", {"json": T, "headers": {"Idempotency-Key": "a"}}),
    (201, "POST", "/tasks", {"json": T, "headers": {"Idempotency-Key": "a"}}),
    (400, "POST", "/tasks", {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    (400, "POST", "/tasks", {"json": T, "headers": {"Idempotency-Key": '"'}}),
    (413, "POST", "/tasks", {"json": {"title": "t" * 70_000}}),
    (415, "POST", "/tasks", {"content": b"{}"}),
    (422, "POST", "/tasks", {"json": {}}),
    (422, "POST", "/tasks", {"json": {"title": "u"}, "headers": {"Idempotency-Key": "a"}}),
    (200, "GET", "/tasks/1", {}),
    (304, "GET", "/tasks/1", {"headers": {"If-None-Match": '"1"'}}),
    (400, "GET", "/tasks/1", {"headers": {"If-None-Match": "1"}}),
    (404, "GET", "/tasks/9", {}),
    (422, "GET", "/tasks/0", {}),
    (200, "PUT", "/tasks/1", {"json": T}),
    (400, "PUT", "/tasks/1", {"json": T, "headers": {"If-Match": "1"}}),
    (404, "PUT", "/tasks/9", {"json": T}),
    (412, "PUT", "/tasks/1", {"json": T, "headers": {"If-Match": '"9"'}}),
    (413, "PUT", "/tasks/1", {"json": {"title": "t" * 70_000}}),
    (415, "PUT", "/tasks/1", {"content": b"{}"}),
    (422, "PUT", "/tasks/1", {"json": {}}),
    (200, "PATCH", "/tasks/1", {"json": T}),
    (400, "PATCH", "/tasks/1", {"content": b"{", "headers": MERGE}),
    (404, "PATCH", "/tasks/9", {"json": T}),
    (412, "PATCH", "/tasks/1", {"json": T, "headers": {"If-Match": '"9"'}}),
    (413, "PATCH", "/tasks/1", {"json": {"title": "t" * 70_000}}),
    (415, "PATCH", "/tasks/1", {"content": b"{}"}),
    (422, "PATCH", "/tasks/1", {"json": {"title": None}}),
    (400, "DELETE", "/tasks/1", {"headers": {"If-Match": "1"}}),
    (404, "DELETE", "/tasks/9", {}),
    (412, "DELETE", "/tasks/1", {"headers": {"If-Match": '"9"'}}),
    (422, "DELETE", "/tasks/0", {}),
    (204, "DELETE", "/tasks/2", {}),
    (409, "POST", "/tasks", {"json": T, "headers": {"Idempotency-Key": "a"}}),
    (200, "GET", "/livez", {}),
    (200, "GET", "/readyz", {}),
    (200, "GET", "/health", {}),
    (200, "GET", "/version", {}),
    (200, "GET", "/metrics", {}),
]

# Not of every answer of that status: a last page has no next one, and a first request is no replay.
SOMETIMES = {"Link", "Idempotency-Replayed"}


async def test_what_is_answered_is_described(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    for status, method, path, options in ANSWERS:
        response = await client.request(method, path, **options)
        assert response.status_code == status, (method, path, options, response.text)
        described = document["paths"]["/tasks/{id}" if path.startswith("/tasks/") else path][method.lower()]
        answer = described["responses"][str(status)]
        headers = answer.get("headers", {}).keys()
        assert all(name in response.headers for name in headers - SOMETIMES), (method, path, status)
        # And the other way round: none of these comes without being described.
        telling = {"ETag", "Location", "Link", "Retry-After", "Accept-Patch", "Idempotency-Replayed"}
        assert {name for name in telling if name in response.headers} <= headers, (method, path, status)
        if status >= 400:
            problem_of(response, status)
        elif answer.get("content"):
            assert response.headers["content-type"].split(";")[0] in answer["content"]
        else:
            assert response.content == b""
    asked = {(method.lower(), path if path.count("/") == 1 else "/tasks/{id}") for _, method, path, _ in ANSWERS}
    assert asked == {(method, path) for method, path, _ in operations(document)}
