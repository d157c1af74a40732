"""The database in production: docker/postgres on a real PostgreSQL, behind what the entrypoint of its image does."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stack.postgres import Cluster, ensure_database, find_binaries, temporary_cluster
from taskmanager import database_address
from tests.processes import ROOT, free_port
from tests.tls_servers import built_with_tls, make_certificates

FILES = ROOT / "docker/postgres"
ROLES = FILES / "initdb/10-roles.sh"
SHORT, KNOWN = "short-4711", "ChangeMe"


def _write(folder: Path, **passwords: str) -> dict[str, str]:
    """The variables that name a file for each password."""
    named = {}
    for name, password in passwords.items():
        path = folder / name
        path.write_text(password + "\n")
        path.chmod(0o600)
        named[f"{name}_PASSWORD_FILE"] = str(path)
    return named


def _drawn(*names: str) -> dict[str, str]:
    return {name: secrets.token_hex(24) for name in names}


class Production:
    """docker/postgres in a folder that PostgreSQL's account can enter, and how it is started from there."""

    def __init__(self, folder: Path) -> None:
        binaries = built_with_tls()
        self.folder = folder
        self.port = free_port()
        self.passwords = _drawn("POSTGRES", "MIGRATOR", "APP", "BACKUP", "MONITOR")
        self.certificates = make_certificates(folder / "tls")
        self.files = shutil.copytree(FILES, folder / "postgres")
        programs = folder / "programs"
        programs.mkdir(mode=0o755)
        shutil.copy(ROOT / "tests/system/postgres_image.sh", programs / "docker-entrypoint.sh")
        for name in ("data", "socket"):
            (folder / name).mkdir()
            if os.geteuid() == 0:
                shutil.chown(folder / name, "postgres", "postgres")
        (memory := folder / "memory").mkdir()
        memory.chmod(0o1777)  # as /dev/shm is
        self.log = folder / "log"
        self.environment = {
            "PATH": f"{programs}:{binaries.folder}:{os.environ['PATH']}",
            "PGDATA": str(folder / "data/cluster"),
            "PGHOST": str(folder / "socket"),
            "PGPORT": str(self.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "taskmanager",
            "INITDB_SCRIPTS": str(self.files / "initdb"),
            "TLS_FOLDER": str(self.certificates / "server"),
            "TASKMANAGER_PRIVATE_FOLDER": str(memory / "private"),
            **_write(folder, **self.passwords),
        }
        self.process: subprocess.Popen[str] | None = None

    def called(self, script: str, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.files / script, *arguments],
            env=self.environment | changed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def begin(self) -> subprocess.Popen[str]:
        settings = [f"port={self.port}", f"unix_socket_directories={self.folder / 'socket'}", "fsync=off"]
        settings += ["log_statement=all", "log_min_duration_statement=0", "shared_preload_libraries=pg_stat_statements"]
        arguments = [part for setting in settings for part in ("-c", setting)]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [self.files / "entrypoint.sh", "postgres", *arguments],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def start(self) -> None:
        self.process = self.begin()
        deadline = time.monotonic() + 60
        while "listening on IPv4" not in self.log.read_text() or not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        ready = ["pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(self.port), "--dbname", "taskmanager"]
        return subprocess.run(ready, env=self.environment, check=False).returncode == 0

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=30)

    def connect(self, role: str, password: str | None = None, **changed: Any) -> psycopg.Connection[Any]:
        given = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "postgres" if role == "POSTGRES" else f"taskmanager_{role.lower()}",
            "password": password or self.passwords[role],
            "dbname": "taskmanager",
            "sslmode": "verify-full",
            "sslrootcert": str(self.certificates / "ca.crt"),
        }
        return psycopg.connect(**given | changed, autocommit=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that other accounts can enter, unlike root's tmp_path."""
    made = Path(tempfile.mkdtemp(prefix="production-database-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def production(folder: Path) -> Iterator[Production]:
    running = Production(folder)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def test_every_role_comes_in_by_tls_and_by_nothing_else(production: Production) -> None:
    for role in ("MIGRATOR", "APP", "BACKUP", "MONITOR"):
        with production.connect(role) as session:
            assert session.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry for host .* no encryption"):
            production.connect(role, sslmode="disable")


def test_the_superuser_does_not_come_in_from_outside(production: Production) -> None:
    with pytest.raises(psycopg.OperationalError, match=r'no pg_hba\.conf entry .* user "postgres"'):
        production.connect("POSTGRES")


def test_each_role_can_do_its_work_and_no_more(production: Production) -> None:
    with production.connect("MIGRATOR") as migrator:
        migrator.execute("CREATE TABLE kept (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words text)")
    with production.connect("APP") as app:
        app.execute("INSERT INTO kept (words) VALUES ('a')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DROP TABLE kept")
    with production.connect("APP", application_name="watched") as app, production.connect("MONITOR") as monitor:
        app.execute("SELECT 42")
        seen = monitor.execute("SELECT query FROM pg_stat_activity WHERE application_name = 'watched'")
        assert seen.fetchall() == [("SELECT 42",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            monitor.execute("SELECT * FROM kept")
    # What a backup is: everything read, and restored into a database that is made for it.
    with production.connect("BACKUP") as backup:
        assert backup.execute("SELECT words FROM kept").fetchone() == ("a",)
        backup.execute("CREATE DATABASE tried OWNER taskmanager_migrator")
        backup.execute("DROP DATABASE tried")


def test_no_password_is_in_the_log_nor_in_the_statistics_of_statements(production: Production) -> None:
    done = production.called("renew.sh")
    assert done.returncode == 0, done.stderr
    admin = ["psql", "--username=postgres", "--dbname=taskmanager", "--tuples-only"]
    if os.geteuid() == 0:
        admin = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *admin]
    shown = subprocess.run(
        [*admin, "--command=CREATE EXTENSION IF NOT EXISTS pg_stat_statements", "--command=TABLE pg_stat_statements"],
        env=production.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    seen = production.log.read_text() + shown.stdout + done.stdout + done.stderr
    # Both look at everything: the first statement of the script is there.
    assert "statement: SET log_statement = 'none'" in seen
    assert "pg_reload_conf" in shown.stdout
    for role, password in production.passwords.items():
        assert password not in seen, role
    assert "SCRAM-SHA-256$" not in seen


def test_what_postgresql_reads_is_its_accounts_alone(production: Production) -> None:
    private = production.folder / "memory/private"
    owner = (production.folder / "data").stat().st_uid

    assert {path.stat().st_uid for path in (private, *private.iterdir())} == {owner}
    assert {path.stat().st_mode & 0o077 for path in (private, *private.iterdir())} == {0}


def test_passwords_and_certificate_are_renewed_while_it_serves(production: Production) -> None:
    old = production.passwords["APP"]
    with production.connect("APP") as before:
        _write(production.folder, APP=(new := secrets.token_hex(24)))
        make_certificates(production.certificates, "--renew")
        served = (production.certificates / "server/server.crt").read_text()

        done = production.called("renew.sh")

        assert done.returncode == 0, done.stdout + done.stderr
        assert before.execute("SELECT 1").fetchone() == (1,)
    production.passwords["APP"] = new
    with production.connect("APP") as after:
        assert after.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        production.connect("APP", old)
    assert (production.folder / "memory/private/server.crt").read_text() == served
    assert production.process is not None
    assert production.process.poll() is None


def test_a_renewal_with_a_password_that_everybody_knows_changes_nothing(production: Production) -> None:
    _write(production.folder, APP=KNOWN)
    try:
        refused = production.called("renew.sh")
    finally:
        _write(production.folder, APP=production.passwords["APP"])

    assert refused.returncode == 78
    with production.connect("APP") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_it_starts_again_on_the_data_that_are_there(production: Production) -> None:
    production.stop()
    production.log.write_text("")
    production.start()

    with production.connect("APP") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_the_log_has_nothing_of_a_row(production: Production) -> None:
    """PostgreSQL's DETAIL of a statement that a constraint refuses is the row, with what people wrote into it."""
    with production.connect("MIGRATOR") as migrator:
        migrator.execute("CREATE TABLE bounded (words text CHECK (length(words) < 9))")
    with production.connect("APP") as app, pytest.raises(psycopg.errors.CheckViolation):
        app.execute("INSERT INTO bounded VALUES (concat('personal', %s::text))", ["-matter"])

    written = production.log.read_text()
    assert 'violates check constraint "bounded_words_check"' in written
    assert "personal-matter" not in written


def test_data_that_no_first_start_brought_to_its_end_are_not_served(folder: Path) -> None:
    """The image's entrypoint takes whatever is in the folder for a whole database, one without roles as well."""
    (parted := folder / "parted").mkdir(mode=0o711)
    broken = Production(parted)
    roles = broken.files / "initdb/10-roles.sh"
    whole = roles.read_text()
    # The server of the first start would be gone with its container.
    roles.write_text('#!/bin/sh\npg_ctl --pgdata "$PGDATA" --silent --wait --mode fast stop\nexit 3\n')
    assert broken.begin().wait(timeout=60) == 3, broken.log.read_text()
    roles.write_text(whole)
    assert (parted / "data/cluster/PG_VERSION").exists()

    second = broken.called("entrypoint.sh")

    assert second.returncode == 78, second.stderr
    assert f"{parted}/data/cluster: a first start that makes the roles was not brought to its end here" in second.stderr
    for password in broken.passwords.values():
        assert password not in second.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account beside PostgreSQL's")
def test_root_writes_nothing_where_postgresqls_account_may_lay_a_trap(production: Production) -> None:
    """Whoever breaks into PostgreSQL has its account, and must not become root at the next renewal."""
    aim = production.folder / "of-root"
    aim.write_text("untouched")
    aim.chmod(0o600)
    trap = production.folder / "memory/private/server.crt.new"
    trap.symlink_to(aim)
    try:
        production.called("renew.sh")
    finally:
        trap.unlink(missing_ok=True)

    assert (aim.read_text(), aim.stat().st_uid) == ("untouched", 0)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("MIGRATOR", None, "MIGRATOR_PASSWORD_FILE: there is no file "),
        ("APP", "", "APP_PASSWORD_FILE: {path} is empty"),
        ("APP", KNOWN, "APP_PASSWORD_FILE: the password in {path} is one that everybody knows"),
        ("POSTGRES", "Qwerty", "POSTGRES_PASSWORD_FILE: the password in {path} is one that everybody knows"),
        ("MONITOR", SHORT, "MONITOR_PASSWORD_FILE: the password in {path} is shorter than 16 characters"),
        ("BACKUP", f"{'a' * 20}\n{'b' * 20}", "BACKUP_PASSWORD_FILE: {path} has more than one line"),
    ],
)
def test_no_start_with_a_password_that_is_none(
    production: Production, tmp_path: Path, file: str, content: str | None, words: str
) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_text(content)

    refused = production.called("entrypoint.sh", "postgres", **{f"{file}_PASSWORD_FILE": str(path)})

    assert refused.returncode == 78, refused.stdout + refused.stderr
    (line,) = refused.stderr.splitlines()
    assert line.startswith("taskmanager-postgres: " + words.format(path=path))
    for secret in filter(None, (content, *production.passwords.values())):
        assert secret not in line.replace(str(path), "")


def test_no_start_without_the_names_of_the_files_all_of_which_are_told(production: Production) -> None:
    unset = {f"{name}_PASSWORD_FILE": "" for name in ("POSTGRES", "MIGRATOR", "APP")}

    refused = production.called("entrypoint.sh", **unset)

    assert refused.returncode == 78
    assert [line.split(": ")[1] for line in refused.stderr.splitlines()] == list(unset)


def test_no_start_where_two_roles_share_a_password(production: Production) -> None:
    shared = production.environment["APP_PASSWORD_FILE"]

    refused = production.called("entrypoint.sh", MIGRATOR_PASSWORD_FILE=shared)

    assert refused.returncode == 78
    assert "APP_PASSWORD_FILE: the same password as MIGRATOR_PASSWORD_FILE" in refused.stderr


def test_a_newline_at_its_end_makes_no_other_password(production: Production, tmp_path: Path) -> None:
    (bare := tmp_path / "bare").write_text(production.passwords["APP"])

    refused = production.called("entrypoint.sh", MIGRATOR_PASSWORD_FILE=str(bare))

    assert refused.returncode == 78
    assert "APP_PASSWORD_FILE: the same password as MIGRATOR_PASSWORD_FILE" in refused.stderr


def test_no_start_without_a_certificate(production: Production, tmp_path: Path) -> None:
    refused = production.called("entrypoint.sh", TLS_FOLDER=str(tmp_path))

    assert refused.returncode == 78
    assert f"{tmp_path}/server.crt: not there" in refused.stderr
    assert f"{tmp_path}/server.key: not there" in refused.stderr


def test_what_the_service_calls_well_known_the_database_does_too(tmp_path: Path) -> None:
    known = sorted(database_address._KNOWN_PASSWORDS)
    script = f'. {FILES}/private.sh; for word; do well_known "$word" || echo "$word"; done'
    own = "correct-horse-battery-staple"

    told = subprocess.run(["sh", "-c", script, "sh", *known, own], capture_output=True, text=True, check=True)

    assert told.stdout.split() == [own]


# What a role may do, from wherever PostgreSQL keeps it, and without what differs from server to server.
_EFFECT = """
    SELECT 'role', rolname::text, concat_ws(' ', rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
                                      rolreplication, rolbypassrls, rolconnlimit, rolvaliduntil)
    FROM pg_roles WHERE rolname LIKE 'taskmanager%'
    UNION ALL
    SELECT 'member', roleid::regrole::text, concat_ws(' ', member::regrole, admin_option)
    FROM pg_auth_members WHERE member::regrole::text LIKE 'taskmanager%'
    UNION ALL
    SELECT 'database', datdba::regrole::text, concat_ws(' ', grantee::regrole, privilege_type, is_grantable)
    FROM pg_database, aclexplode(datacl) WHERE datname = current_database()
    UNION ALL
    SELECT 'schema', nspowner::regrole::text, concat_ws(' ', grantee::regrole, privilege_type, is_grantable)
    FROM pg_namespace, aclexplode(nspacl) WHERE nspname = 'public'
    UNION ALL
    SELECT 'default', concat_ws(' ', defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype),
           concat_ws(' ', grantee::regrole, privilege_type, is_grantable)
    FROM pg_default_acl, aclexplode(defaclacl)
    ORDER BY 1, 2, 3
"""


def _effect(cluster: Cluster) -> list[tuple[Any, ...]]:
    with psycopg.connect(cluster.superuser_url("taskmanager")) as admin:
        return admin.execute(_EFFECT).fetchall()


def _run_roles(cluster: Cluster, named: Mapping[str, str]) -> None:
    reach = {
        "PATH": f"{find_binaries().folder}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(cluster.port),
        "PGPASSWORD": cluster.passwords.superuser,
    }
    done = subprocess.run([ROLES], env=reach | named, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_two_roles_may_do_what_those_of_the_launcher_may(tmp_path: Path) -> None:
    with temporary_cluster() as launched:
        ensure_database(launched)
        expected = _effect(launched)
    with temporary_cluster() as production:
        with psycopg.connect(production.superuser_url(), autocommit=True) as admin:
            admin.execute("CREATE DATABASE taskmanager")
        drawn = _drawn("MIGRATOR", "APP")
        named = _write(tmp_path, **drawn)
        _run_roles(production, named)
        once = _effect(production)
        _run_roles(production, named)

        assert once == expected
        assert _effect(production) == expected
        for role, password in drawn.items():
            with psycopg.connect(production.url(f"taskmanager_{role.lower()}", password, "taskmanager")) as session:
                assert session.execute("SELECT 1").fetchone() == (1,)
