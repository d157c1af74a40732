"""The journal's file: what is on the disk before an answer, and what is read back after damage."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmanager.incidents import journal as journal_module
from taskmanager.incidents.entries import Alert, Entry, Kind, line_of
from taskmanager.incidents.journal import Journal, JournalNotWritable, JournalUnusable, make_folder, parse, read
from taskmanager.incidents.lock import JournalInUse, WriterLock

ALERT = Alert("ab", "code", {"alertname": "Name"})


def entry(text: str = "") -> Entry:
    return Entry(Kind.NOTE, datetime(2026, 11, 27, tzinfo=UTC), "on-call", 1, ALERT, text=text)


def written(path: Path, *texts: str) -> bytes:
    journal = Journal(path)
    journal.append([entry(text) for text in texts])
    journal.close()
    return path.read_bytes()


def texts(path: Path) -> list[str]:
    return [each.text for each in read(path).entries]


def test_lines_are_numbered_through_and_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, "a", "b")
    written(path, "c")

    assert [(each.seq, each.text) for each in read(path).entries] == [(1, "a"), (2, "b"), (3, "c")]


def test_the_file_and_its_folder_are_their_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "incidents" / "journal.jsonl"
    make_folder(path.parent)
    written(path, "a")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_disk_has_the_line_and_the_folder_the_name_before_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a" / "b" / "journal.jsonl"
    synced: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), os.fstat(descriptor).st_size))
        real(descriptor)

    monkeypatch.setattr(journal_module.os, "fsync", fsync)
    make_folder(path.parent)
    journal = Journal(path)
    folders = [name for name, _ in synced]
    assert {str(tmp_path), str(tmp_path / "a"), str(path.parent), str(path)} <= set(folders)
    synced.clear()
    journal.append([entry("a")])
    journal.close()

    assert synced == [(str(path), path.stat().st_size)]


@settings(deadline=None)
@given(st.integers(1, 10_000))
def test_an_end_torn_anywhere_is_kept_aside_and_nothing_else_is_lost(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "journal.jsonl"
    whole = written(path, "a", "b")
    last = line_of(entry("c").numbered(3))
    torn = last[: cut % (len(last) - 1) + 1]
    path.write_bytes(whole + torn)

    journal = Journal(path)
    assert journal.contents.torn == torn
    assert journal.kept_aside is not None
    assert journal.kept_aside.read_bytes() == torn
    assert path.read_bytes() == whole
    journal.append([entry("d")])
    journal.close()

    assert texts(path) == ["a", "b", "d"]
    assert read(path).damage == ()


def test_a_line_damaged_in_the_middle_is_told_by_its_number_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    lines = written(path, "a", "b", "c").split(b"\n")
    lines[1] = lines[1].replace(b'"text":"b"', b'"text":"X"')
    path.write_bytes(b"\n".join(lines))

    written(path, "d")

    contents = read(path)
    assert [(damage.line, "checksum" in damage.reason) for damage in contents.damage] == [(2, True)]
    assert [each.text for each in contents.entries] == ["a", "c", "d"]
    assert b'"text":"X"' in path.read_bytes()
    numbers = [each.seq for each in contents.entries]
    assert numbers == sorted(set(numbers)), "no number is given twice"


@settings(deadline=None)
@given(st.binary(max_size=500))
def test_no_bytes_whatever_make_reading_fail(content: bytes) -> None:
    contents = parse(content)

    assert contents.complete_bytes + len(contents.torn) == len(content)
    assert contents.entries == ()


def test_a_torn_end_stays_where_a_full_disk_takes_no_copy_and_is_set_aside_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    torn = written(path, "a") + b'{"seq":2'
    path.write_bytes(torn)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(journal_module, "_write_all", full)
        journal = Journal(path)
        assert [each.text for each in journal.contents.entries] == ["a"]
        with pytest.raises(JournalNotWritable, match="No space left"):
            journal.append([entry("b")])
        assert path.read_bytes() == torn
    assert list(tmp_path.iterdir()) == [path], "no half of a copy is left"
    journal.append([entry("b")])
    journal.close()

    assert texts(path) == ["a", "b"]
    assert journal.kept_aside is not None


@pytest.mark.parametrize("cut", [0, 1, 100])
def test_what_was_half_written_is_cut_off_and_the_next_line_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    path = tmp_path / "journal.jsonl"
    before = written(path, "a")
    journal = Journal(path)

    def write_some(descriptor: int, block: bytes) -> None:
        os.write(descriptor, block[:cut])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(journal_module, "_write_all", write_some)
        with pytest.raises(JournalNotWritable):
            journal.append([entry("b"), entry("c")])
    assert path.read_bytes() == before
    journal.append([entry("d")])
    journal.close()

    assert texts(path) == ["a", "d"]


def test_what_an_fsync_did_not_bring_to_the_disk_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.jsonl"
    before = written(path, "a")
    journal = Journal(path)

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(journal_module.os, "fsync", broken)
        with pytest.raises(JournalNotWritable, match="Input/output error"):
            journal.append([entry("b")])
    assert path.read_bytes() == before, "a line that may not be on the disk counts as not written"
    journal.append([entry("b")])
    journal.close()

    assert texts(path) == ["a", "b"]


def test_a_journal_that_is_moved_away_takes_no_line_with_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    path.rename(tmp_path / "rotated")

    with pytest.raises(JournalNotWritable, match=r"moved or deleted"):
        journal.append([entry("a")])
    path.write_bytes(b"")
    with pytest.raises(JournalNotWritable, match="another file"):
        journal.append([entry("a")])
    path.unlink()
    (tmp_path / "rotated").rename(path)
    journal.append([entry("a")])
    journal.close()

    assert texts(path) == ["a"]


def test_a_second_writer_is_noticed_and_its_line_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    with path.open("ab") as other:
        other.write(b"another\n")

    with pytest.raises(JournalNotWritable, match="somebody else"):
        journal.append([entry("a")])
    journal.close()

    assert path.read_bytes() == b"another\n"


def test_what_is_no_file_is_refused_and_a_pipe_holds_nobody_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        with pytest.raises(JournalUnusable):
            Journal(path)
    with pytest.raises(JournalUnusable, match="there is no journal"):
        read(tmp_path / "nothing")


def test_one_process_holds_the_lock_and_the_next_one_is_told_who(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first, second = WriterLock(path), WriterLock(path)
    first.acquire("serving http://127.0.0.1:9095")

    with pytest.raises(JournalInUse, match=rf"process {os.getpid()} \(serving http://127.0.0.1:9095\)"):
        second.acquire("pruning")
    first.release()
    second.acquire("pruning")
    second.release()
