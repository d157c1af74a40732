"""What the server does to a migration: not up yet, a standby, out of room, an enum's value that is too new."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from stack.postgres import Cluster, create_database
from tests.databases import Database
from tests.migration_gate.failures.ferries import LEAVES_INDEX, Ferries, sailing, told
from tests.migration_gate.failures.mending import solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed, until
from tests.processes import lacking

DECK = "aa01"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A server of the test's own, which it may stop and start."""
    with Cluster(tmp_path / "server", durable=False) as cluster:
        yield cluster


@pytest.fixture
def own(cluster: Cluster, tmp_path: Path) -> Ferries:
    """The ferries under way on that server."""
    made = create_database(cluster, "ferries")
    database = Database(made.name, cluster.superuser_url(made.name), made.app_url, made.migrator_url)
    ferries = Ferries(tmp_path / "ferries", database)
    ferries.write_history()
    return sailing(ferries)


def test_server_not_up_yet(cluster: Cluster, own: Ferries) -> None:
    own.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    cluster.stop()

    began = time.monotonic()
    status = own.gate("status", "--json")
    took_s = time.monotonic() - began
    answer = ask(own)
    own.options(", database_deadline_s=0")
    given_up = own.gate("upgrade")
    own.options("")

    assert status.returncode == 3
    assert '"state": "unreachable"' in status.stdout
    assert '"rung": "tcp"' in status.stdout
    assert took_s < 20
    assert (answer.status, answer.code, answer.rung) == (503, "unreachable", "tcp")
    # 75 says that the same command may succeed in a moment.
    assert given_up.returncode == 75
    assert "check that PostgreSQL runs" in solution_in(given_up.stderr)

    with own.running("migration_gate", "upgrade") as waiting:
        assert waiting.stdout is not None
        assert "waiting for the database" in waiting.stdout.readline()
        cluster.start()
        assert waiting.wait(timeout=60) == 0
    assert_flows(own)


def test_server_is_a_standby_and_is_promoted(cluster: Cluster, own: Ferries) -> None:
    own.sql(DECK, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    cluster.stop()
    (cluster.folder / "postgres" / "standby.signal").touch()
    cluster.start()

    verdict = own.verdict()
    answer = ask(own)
    own.options(", database_deadline_s=0")
    refused = own.gate("upgrade")
    own.options("")

    assert (verdict["state"], verdict["rung"]) == ("unreachable", "in_recovery")
    assert "the server is a standby, which takes no writes" in verdict["evidence"]
    assert "during a failover, wait for the promotion" in verdict["solution"]
    assert (answer.status, answer.code, answer.rung) == (503, "unreachable", "in_recovery")
    assert refused.returncode == 75
    assert solution_in(refused.stderr) == verdict["solution"]

    # The migrate job waits for the promotion, as the solution says.
    with own.running("migration_gate", "upgrade") as waiting:
        assert waiting.stdout is not None
        assert "waiting for the database" in waiting.stdout.readline()
        with psycopg.connect(own.database.admin_url, autocommit=True) as admin:
            assert admin.execute("SELECT pg_promote()").fetchone() == (True,)
        assert waiting.wait(timeout=60) == 0
    assert_flows(own)


_SORT = "CREATE TABLE ferry.log AS SELECT md5(n::text) AS line FROM generate_series(1, 200000) n ORDER BY 1"


def test_server_out_of_the_room_that_a_role_may_use(under_way: Ferries) -> None:
    role = f"ALTER ROLE taskmanager_migrator IN DATABASE {under_way.database.name}"
    with psycopg.connect(under_way.database.admin_url, autocommit=True) as admin:
        admin.execute(f"{role} SET temp_file_limit = '1MB'".encode())
        admin.execute(f"{role} SET work_mem = '64kB'".encode())
        under_way.sql(DECK, LEAVES_INDEX, _SORT)
        objects = under_way.everything()["objects"]

        failed = under_way.gate("upgrade")

        assert failed.returncode == 1
        assert "temporary file size exceeds" in failed.stderr
        assert "(SQLSTATE 53400)" in failed.stderr
        assert "raise the limit that the message names" in solution_in(failed.stderr)
        assert under_way.everything()["objects"] == objects
        assert under_way.verdict()["state"] == "behind"

        admin.execute(f"{role} RESET temp_file_limit".encode())
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A file system of 12 MB for a tablespace, which the server's account owns and can enter."""
    folder = cluster.folder / "disk"
    folder.mkdir()
    owner = (cluster.folder / "postgres").stat()
    options = f"size=12m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
    mount = shutil.which("mount") or lacking("mount", "this needs a file system of its own")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        lacking("the right to mount a small file system", f"run as root on Linux ({done.stderr.strip()})")
    try:
        yield folder
    finally:
        cluster.stop()
        subprocess.run(["umount", str(folder)], check=True)


def test_server_disk_full(own: Ferries, small_disk: Path) -> None:
    with psycopg.connect(own.database.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'".encode())
        admin.execute(b"GRANT CREATE ON TABLESPACE small TO taskmanager_migrator")
    statement = "CREATE TABLE ferry.log TABLESPACE small AS SELECT repeat('x', 1000) FROM generate_series(1, 50000)"
    path = own.revision(DECK, LEAVES_INDEX, f"op.execute({statement!r})")
    objects = own.everything()["objects"]

    failed = own.gate("upgrade")

    assert failed.returncode == 1
    assert "No space left on device (SQLSTATE 53100)" in failed.stderr
    assert "make room on the server" in solution_in(failed.stderr)
    # PostgreSQL rolled it back, and gave the room back with it.
    assert own.everything()["objects"] == objects
    assert own.verdict()["state"] == "behind"
    until(lambda: shutil.disk_usage(small_disk).used < 2 * 1024 * 1024, within_s=60)

    path.write_text(path.read_text().replace(" TABLESPACE small", ""))
    succeed(own.gate("upgrade"))
    assert_flows(own)


_ENUM = """\
op.execute("ALTER TYPE ferry.sailing_state ADD VALUE 'cancelled'")
op.execute("UPDATE ferry.sailing SET state = 'cancelled' WHERE id = 1")
"""


def test_server_refuses_an_enum_value_in_the_transaction_that_adds_it(under_way: Ferries) -> None:
    path = under_way.revision(DECK, LEAVES_INDEX, _ENUM)
    objects = under_way.everything()["objects"]

    linted = under_way.gate("lint", "--all")
    failed = under_way.gate("upgrade")

    assert linted.returncode == 5
    assert "enum-value-used-in-transaction" in linted.stdout
    assert failed.returncode == 1
    assert "unsafe use of new value" in told(failed) or "(SQLSTATE 55P04)" in failed.stderr
    assert "add the value in a revision of its own" in solution_in(failed.stderr)
    assert under_way.everything()["objects"] == objects

    # A revision of its own adds it, before the one that uses it.
    add, use = _ENUM.splitlines()
    path.unlink()
    under_way.revision(DECK, LEAVES_INDEX, add)
    under_way.revision("bb02", DECK, use)
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)
