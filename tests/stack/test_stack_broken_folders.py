import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.postgres import Cluster, temporary_cluster

Snapshot = dict[str, tuple[int, int, int]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    copy = tmp_path_factory.mktemp("whole") / "data"
    with temporary_cluster() as cluster:
        folder = cluster.folder
        cluster.stop()
        shutil.copytree(folder, copy)
    yield copy
    shutil.rmtree(copy)


def snapshot(folder: Path) -> Snapshot:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mode, path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in (folder, *folder.rglob("*"))
    }


def remove(name: str) -> Callable[[Path], object]:
    return lambda data: (data / name).unlink()


def overwrite(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda data: (data / name).write_bytes(content)


def replace_by_file(data: Path) -> None:
    shutil.rmtree(data / "postgres")
    (data / "postgres").write_text("")


BREAKAGES = {
    "PG_VERSION, missing": (remove("postgres/PG_VERSION"), "PG_VERSION is missing"),
    "PG_VERSION, garbled": (overwrite("postgres/PG_VERSION", b"eighteen\n"), "PG_VERSION is garbled"),
    "PG_VERSION, binary": (overwrite("postgres/PG_VERSION", b"\xff\xfe\x00"), "PG_VERSION cannot be read"),
    "another version": (
        overwrite("postgres/PG_VERSION", b"9\n"),
        "made by PostgreSQL 9, .*TASKMANAGER_POSTGRES_BIN",
    ),
    "pg_control": (remove("postgres/global/pg_control"), "pg_control is missing"),
    "passwords, missing": (remove("postgres.passwords"), "nobody can log in"),
    "passwords, garbled": (overwrite("postgres.passwords", b"{"), "cannot be read as passwords"),
    "passwords, others": (
        overwrite("postgres.passwords", b'{"superuser": 1}'),
        "cannot be read as passwords",
    ),
    "a file": (replace_by_file, "is not a folder"),
    "stale pid file": (
        overwrite("postgres/postmaster.pid", f"{os.getpid()}\n/x\n0\n1\n\n127.0.0.1\n0 0\nready\n".encode()),
        "is stale",
    ),
}


@pytest.mark.parametrize("kind", BREAKAGES)
def test_broken_folder_is_named_in_one_line_and_left_alone(kind: str, whole: Path, folder: Path) -> None:
    break_it, complaint = BREAKAGES[kind]
    data = folder / "data"
    shutil.copytree(whole, data)
    break_it(data)
    before = snapshot(data / "postgres")
    with pytest.raises(StackError, match=complaint) as caught:
        Cluster(data, durable=False, outside=folder / "outside").start()
    assert "\n" not in str(caught.value)
    if "PG_VERSION" in kind or "passwords" in kind:
        assert f"move {data / 'postgres'} away to begin with an empty database" in str(caught.value)
    assert snapshot(data / "postgres") == before
