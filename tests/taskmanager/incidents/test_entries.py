"""The journal's lines: what is written is read back, and what was changed is noticed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmanager.incidents.entries import Alert, DamagedLine, Entry, Kind, line_of, read_line, read_time, sealed
from tests.taskmanager.incidents.entries_made import entries


@settings(deadline=None)
@given(entries())
def test_an_entry_is_read_as_it_was_written(entry: Entry) -> None:
    line = line_of(entry)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert read_line(line[:-1]) == entry


@settings(deadline=None)
@given(entries(), st.data())
def test_a_byte_that_changed_is_noticed(entry: Entry, data: st.DataObject) -> None:
    line = bytearray(line_of(entry)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))

    with pytest.raises(DamagedLine):
        read_line(bytes(line))


@settings(deadline=None)
@given(entries())
def test_a_line_cut_off_anywhere_is_no_entry(entry: Entry) -> None:
    line = line_of(entry)[:-1]
    for length in range(len(line)):
        with pytest.raises(DamagedLine):
            read_line(line[:length])


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
def test_whatever_stands_there_nothing_else_is_raised(content: bytes) -> None:
    with pytest.raises(DamagedLine):
        read_line(content)


def test_a_deep_document_is_no_entry() -> None:
    with pytest.raises(DamagedLine, match="not the fields"):
        read_line(sealed(b"[" * 100_000 + b"}"))


def test_a_kind_of_a_later_release_is_told_as_such() -> None:
    entry = Entry(Kind.NOTE, datetime(2026, 11, 27, tzinfo=UTC), "on-call", 1, Alert("ab", "code"), text="x", seq=1)
    of_that_release = json.dumps(entry.as_json() | {"kind": "escalated"}).encode()

    with pytest.raises(DamagedLine, match="not known to this release"):
        read_line(sealed(of_that_release))


@pytest.mark.parametrize("content", [b"{}", b'{"kind":"note"}', b'{"kind":"note","at":7,"who":"a","seq":1}', b"[}"])
def test_a_line_whose_checksum_fits_and_whose_fields_do_not_is_no_entry(content: bytes) -> None:
    with pytest.raises(DamagedLine):
        read_line(sealed(content))


def test_alertmanagers_nanoseconds_are_cut_to_microseconds() -> None:
    assert read_time("2026-11-27T21:08:50.14345579Z") == datetime(2026, 11, 27, 21, 8, 50, 143455, UTC)
    assert read_time("2026-11-27T21:08:50.143455999Z").microsecond == 143455
    assert read_time("2026-11-27T22:08:50+01:00") == datetime(2026, 11, 27, 21, 8, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-11-27", "2026-11-27T21:08:50", "2026-02-31T00:00:00Z", 7, None]
)
def test_what_is_no_time_of_rfc_3339_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"time|day|month"):
        read_time(text)  # type: ignore[arg-type]


def test_a_time_at_the_end_of_all_times_is_refused() -> None:
    assert datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))).year == 9999
    with pytest.raises(ValueError, match="out of range"):
        read_time("9999-12-31T23:59:59-01:00")
