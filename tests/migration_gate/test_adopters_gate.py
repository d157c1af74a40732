"""The gate as somebody else adopts it: one line in an application of theirs, a real server, a real database."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from migration_gate.postgres.probing import APPLICATION_NAME
from tests.databases import Database
from tests.migration_gate.adopters import FASTAPI, PLAIN, STARLETTE, Serve, serving
from tests.migration_gate.poolers import pooler
from tests.migration_gate.scratch import BOOK, ENV, Project, succeed, until
from tests.processes import Service


@pytest.fixture
def serve(project: Project, empty_database: Database, tmp_path: Path) -> Iterator[Serve]:
    with serving(project, empty_database.app_url, tmp_path) as serve:
        yield serve


def _first_answer(service: Service, path: str = "/books") -> httpx.Response:
    answers: list[httpx.Response] = []

    def asked() -> bool:
        assert service.process.poll() is None, service.log
        try:
            answers.append(service.get(path))
        except httpx.TransportError:
            return False
        return True

    until(asked)
    return answers[0]


def _watchers(database: Database) -> int:
    rows = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
        APPLICATION_NAME,
    )
    return int(str(rows[0][0]))


@pytest.mark.parametrize("application", [FASTAPI, STARLETTE, PLAIN], ids=["FastAPI", "Starlette", "plain ASGI"])
def test_it_is_closed_before_the_upgrade_and_open_after_it_without_a_restart(
    serve: Serve, project: Project, application: str
) -> None:
    service = serve(application)

    refusal = _first_answer(service)
    assert refusal.status_code == 503
    assert refusal.headers["content-type"] == "application/problem+json"
    assert refusal.json()["code"] == "never_migrated"
    assert refusal.json()["solution"] == "alembic upgrade head"
    succeed(project.alembic("upgrade", BOOK))
    until(lambda: service.get("/books").json()["code"] == "behind")
    succeed(project.alembic("upgrade", "head"))

    assert "books" in service.wait_for("/books", 200, within_s=5).text
    assert service.process.poll() is None


def test_a_healthy_database_never_shows_a_refusal_and_the_serving_process_imports_none_of_the_migrations(
    serve: Serve, project: Project
) -> None:
    succeed(project.alembic("upgrade", "head"))

    service = serve(FASTAPI)

    assert _first_answer(service).status_code == 200
    assert service.get("/livez").json() == []


def test_the_lifespan_of_the_application_is_run_inside_and_the_connection_is_closed_at_the_end(
    serve: Serve, project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    service = serve(STARLETTE)
    assert _first_answer(service).status_code == 200
    assert _watchers(empty_database) == 1

    # uvicorn ends by the signal that it was sent, once it has shut down.
    assert service.stop() in {0, -signal.SIGTERM}

    assert service.log.index("STARTED") < service.log.index("ENDED")
    until(lambda: _watchers(empty_database) == 0)
    for sign in ("Task was destroyed", "never retrieved", "Traceback"):
        assert sign not in service.log


@pytest.mark.parametrize("application", [FASTAPI, PLAIN], ids=["FastAPI", "plain ASGI"])
def test_a_server_without_lifespans_starts_the_watch_with_the_first_request(
    serve: Serve, project: Project, application: str
) -> None:
    succeed(project.alembic("upgrade", "head"))

    service = serve(application, "", "--lifespan", "off")

    assert _first_answer(service).status_code == 200


def test_each_of_several_workers_has_its_own_watch(serve: Serve, project: Project, empty_database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))

    service = serve(FASTAPI, "", "--workers", "2")

    assert _first_answer(service).status_code == 200
    until(lambda: _watchers(empty_database) == 2)
    assert {service.get("/books").status_code for _ in range(20)} == {200}


def test_open_paths_answer_in_every_state_and_a_mode_that_does_not_enforce_lets_everything_through(
    serve: Serve, empty_database: Database
) -> None:
    service = serve(FASTAPI)
    assert _first_answer(service, "/livez").status_code == 200
    assert service.get("/books").status_code == 503

    warning = serve(FASTAPI, ', mode="warn"')
    assert _first_answer(warning).status_code == 200
    until(lambda: "schema is never_migrated" in warning.log)
    service.stop()
    warning.stop()

    until(lambda: _watchers(empty_database) == 0)
    off = serve(FASTAPI, ', mode="off"')
    assert _first_answer(off).status_code == 200
    assert _watchers(empty_database) == 0


def test_what_the_models_need_is_proven_as_the_applications_role(
    serve: Serve, project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    empty_database.execute("REVOKE ALL ON book FROM taskmanager_app")
    service = serve(FASTAPI)
    assert _first_answer(service).json()["code"] == "privileges_missing"
    empty_database.execute("GRANT SELECT ON book TO taskmanager_app")
    service.wait_for("/books", 200, within_s=5)
    service.stop()

    empty_database.execute("ALTER TABLE book DROP COLUMN title")
    service = serve(FASTAPI)
    assert _first_answer(service).json()["code"] == "statement_broken"
    service.stop()

    statements = ', statements={"table:b*": None, "labels": "SELECT label FROM shelf WHERE id = $1"}'
    assert _first_answer(serve(FASTAPI, statements)).status_code == 200


def test_an_env_py_that_fails_closes_nothing_that_was_migrated_and_is_tried_again(
    serve: Serve, project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", BOOK))
    project.write_env("raise RuntimeError('no vault at postgresql://owner:s3cret@h/d')")

    service = serve(FASTAPI)

    assert _first_answer(service).status_code == 200
    until(lambda: "RuntimeError: no vault at postgresql://***@h/d" in service.log)
    assert "s3cret" not in service.log
    assert "schema is broken_graph" in service.log
    project.write_env(ENV.format(options=""))
    assert service.wait_for("/books", 503, within_s=20).json()["code"] == "behind"
    until(lambda: _watchers(empty_database) == 1)


def test_an_env_py_that_fails_before_a_database_that_was_never_migrated_stays_closed(
    serve: Serve, project: Project
) -> None:
    (project.folder / "alembic.ini").unlink()

    service = serve(FASTAPI)

    assert _first_answer(service).json()["code"] == "never_migrated"
    assert "There is no alembic.ini" in service.log


def test_an_address_that_leads_nowhere_is_refused_and_told(serve: Serve, empty_database: Database) -> None:
    service = serve(FASTAPI, url="mysql://owner:s3cret@h/d")

    assert _first_answer(service).json()["code"] == "unreachable"
    until(lambda: "must begin with postgresql://" in service.log)
    assert "s3cret" not in service.log
    given = serve(FASTAPI, f", url={empty_database.app_url!r}", url="mysql://owner:s3cret@h/d")
    assert _first_answer(given).json()["code"] == "never_migrated"


@pytest.mark.filterwarnings("ignore:Using `httpx` with")
def test_a_test_client_sees_the_gate_with_and_without_the_lifespan(
    project: Project, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    from migration_gate import SchemaGate

    monkeypatch.setenv("DATABASE_URL", empty_database.app_url)
    app = Starlette(routes=[Route("/books", lambda _: PlainTextResponse("books"))])
    app.add_middleware(SchemaGate, config=project.folder / "alembic.ini")

    with TestClient(app) as client:
        assert client.get("/books").status_code == 503
        succeed(project.alembic("upgrade", "head"))
        until(lambda: client.get("/books").status_code == 200, within_s=10)
    # Each of these requests has an event loop of its own.
    client = TestClient(app)
    assert [client.get("/books").status_code for _ in range(3)] == [200] * 3
    until(lambda: _watchers(empty_database) == 0)


def test_a_database_that_goes_away_is_served_on_and_one_that_comes_back_otherwise_is_not(
    serve: Serve, project: Project, empty_database: Database
) -> None:
    succeed(project.alembic("upgrade", "head"))
    service = serve(FASTAPI)
    assert _first_answer(service).status_code == 200

    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            " AND datname = current_database()",
            (APPLICATION_NAME,),
        )
    until(lambda: "schema check failed" in service.log)
    assert service.get("/books").status_code == 200

    empty_database.execute("UPDATE alembic_version SET version_num = %s", BOOK)
    assert service.wait_for("/books", 503, within_s=10).json()["code"] == "behind"


def test_a_transaction_pooler_may_stand_between(serve: Serve, project: Project, empty_database: Database) -> None:
    with pooler(empty_database, "transaction", size=2) as pooled:
        url = pooled.app_url
        service = serve(FASTAPI, f", url={url!r}")
        assert _first_answer(service).json()["code"] == "never_migrated"
        succeed(project.alembic("upgrade", "head"))
        service.wait_for("/books", 200, within_s=5)
        service.stop()
