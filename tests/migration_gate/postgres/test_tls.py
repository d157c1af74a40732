"""What is wrong with TLS is told on the rung of TLS, by its cause, in the same words by whichever driver met it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from migration_gate.connection import connect, engine_for
from migration_gate.errors import DatabaseUnreachable, Rung
from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from migration_gate.postgres.psycopg_probe import PsycopgProbe
from migration_gate.postgres.url import sqlalchemy_url
from stack.postgres import Database, create_database
from tests.tls_servers import EXPIRED, GOOD, SELF_SIGNED, WRONG_HOST, TlsServer, make_certificates, tls_server

Attempt = Callable[[str], None]

HAS_EXPIRED = "the server's certificate has expired, or its authority's has"
SIGNED_BY_ITSELF = "the server's certificate is signed by itself, and not by the authority in sslrootcert"
BY_A_STRANGER = "the server's certificate is not signed by the authority in sslrootcert"
ANOTHER_HOST = "the server's certificate is for another host than {host}"
NO_TLS = "the server offers no TLS, and the address demands it"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with tls_server(make_certificates(tmp_path_factory.mktemp("tls") / "certificates", "--bad")) as server:
        yield server


@pytest.fixture(scope="module")
def database(server: TlsServer) -> Database:
    return create_database(server.cluster, "library")


def _serving(url: str) -> None:
    async def once() -> None:
        probe = AsyncpgProbe(url)
        try:
            await probe()
        finally:
            await probe.close()

    asyncio.run(once())


def _watching(url: str) -> None:
    async def once() -> None:
        probe = PsycopgProbe(url)
        try:
            await probe()
        finally:
            await probe.close()

    asyncio.run(once())


def _migrating(url: str) -> None:
    with connect(engine_for(sqlalchemy_url(url)), 0.0):
        pass


@pytest.fixture(params=[_serving, _watching, _migrating], ids=["asyncpg", "psycopg", "the migrator"])
def attempt(request: pytest.FixtureRequest) -> Attempt:
    chosen: Attempt = request.param
    return chosen


def _fault(attempt: Attempt, url: str) -> DatabaseUnreachable:
    with pytest.raises(DatabaseUnreachable) as raised:
        attempt(url)
    fault = raised.value
    secret = urlsplit(url).password
    assert secret is not None
    assert secret not in str(fault)
    return fault


def _assert_told(fault: DatabaseUnreachable, sentence: str, advice: str) -> None:
    assert sentence in fault.message
    assert fault.rung is Rung.TLS
    assert advice in fault.solution
    # Trying again changes nothing: somebody has to.
    assert not fault.transient
    assert fault.exit_code == 69


@pytest.mark.parametrize(
    ("kind", "sentence", "advice"),
    [
        (EXPIRED, HAS_EXPIRED, "give the server another certificate"),
        (SELF_SIGNED, SIGNED_BY_ITSELF, "sslrootcert"),
        (WRONG_HOST, ANOTHER_HOST, "name the server in the address as its certificate does"),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_that_is_not_sound_is_refused_by_its_cause(
    server: TlsServer, database: Database, attempt: Attempt, kind: str, sentence: str, advice: str, host: str
) -> None:
    server.show(kind)

    fault = _fault(attempt, server.verified(database.app_url.replace("127.0.0.1", host)))

    _assert_told(fault, sentence.format(host=host), advice)


def test_an_authority_that_did_not_sign_it_is_told_from_a_certificate_that_signs_itself(
    server: TlsServer, database: Database, attempt: Attempt, tmp_path: Path
) -> None:
    server.show(GOOD)
    another = make_certificates(tmp_path / "another") / "ca.crt"

    fault = _fault(attempt, server.verified(database.app_url, sslrootcert=str(another)))

    _assert_told(fault, BY_A_STRANGER, "sslrootcert")


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_without_tls_is_told_where_it_is_demanded(
    server: TlsServer, database: Database, attempt: Attempt, mode: str
) -> None:
    server.speak_plainly()

    fault = _fault(attempt, server.verified(database.app_url, sslmode=mode))

    _assert_told(fault, NO_TLS, "ssl = on")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere.crt", "the authority's certificate {path} cannot be read: No such file or directory"),
        ("folder.crt", "the authority's certificate {path} cannot be read: Is a directory"),
        ("garbage.crt", "{path} holds no authority's certificate in the form PEM"),
    ],
)
def test_a_file_of_authorities_that_cannot_be_used_is_told_by_its_name(
    server: TlsServer, database: Database, attempt: Attempt, tmp_path: Path, name: str, sentence: str
) -> None:
    server.show(GOOD)
    (tmp_path / "folder.crt").mkdir()
    (tmp_path / "garbage.crt").write_text("no certificate")
    path = tmp_path / name

    fault = _fault(attempt, server.verified(database.app_url, sslrootcert=str(path)))

    _assert_told(fault, sentence.format(path=path), "name the file of the authority")


def test_without_a_named_authority_the_file_of_the_account_is_told(
    server: TlsServer, database: Database, attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    # libpq takes the home of the account, and asyncpg that of the variable.
    monkeypatch.setenv("HOME", str(tmp_path))
    server.show(GOOD)

    fault = _fault(attempt, f"{database.app_url}?sslmode=verify-full")

    _assert_told(fault, ".postgresql/root.crt cannot be read: No such file or directory", "sslrootcert")


def test_a_sound_certificate_lets_every_driver_in_by_one_address(
    server: TlsServer, database: Database, attempt: Attempt
) -> None:
    server.show(GOOD)

    attempt(server.verified(database.app_url, channel_binding="require", gssencmode="disable"))
    attempt(server.verified(database.app_url, sslmode="verify-ca"))


def test_a_certificate_is_renewed_while_the_server_runs(
    server: TlsServer, database: Database, attempt: Attempt
) -> None:
    server.show(EXPIRED)
    url = server.verified(database.app_url)
    _fault(attempt, url)
    started = server.execute("SELECT pg_postmaster_start_time()")

    make_certificates(server.certificates, "--renew")
    server.show(GOOD)

    attempt(url)
    assert server.execute("SELECT pg_postmaster_start_time()") == started


def test_a_refusal_by_pg_hba_is_no_fault_of_tls(server: TlsServer, database: Database, tmp_path: Path) -> None:
    server.show(GOOD)
    rules = server.cluster.folder / "only.conf"
    rules.write_text("host all postgres all scram-sha-256\nhostssl all taskmanager_migrator all scram-sha-256\n")
    rules.chmod(0o644)
    server.execute(f"ALTER SYSTEM SET hba_file = '{rules}'")
    server.cluster.stop()
    server.cluster.start()
    try:
        outsider = _fault(_migrating, server.verified(database.app_url))
        unencrypted = _fault(_migrating, f"{database.migrator_url}?sslmode=disable")
    finally:
        server.execute("ALTER SYSTEM RESET hba_file")
        server.cluster.stop()
        server.cluster.start()

    assert outsider.rung is Rung.LOGIN
    assert "no pg_hba.conf entry" in outsider.message
    assert unencrypted.rung is Rung.LOGIN
    assert "append sslmode=verify-full" in unencrypted.solution
