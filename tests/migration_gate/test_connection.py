"""The migrator's connection: it waits for a server that is not there yet, and not for one that refuses."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from tests.databases import Database
from tests.migration_gate.scratch import TITLE_INDEX, Project, sessions, succeed, until, versions

TALKATIVE_ENV = """\
import logging
logging.basicConfig(level=logging.INFO)
from migration_gate.environment import run
from models import metadata
run(metadata)
"""


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with closing(source), closing(sink):
        while data := source.recv(65536):
            sink.sendall(data)


@pytest.fixture
def late_port() -> Iterator[socket.socket]:
    """A socket with a port, at which nobody listens yet."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held


def test_a_migrator_that_comes_before_its_server_waits_and_says_so(
    project: Project, empty_database: Database, late_port: socket.socket
) -> None:
    project.write_env(TALKATIVE_ENV)
    real = urlsplit(empty_database.migrator_url)
    url = empty_database.migrator_url.replace(f":{real.port}/", f":{late_port.getsockname()[1]}/")
    forwarding: list[threading.Thread] = []

    with project.running("alembic", "upgrade", "head", MIGRATION_DATABASE_URL=url) as migrating:
        assert migrating.stdout is not None
        said = ""
        while "waiting for the database" not in said:
            said = migrating.stdout.readline()
            assert said, "ended without a word about the database"
        assert "Connection refused" in said
        late_port.listen()
        late_port.settimeout(0.1)
        while migrating.poll() is None:
            try:
                client = late_port.accept()[0]
            except TimeoutError:
                continue
            client.setblocking(True)
            upstream = socket.create_connection((str(real.hostname), int(real.port or 0)))
            for pair in ((client, upstream.dup()), (upstream, client.dup())):
                forwarding.append(threading.Thread(target=_pump, args=pair, daemon=True))
                forwarding[-1].start()

    assert migrating.returncode == 0
    assert versions(empty_database) == [TITLE_INDEX]


def test_the_migrators_session_is_named_and_watches_for_a_client_that_is_gone(
    bare_project: Project, empty_database: Database
) -> None:
    check = "assert op.get_bind().exec_driver_sql('SHOW client_connection_check_interval').scalar() == '1s'\n"
    name = "assert op.get_bind().exec_driver_sql('SHOW application_name').scalar().startswith('migration-gate ')"
    bare_project.revision("f00d", None, check + name)

    succeed(bare_project.alembic("upgrade", "head"))


def test_settings_that_the_address_carries_are_kept(bare_project: Project, empty_database: Database) -> None:
    empty_database.execute("CREATE SCHEMA books")
    bare_project.sql("f00d", None, "CREATE TABLE shelf (id int)")
    url = f"{empty_database.migrator_url}?options=-csearch_path%3Dbooks"

    succeed(bare_project.alembic("upgrade", "head", MIGRATION_DATABASE_URL=url))

    placed = empty_database.execute("SELECT schemaname::text, tablename::text FROM pg_tables WHERE tablename = 'shelf'")
    assert placed == [("books", "shelf")]


def test_no_session_is_left_behind(project: Project, empty_database: Database) -> None:
    succeed(project.gate("upgrade"))

    until(lambda: sessions(empty_database, "backend_type = 'client backend'") == 0)
