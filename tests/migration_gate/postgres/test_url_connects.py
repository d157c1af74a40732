"""Addresses as adopters have them, each tried on a real PostgreSQL by all who connect: psycopg, asyncpg, SQLAlchemy."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql

from migration_gate.connection import connect, engine_for
from migration_gate.errors import DatabaseUnreachable
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.scratch_database import scratch_database
from tests.databases import Database
from tests.migration_gate.scratch import Project
from tests.processes import free_port, lacking

AWKWARD = "p@ss/w:rd%+ ?#&"


async def _all_reach(url: str, database: Database) -> None:
    await asyncio.to_thread(_migrator_reaches, url, database)
    for probe in (PsycopgProbe(url), AsyncpgProbe(url)):
        observed = await probe()
        await probe.close()
        assert observed.role == "taskmanager_app", type(probe).__name__


def _migrator_reaches(url: str, database: Database) -> None:
    engine = engine_for(sqlalchemy_url(url))
    with connect(engine, 0.0) as connection:
        assert connection.exec_driver_sql("SELECT current_database()").scalar_one() == database.name


@pytest.mark.parametrize(
    "form",
    [
        "postgresql+asyncpg://{who}@{at}/{db}?ssl=prefer&timeout=10.5&command_timeout=60",
        "postgresql+asyncpg://{who}@{at}/{db}?prepared_statement_cache_size=0&statement_cache_size=0",
        "postgresql+asyncpg://{who}@/{db}?host={host}:{dead}&host={at}",
        "postgresql+asyncpg://{who}@/?host={at}&database={db}&async_fallback=true",
        "postgresql+psycopg2://{who}@/{db}?host={host},{host}&port={dead},{port}",
        "postgresql://{who}@{host}:{dead},{at}/{db}?target_session_attrs=read-write",
        "postgresql://{who}@{at}/{db}?sslmode=prefer&channel_binding=prefer&keepalives_idle=5&gssencmode=disable",
        "postgresql://{who}@no-such-host.invalid:{port}/{db}?host={host}",
        "postgres://{at}/{db}?user={user}&password={password}",
    ],
)
async def test_a_form_of_an_address_leads_every_driver_to_the_database(form: str, empty_database: Database) -> None:
    parts = urlsplit(empty_database.app_url)
    address = form.format(
        who=f"{parts.username}:{parts.password}",
        at=f"{parts.hostname}:{parts.port}",
        db=empty_database.name,
        host=parts.hostname,
        port=parts.port,
        dead=free_port(),
        user=parts.username,
        password=parts.password,
    )

    await _all_reach(address, empty_database)


async def test_a_socket_is_named_in_the_place_of_the_host_or_as_a_parameter(empty_database: Database) -> None:
    parts = urlsplit(empty_database.app_url)
    who = f"{parts.username}:{parts.password}"
    # pytest's own folders have names that are too long for a socket's.
    with (
        tempfile.TemporaryDirectory() as folder,
        _relay(socket.AF_UNIX, f"{folder}/.s.PGSQL.5433", empty_database),
    ):
        for form in (
            f"postgresql+asyncpg://{who}@/{empty_database.name}?host={folder}&port=5433",
            f"postgresql://{who}@localhost:5433/{empty_database.name}?host={quote(folder, safe='')}",
            f"postgresql://{who}@{quote(folder, safe='')}:5433/{empty_database.name}",
        ):
            await _all_reach(form, empty_database)


async def test_an_address_of_version_6_stands_in_brackets(empty_database: Database) -> None:
    if not _has_version_6():
        lacking("IPv6", "give the loopback device the address ::1")
    parts = urlsplit(empty_database.app_url)
    who = f"{parts.username}:{parts.password}"
    with _relay(socket.AF_INET6, ("::1", 0), empty_database) as listening:
        port = listening.getsockname()[1]
        for hosts in (f"[::1]:{port}", f"[::1]:{free_port()},[::1]:{port}"):
            await _all_reach(f"postgresql+asyncpg://{who}@{hosts}/{empty_database.name}", empty_database)


def _has_version_6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


async def test_a_password_of_any_characters_is_percent_encoded(empty_database: Database) -> None:
    parts = urlsplit(empty_database.app_url)
    role = f"awkward_{empty_database.name}"
    with psycopg.connect(empty_database.admin_url, autocommit=True) as admin:
        name, password = sql.Identifier(role), sql.Literal(AWKWARD)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
        try:
            who, at = f"{role}:{quote(AWKWARD, safe='')}", f"{parts.hostname}:{parts.port}/{empty_database.name}"
            for url in (f"postgresql+asyncpg://{who}@{at}", f"postgresql://{role}@{at}?password={quote(AWKWARD)}"):
                await asyncio.to_thread(_migrator_reaches, url, empty_database)
                for probe in (PsycopgProbe(url), AsyncpgProbe(url)):
                    assert (await probe()).role == role
                    await probe.close()
        finally:
            admin.execute(sql.SQL("DROP ROLE {}").format(name))


async def test_a_service_and_a_password_file_stand_for_what_the_address_leaves_out(
    empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = urlsplit(empty_database.app_url)
    services, passwords = tmp_path / "services", tmp_path / "passwords"
    services.write_text(f"[library]\nhost={parts.hostname}\nport={parts.port}\nuser={parts.username}\n")
    passwords.write_text(f"*:*:*:*:{parts.password}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGSERVICEFILE", str(services))

    await _all_reach(f"postgresql:///{empty_database.name}?service=library&passfile={passwords}", empty_database)


def test_a_parameter_that_nobody_knows_is_told_in_the_drivers_words_by_every_command(project: Project) -> None:
    project.url += "?no_such_parameter=s3cret"

    status, upgraded = project.gate("status"), project.gate("upgrade")

    for done, exit_code in ((status, 3), (upgraded, 69)):
        said = done.stdout + done.stderr
        assert done.returncode == exit_code, said
        assert 'invalid connection option "no_such_parameter"' in said
        assert "correct what follows ? in the address" in said
        assert "s3cret" not in said
        assert "Traceback" not in said


async def test_a_parameter_that_nobody_knows_is_no_fault_that_passes_by_itself(empty_database: Database) -> None:
    for parameter in ("no_such_parameter=1", "sslmode=no-such-mode", "connect_timeout=soon"):
        probe = PsycopgProbe(f"{empty_database.app_url}?{parameter}")
        with pytest.raises(DatabaseUnreachable) as fault:
            await probe()
        assert not fault.value.transient
        assert fault.value.solution == "correct what follows ? in the address"


def test_a_scratch_database_is_another_one_wherever_the_address_names_its_own(empty_database: Database) -> None:
    server, _, name = empty_database.admin_url.rpartition("/")

    address = f"{server}/?dbname={name}&options=-c%20search_path%3Dapart"
    with scratch_database(address, "test") as url, psycopg.connect(url) as session:
        (found,) = session.execute("SELECT current_database()").fetchone() or ("",)
        assert session.execute("SHOW search_path").fetchone() == ("apart",)

    assert found != name
    assert found in url


@contextmanager
def _relay(family: socket.AddressFamily, at: object, database: Database) -> Iterator[socket.socket]:
    """A listening socket of another kind at which the same PostgreSQL answers."""
    parts = urlsplit(database.app_url)
    ends: list[socket.socket] = []

    def pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                near = listening.accept()[0]
                far = socket.create_connection((parts.hostname or "", parts.port or 0))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.socket(family) as listening:
        listening.bind(at)  # type: ignore[arg-type]
        listening.listen()
        server = threading.Thread(target=serve, daemon=True)
        server.start()
        try:
            yield listening
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            server.join(timeout=20)
            for end in ends:
                end.close()
