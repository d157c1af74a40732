"""What people write, and who they are, is in no log line and in no metric, however a request ends."""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from urllib.parse import quote

import httpx
import pytest

from tests import plain_http
from tests.databases import Database
from tests.hostile.wire import CANARY, converse
from tests.processes import Service, run
from tests.taskmanager.postgres_proxy import PostgresProxy

Serve = Callable[..., Service]

EMAIL = f"{CANARY}@example.com"
SENT_ENCODED = (base64.b64encode(CANARY.encode()).decode().rstrip("=")[:-2], CANARY.encode().hex())

CONTENT = {"title": f"call {EMAIL}", "description": f"of {EMAIL}", "tags": [CANARY, EMAIL]}
PERSONAL_HEADERS = {
    "X-Forwarded-For": f"203.0.113.7, {CANARY}",
    "Forwarded": f"for={CANARY}",
    "Cookie": f"session={CANARY}",
    "Referer": f"https://{CANARY}.example/{EMAIL}",
    "User-Agent": CANARY,
    "From": EMAIL,
    "X-Api-Key": CANARY,
    "X-User": EMAIL,
    "Origin": f"https://{CANARY}.example",
    "traceparent": f"00-{CANARY}",
    "X-Request-Id": f"{EMAIL}",
}
AUTHORIZATIONS = [
    f"Bearer {CANARY}",
    f"Bearer tm_{CANARY}_{'x' * 43}",
    f"Basic {base64.b64encode(EMAIL.encode()).decode()}",
    f"Digest username={EMAIL}",
]
QUERIES = [f"{name}={quote(value)}" for name, value in itertools.product(
    ("q", "tag", "cursor", "status", "sort", "limit", "due_before", CANARY), (CANARY, EMAIL, f"\0{CANARY}", CANARY * 40)
)]  # fmt: skip


def requests_of_every_kind(url: str, key: str | None = None) -> Iterator[httpx.Response]:
    """Requests with canaries wherever one fits: valid ones, and refused ones of every kind."""
    headers = PERSONAL_HEADERS | ({"Authorization": f"Bearer {key}"} if key else {})
    with plain_http.Client(base_url=url, headers=headers, timeout=20) as client:
        created = client.post("/tasks", json=CONTENT)
        yield created
        path = created.headers.get("location", "/tasks/1")
        for idempotency_key in (f'"{EMAIL}"', f'"{EMAIL}"', CANARY, f"{CANARY} not one"):
            yield client.post("/tasks", json=CONTENT, headers={"Idempotency-Key": idempotency_key})
        yield client.post("/tasks", json=CONTENT | {"title": CANARY}, headers={"Idempotency-Key": f'"{EMAIL}"'})
        yield client.get(path)
        yield client.patch(path, json={"description": EMAIL})
        yield client.put(path, json=CONTENT)
        for method, header in itertools.product(("GET", "PUT", "PATCH", "DELETE"), ("If-Match", "If-None-Match")):
            body = CONTENT if method in {"PUT", "PATCH"} else None
            for value in (CANARY, f'"{EMAIL}"', f'W/"{CANARY}"'):
                if (method, value[0]) != ("DELETE", '"'):
                    yield client.request(method, path, json=body, headers={header: value})
        for query in QUERIES:
            yield client.get(f"/tasks?{query}")
        for fault in (
            {CANARY: 1},
            {"status": EMAIL},
            {"due_at": CANARY},
            {"tags": [CANARY] * 3},
            {"title": CANARY * 30},
        ):
            yield client.post("/tasks", json=CONTENT | fault)
        for odd in ([CANARY], CANARY, {"title": f"{CANARY}\0"}):
            yield client.post("/tasks", json=odd)
        for content in (f'{{"title":"{CANARY}', f'{{"title":"{CANARY}\\ud800"}}', f'"{CANARY}' * 9000):
            yield client.post("/tasks", content=content, headers={"Content-Type": "application/json"})
        yield client.post("/tasks", content=CANARY, headers={"Content-Type": f"text/{CANARY}"})
        for other in (f"/tasks/{CANARY}", f"/{EMAIL}", f"/tasks/1/{CANARY}?email={EMAIL}", f"/%00{CANARY}"):
            yield client.get(other)
            yield client.request("PURGE", other)
        for authorization in AUTHORIZATIONS:
            yield client.get("/tasks", headers={"Authorization": authorization})
        yield client.delete(path)


def raw_requests(service: Service) -> None:
    for data in (
        f"{EMAIL} / HTTP/1.1\r\n\r\n",
        f"GET /{CANARY} {EMAIL}\r\n\r\n",
        f"GET / HTTP/1.1\r\n{CANARY}\r\n\r\n",
        f"GET /?{EMAIL} HTTP/1.1\r\nHost: {CANARY}\r\nHost: {CANARY}\r\nConnection: close\r\n\r\n",
        f"POST /tasks HTTP/1.1\r\nHost: {CANARY}\r\nTransfer-Encoding: chunked\r\n\r\n{CANARY}\r\n",
        f"GET /{CANARY * 9000} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ):
        converse(service.port, data.encode())


def told_nothing(service: Service, key: str | None = None) -> None:
    metrics = plain_http.get(service.url + "/metrics", headers={"Authorization": f"Bearer {key}"} if key else {}).text
    assert "http_requests_total" in metrics
    for place, text in (("the log", service.log), ("the metrics", metrics)):
        for canary in (CANARY, *SENT_ENCODED, "203.0.113.7"):
            assert canary not in text.lower(), [line for line in text.splitlines() if canary in line.lower()][:3]
            assert canary not in text, place


def statuses_of(responses: Iterator[httpx.Response]) -> set[int]:
    return {response.status_code for response in responses}


# At its most talkative level, and in both of its forms.
FORMATS = [("json", "debug"), ("console", "debug"), ("json", "info")]


@pytest.mark.parametrize(("form", "level"), FORMATS)
def test_while_all_is_well(migrated_database: Database, serve: Serve, form: str, level: str) -> None:
    service = serve(migrated_database, TASKMANAGER_LOG_FORMAT=form, TASKMANAGER_LOG_LEVEL=level)
    service.wait_for("/tasks", 200)

    assert statuses_of(requests_of_every_kind(service.url)) >= {200, 201, 400, 404, 405, 412, 413, 415, 422}
    raw_requests(service)

    told_nothing(service)


def test_with_keys(migrated_database: Database, serve: Serve) -> None:
    made = json.loads(run(sys.executable, "-m", "taskmanager", "keys", "new", "--json", *(
        word for scope in ("tasks:read", "tasks:write", "metrics:read") for word in ("--scope", scope)
    )).stdout)  # fmt: skip
    service = serve(
        migrated_database,
        TASKMANAGER_AUTH="api_key",
        TASKMANAGER_KEYS=made["line"],
        TASKMANAGER_LOG_FORMAT="json",
        TASKMANAGER_LOG_LEVEL="debug",
    )
    service.wait_for("/readyz", 200)

    assert statuses_of(requests_of_every_kind(service.url, made["key"])) >= {200, 201, 401, 422}
    assert statuses_of(requests_of_every_kind(service.url)) == {401, 405, 413}
    raw_requests(service)

    told_nothing(service, made["key"])
    assert made["key"].split("_", 2)[2] not in service.log


@pytest.mark.parametrize(("form", "level"), FORMATS)
def test_while_the_database_is_away(migrated_database: Database, serve: Serve, form: str, level: str) -> None:
    with PostgresProxy(migrated_database) as proxy:
        service = serve(
            proxy.database,
            TASKMANAGER_LOG_FORMAT=form,
            TASKMANAGER_LOG_LEVEL=level,
            TASKMANAGER_SCHEMA_GATE="off",
        )
        service.wait_for("/tasks", 200)
        proxy.cut()

        assert statuses_of(requests_of_every_kind(service.url)) >= {400, 404, 422, 503}

        told_nothing(service)


FAULTS = {
    "no table": "DROP TABLE tasks",
    "no column": "ALTER TABLE tasks DROP COLUMN tags CASCADE",
    "a column of another type": "ALTER TABLE tasks ALTER COLUMN completed_at TYPE text",
    "a rule that nothing keeps": "ALTER TABLE tasks ADD CHECK (length(title) > 1000) NOT VALID",
    "one title alone": "CREATE UNIQUE INDEX ON tasks ((length(title) * 0))",
    "a trigger that quotes a row": """
        CREATE FUNCTION quote() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not %', NEW.title USING DETAIL = NEW.description, HINT = NEW.title; END $$;
        CREATE TRIGGER quote BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION quote()""",
    "a trigger that cannot read a row": """
        CREATE FUNCTION cast_it() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.version := NEW.title::int; RETURN NEW; END $$;
        CREATE TRIGGER cast_it BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION cast_it()""",
    "no privilege": "REVOKE ALL ON tasks FROM taskmanager_app",
}  # fmt: skip


@pytest.mark.parametrize("gate", ["off", "enforce"])
@pytest.mark.parametrize("sql", FAULTS.values(), ids=FAULTS.keys())
def test_while_the_schema_is_another(migrated_database: Database, serve: Serve, sql: str, gate: str) -> None:
    service = serve(
        migrated_database,
        TASKMANAGER_LOG_FORMAT="json",
        TASKMANAGER_LOG_LEVEL="debug",
        TASKMANAGER_SCHEMA_GATE=gate,
    )
    service.wait_for("/tasks", 200)
    migrated_database.execute(sql)

    statuses = statuses_of(requests_of_every_kind(service.url))

    assert statuses & ({500} if gate == "off" else {500, 503})
    told_nothing(service)
