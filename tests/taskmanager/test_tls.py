"""The service and its migration over TLS: what a bad certificate does to each, and a renewed one, without a restart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stack.postgres import Database, create_database
from tests.processes import ROOT, Service
from tests.tls_servers import EXPIRED, GOOD, SELF_SIGNED, WRONG_HOST, TlsServer, make_certificates, tls_server
from tests.warm_processes import run_module

BAD = [
    (EXPIRED, "the server's certificate has expired, or its authority's has"),
    (SELF_SIGNED, "the server's certificate is signed by itself, and not by the authority in sslrootcert"),
    (WRONG_HOST, "the server's certificate is for another host than localhost"),
    (None, "the server offers no TLS, and the address demands it"),
]
NAMES = ["expired", "self-signed", "wrong host", "no TLS"]

Start = Callable[..., Service]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(make_certificates(tmp_path_factory.mktemp("tls") / "certificates", "--bad")) as server:
        server.show(GOOD)
        yield server


@pytest.fixture(scope="module")
def database(server: TlsServer) -> Database:
    """Migrated over TLS, by the command that production runs."""
    made = create_database(server.cluster, "tasks")
    done = run_module("taskmanager", "migrate", env=_variables(server, made), cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def _variables(server: TlsServer, database: Database) -> dict[str, str]:
    # By a name: the log tells no addresses in digits.
    urls = {"DATABASE_URL": database.app_url, "MIGRATION_DATABASE_URL": database.migrator_url}
    return {
        name: server.verified(url.replace("127.0.0.1", "localhost"), channel_binding="require")
        for name, url in urls.items()
    }


def _show(server: TlsServer, kind: str | None) -> None:
    if kind is None:
        server.speak_plainly()
    else:
        server.show(kind)


def _drop_sessions(server: TlsServer) -> None:
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'taskmanager_app'")


@pytest.fixture
def start(server: TlsServer, database: Database, tmp_path: Path) -> Iterator[Callable[[], Service]]:
    started: list[Service] = []

    def service() -> Service:
        started.append(Service(_variables(server, database), tmp_path))
        return started[-1]

    yield service
    for running in started:
        running.stop()


def test_with_a_sound_certificate_every_session_is_encrypted(server: TlsServer, start: Start) -> None:
    server.show(GOOD)
    service = start()
    service.wait_for("/readyz", 200)

    assert service.request("POST", "/tasks", json={"title": "over TLS"}).status_code == 201
    assert service.get("/tasks").status_code == 200
    sessions = server.execute(
        "SELECT application_name, ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        " WHERE usename = 'taskmanager_app'"
    )
    assert {name for name, *_ in sessions} == {"taskmanager", "taskmanager-activity", "migration-gate watcher"}
    assert {tuple(how) for _, *how in sessions} == {(True, "TLSv1.3")}


@pytest.mark.parametrize(("kind", "words"), BAD, ids=NAMES)
def test_a_bad_certificate_is_unreachable_on_the_rung_of_tls_until_it_is_renewed(
    server: TlsServer, start: Start, kind: str | None, words: str
) -> None:
    _show(server, kind)
    service = start()
    refused = service.wait_for("/tasks", 503).json()
    schema = service.get("/readyz").json()["checks"]["schema"]

    assert refused["code"] == schema["state"] == "unreachable"
    assert "certificate" in schema["solution"]
    assert words in service.log
    assert "Traceback" not in service.log

    server.show(GOOD)

    assert service.wait_for("/tasks", 200, within_s=10)


@pytest.mark.parametrize(("kind", "words"), BAD, ids=NAMES)
def test_the_commands_say_it_in_the_same_words(
    server: TlsServer, database: Database, kind: str | None, words: str
) -> None:
    _show(server, kind)
    variables = _variables(server, database)

    status = run_module("taskmanager", "status", "--json", env=variables, cwd=ROOT)
    migrate = run_module("taskmanager", "migrate", env=variables, cwd=ROOT)

    told = json.loads(status.stdout)
    assert status.returncode == 3
    assert (told["state"], told["rung"]) == ("unreachable", "tls")
    assert words in told["evidence"]
    # 75 would say that the same command may succeed in a moment.
    assert migrate.returncode == 69
    assert words in migrate.stdout + migrate.stderr
    secret = database.app_url.split(":")[2].split("@")[0]
    assert secret not in status.stdout + status.stderr + migrate.stdout + migrate.stderr


def test_a_certificate_that_is_renewed_is_taken_by_a_service_that_runs(server: TlsServer, start: Start) -> None:
    server.show(GOOD)
    service = start()
    service.wait_for("/tasks", 200)
    before = server.shown()

    make_certificates(server.certificates, "--renew")
    server.show(GOOD)
    assert server.shown() != before
    kept = service.get("/tasks")
    _drop_sessions(server)
    anew = service.wait_for("/tasks", 200, within_s=5)

    assert (kept.status_code, anew.status_code) == (200, 200)
    assert service.process.poll() is None


def test_a_certificate_that_expires_holds_up_new_sessions_alone_and_says_why(server: TlsServer, start: Start) -> None:
    server.show(GOOD)
    service = start()
    service.wait_for("/tasks", 200)

    server.show(EXPIRED)
    assert service.get("/tasks").status_code == 200  # by the session that is there
    _drop_sessions(server)
    refused = service.wait_for("/tasks", 503)
    ready = service.wait_for("/readyz", 503).json()

    assert refused.json()["code"] == "database_unavailable"
    assert "the server's certificate has expired" in service.log
    assert ready["checks"]["database"]["status"] == "fail"

    make_certificates(server.certificates, "--renew")
    server.show(GOOD)
    assert service.wait_for("/tasks", 200, within_s=10)


def test_a_password_is_changed_without_an_interruption_by_a_second_login(
    server: TlsServer, database: Database, tmp_path: Path, start: Start
) -> None:
    server.show(GOOD)
    before = start()
    before.wait_for("/tasks", 200)
    server.execute("CREATE ROLE taskmanager_app_2 LOGIN PASSWORD 'another-4711' IN ROLE taskmanager_app")
    old = database.app_url.split("//")[1].split("@")[0]
    second = _variables(server, database)["DATABASE_URL"].replace(old, "taskmanager_app_2:another-4711")

    with Service({"DATABASE_URL": second}, tmp_path) as after:
        after.wait_for("/readyz", 200)
        # Both at once, which is what a rolling restart needs; then the old login ends.
        made = after.request("POST", "/tasks", json={"title": "by the second login"})
        seen_by_the_first = before.get(made.headers["location"])
        before.stop()
        server.execute("ALTER ROLE taskmanager_app NOLOGIN")
        try:
            _drop_sessions(server)
            changed = after.request("PATCH", made.headers["location"], json={"status": "done"})
        finally:
            server.execute("ALTER ROLE taskmanager_app LOGIN")

    assert (made.status_code, seen_by_the_first.status_code, changed.status_code) == (201, 200, 200)
    with psycopg.connect(server.cluster.superuser_url(database.name), autocommit=True) as admin:
        admin.execute("DROP ROLE taskmanager_app_2")
