import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from stack.errors import FolderInUse, StackError
from stack.postgres import Cluster, temporary_cluster
from stack.postgres.data_folder import UNFINISHED
from stack.postgres.launch import Launch
from stack.postgres.place import choose_place
from stack.process import is_running, wait_until

PATIENCE = 30.0


def write_row(cluster: Cluster) -> None:
    with psycopg.connect(cluster.superuser_url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")


def read_row(cluster: Cluster) -> object:
    with psycopg.connect(cluster.superuser_url()) as connection:
        return connection.execute("SELECT answer FROM kept").fetchone()


def setting(cluster: Cluster, name: str) -> object:
    with psycopg.connect(cluster.superuser_url()) as connection:
        row = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    return row and row[0]


def family(*pids: int) -> list[int]:
    return [
        member.pid for pid in pids for member in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    ]


def gone(pids: list[int]) -> bool:
    return wait_until(lambda: not any(map(is_running, pids)), PATIENCE)


def test_restart_keeps_data_port_and_passwords(folder: Path) -> None:
    cluster = Cluster(folder)
    cluster.start()
    write_row(cluster)
    url = cluster.superuser_url()
    pids = family(cluster.pid)
    cluster.stop()
    assert gone(pids)
    with Cluster(folder) as again:
        assert again.superuser_url() == url
        assert read_row(again) == (42,)


def test_is_durable_utf8_checksummed_and_local_unless_told(folder: Path) -> None:
    with Cluster(folder) as cluster:
        told = {
            name: setting(cluster, name)
            for name in (
                "fsync",
                "data_checksums",
                "server_encoding",
                "listen_addresses",
                "unix_socket_directories",
            )
        }
    assert told == {
        "fsync": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
    }


def test_wrong_password_is_refused(cluster: Cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(cluster.url("postgres", "wrong", "postgres"))


def test_temporary_cluster_is_fast_and_leaves_nothing() -> None:
    with temporary_cluster(settings={"work_mem": "7MB"}) as cluster:
        folder, pids = cluster.folder, family(cluster.pid)
        assert setting(cluster, "fsync") == "off"
        assert setting(cluster, "max_connections") == "200"
        assert setting(cluster, "work_mem") == "7MB"
    assert not folder.exists()
    assert gone(pids)


def test_taken_port_is_replaced(folder: Path) -> None:
    with Cluster(folder, durable=False) as cluster:
        port = cluster.port
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        with Cluster(folder, durable=False) as cluster:
            assert cluster.port != port
            assert setting(cluster, "port") == str(cluster.port)


def test_port_lost_between_choice_and_bind_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.postgres.launch.is_free", lambda port: True)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        (folder / "postgres.port").write_text(str(squatter.getsockname()[1]))
        with Cluster(folder, durable=False) as cluster:
            assert cluster.port != squatter.getsockname()[1]


def test_committed_rows_survive_a_killed_postmaster(folder: Path) -> None:
    cluster = Cluster(folder)
    cluster.start()
    write_row(cluster)
    os.kill(cluster.pid, signal.SIGKILL)
    assert wait_until(lambda: cluster.poll() == 128 + signal.SIGKILL, PATIENCE)
    cluster.stop()
    cluster.start()
    try:
        assert read_row(cluster) == (42,)
    finally:
        cluster.stop()


def test_killed_launcher_leaves_no_process(folder: Path, launcher_environment: dict[str, str]) -> None:
    script = (
        "import sys, time; from stack.postgres import Cluster;"
        "c = Cluster(sys.argv[1], durable=False); c.start();"
        "print(c.pid, c.guardian_pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, folder], env=launcher_environment, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        pids = family(*map(int, launcher.stdout.readline().split()))
        launcher.kill()
    assert len(pids) > 2
    assert gone(pids)


def test_killed_guardian_leaves_no_process(folder: Path) -> None:
    cluster = Cluster(folder, durable=False)
    cluster.start()
    assert cluster.guardian_pid is not None
    pids = family(cluster.guardian_pid)
    os.kill(cluster.guardian_pid, signal.SIGKILL)
    assert gone(pids)
    cluster.stop()
    assert not (folder / "postgres" / "postmaster.pid").exists()


def test_second_start_on_one_folder_is_refused(folder: Path, cluster: Cluster) -> None:
    with pytest.raises(FolderInUse, match=rf"another process runs PostgreSQL in .* \(pid {os.getpid()}\)$"):
        Cluster(folder, durable=False, outside=folder / "outside").start()
    assert cluster.poll() is None


def test_left_postmaster_is_taken_over_and_stopped(folder: Path) -> None:
    with Cluster(folder, durable=False) as cluster:
        write_row(cluster)
    place = choose_place(folder, folder / "outside")
    left, port = Launch(place, cluster.binaries, cluster.log, {}).run(None)
    lines: list[str] = []
    with Cluster(folder, durable=False, say=lines.append) as cluster:
        assert (cluster.pid, cluster.port, cluster.guardian_pid) == (left.child_pid, port, None)
        assert read_row(cluster) == (42,)
    assert lines == [f"PostgreSQL was left running (pid {left.child_pid}): taken over, and stopped at the end"]
    assert left.wait(PATIENCE) == 0


def test_launcher_killed_during_initdb_leaves_no_cluster(folder: Path, launcher_environment: dict[str, str]) -> None:
    script = "import sys; from stack.postgres import Cluster; Cluster(sys.argv[1], durable=False).start()"
    with subprocess.Popen([sys.executable, "-c", script, folder], env=launcher_environment) as launcher:
        assert wait_until(lambda: any(folder.glob(f"{UNFINISHED}*/cluster/base")), PATIENCE, pause=0)
        pids = family(launcher.pid)
        launcher.kill()
    assert gone(pids)
    assert not (folder / "postgres").exists()
    with Cluster(folder, durable=False) as cluster:
        write_row(cluster)
        assert not any(folder.glob(f"{UNFINISHED}*"))


def test_unfinished_initdb_is_no_cluster(folder: Path) -> None:
    leftover = folder / f"{UNFINISHED}abc" / "cluster"
    leftover.mkdir(parents=True)
    with Cluster(folder, durable=False):
        assert not leftover.parent.exists()


def test_failing_server_shows_its_last_words(folder: Path) -> None:
    cluster = Cluster(folder, durable=False, settings={"no_such_setting": "1"})
    with pytest.raises(StackError, match="no_such_setting") as caught:
        cluster.start()
    assert "\n" not in str(caught.value)
    with Cluster(folder, durable=False):
        pass


def test_says_what_it_is_not_yet(folder: Path) -> None:
    with pytest.raises(StackError, match="is not running"):
        _ = Cluster(folder).port


def test_secrets_are_private(folder: Path, cluster: Cluster) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in cluster.folder.iterdir()}
    assert modes["postgres"] == 0o700
    assert modes["postgres.passwords"] == modes["postgres.log"] == 0o600
