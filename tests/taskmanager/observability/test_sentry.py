"""Bugs reach Sentry, grouped by what they are, and nothing that a client sent or a secret goes with them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from taskmanager import __version__
from taskmanager.access.key_lines import SCOPES, new_key
from tests.databases import Database
from tests.processes import Service
from tests.taskmanager.observability.capture import Capture, variables_of
from tests.taskmanager.observability.conftest import FAULTY_SERVICE

Serve = Callable[..., Service]

CANARY = "canary4711"
OTHER_CANARY = "sparrow0815"
EMAIL = "somebody@canary4711.example"
CLIENT = "203.0.113.77"
TASK = {"title": f"{CANARY} title", "description": EMAIL}
OTHER_TASK = {"title": OTHER_CANARY, "description": f"{OTHER_CANARY} to {EMAIL}"}


def password_of(url: str) -> str:
    password = urlsplit(url).password
    assert password
    return password


def put(service: Service, path: str, task: dict[str, str] = TASK, **headers: str) -> int:
    answer = service.request("PUT", f"{path}?query={CANARY}", json=task, headers=headers)
    # A parameter that is not declared is refused: the query stays away from the routes, and must not be told either.
    assert answer.status_code == 422
    return service.request("PUT", path, json=task, headers=headers).status_code


@pytest.mark.parametrize("path", ["/faulty/1", "/faulty-in-fastapi/1"], ids=["served directly", "through FastAPI"])
def test_a_bug_in_a_route_is_told_with_its_place_and_no_value(faulty: Service, sentry: Capture, path: str) -> None:
    assert put(faulty, path, **{"X-Request-Id": "the-request"}) == 500

    (event,) = sentry.wait_for_events(1)
    assert event["level"] == "error"
    assert event["environment"] == "development"
    assert event["release"] == f"taskmanager@{__version__}+c0ffee"
    tags = event["tags"]
    assert tags["request_id"] == "the-request"
    assert tags["http.request.method"] == "PUT"
    assert tags["http.route"] == path.replace("1", "{id}")
    assert tags["code"] == "internal_error"
    assert event["transaction"] == f"PUT {tags['http.route']}"
    assert tags["alembic.head"] == tags["alembic.current"] != ""
    (exception,) = event["exception"]["values"]
    assert exception["type"] == "KeyError"
    assert exception["value"] == "(not told: it may quote a value)"
    last = exception["stacktrace"]["frames"][-1]
    assert last["function"] == "_looks_up"
    assert last["in_app"] is True
    assert last["context_line"].strip() == "raise KeyError(content.title)"
    assert last["vars"] == {"number": "<int>", "content": "<TaskContent>", "seen": "<dict>"}
    assert all(value.startswith("<") and value.endswith(">") for _, value in variables_of(event))
    assert {"body", "content", "scope", "headers"} & {name for name, _ in variables_of(event)}


def test_a_chain_of_exceptions_is_told_oldest_first(faulty: Service, sentry: Capture) -> None:
    assert put(faulty, "/faulty/2") == 500

    (event,) = sentry.wait_for_events(1)
    values = event["exception"]["values"]
    assert [value["type"] for value in values] == ["IndexError", "ValueError"]
    assert all(value["stacktrace"]["frames"][-1]["function"] == "_looks_up" for value in values)
    assert values[0]["stacktrace"]["frames"][-1]["vars"]["seen"] == "<dict>"


def test_the_same_fault_with_other_values_is_one_and_another_fault_is_another(faulty: Service, sentry: Capture) -> None:
    put(faulty, "/faulty/1", TASK)
    put(faulty, "/faulty/1", OTHER_TASK)
    put(faulty, "/faulty/2", TASK)

    first, second, other = sentry.wait_for_events(3)
    assert first["fingerprint"] == second["fingerprint"]
    assert first["fingerprint"] == ["builtins.KeyError", "-", "internal_error", "faulty_service._looks_up"]
    assert other["fingerprint"] != first["fingerprint"]
    assert "extra" not in second


def test_nothing_that_a_client_sends_and_no_secret_goes_out(
    migrated_database: Database, serve: Serve, sentry: Capture
) -> None:
    key, stored = new_key(SCOPES)
    service = serve(
        migrated_database,
        command=FAULTY_SERVICE,
        SENTRY_DSN=sentry.dsn,
        TASKMANAGER_AUTH="api_key",
        TASKMANAGER_KEYS=stored.line(),
        CANARY_OF_THE_ENVIRONMENT=CANARY,
    )
    headers = {
        "Authorization": f"Bearer {key}",
        "Cookie": f"session={CANARY}",
        "User-Agent": CANARY,
        "X-Forwarded-For": CLIENT,
        "Referer": f"https://{CANARY}.example/?q={EMAIL}",
    }
    service.wait_for("/readyz", 200)
    for path in ("/faulty/1", "/faulty/2", "/faulty-in-fastapi/1", "/faulty-in-fastapi/2"):
        assert put(service, path, **headers) == 500
    migrated_database.execute("ALTER TABLE tasks RENAME COLUMN title TO label")
    service.request("POST", "/tasks", json=TASK, headers=headers)

    sentry.wait_for_event("statement_broken")
    assert len(sentry.events()) > 4
    secrets = (key, key.split("_", 2)[2], password_of(migrated_database.app_url))
    for told in (CANARY, EMAIL, CLIENT, "127.0.0.1", socket.gethostname(), *secrets):
        assert told.lower() not in sentry.everything.lower(), told


def test_a_repeated_fault_is_held_back_and_counted(faulty: Service, sentry: Capture) -> None:
    for _ in range(60):
        assert faulty.request("PUT", "/faulty/1", json=TASK).status_code == 500

    assert put(faulty, "/faulty/2") == 500
    events = sentry.wait_for_events(4)
    assert [event["fingerprint"][0] for event in events].count("builtins.KeyError") == 3
    assert len(events) == 4
