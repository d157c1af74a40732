"""The cursor of a list: what it holds comes back, and nothing else is ever taken for one."""

from __future__ import annotations

import base64
import struct
import zlib
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskmanager.tasks.cursor import FOREVER, CursorError, CursorOfAnotherList, Key, decode, encode, fingerprint

MINE, ANOTHER = fingerprint("sort=-created_at"), fingerprint("sort=due_at")
CURSOR = encode(Key(2, datetime(2026, 3, 31, 18, 0, 0, 123456, tzinfo=UTC), 42), MINE)

keys = st.builds(
    Key,
    priority=st.integers(0, 255),
    time=st.datetimes(timezones=st.just(UTC)) | st.just(FOREVER),
    id=st.integers(-(2**63), 2**63 - 1),
)


@given(keys, st.binary(min_size=8, max_size=8))
@example(Key(1, FOREVER, 2**63 - 1), MINE)
@example(Key(1, FOREVER - timedelta(microseconds=1), 1), MINE)
@example(Key(1, datetime.min.replace(tzinfo=UTC), 1), MINE)
def test_a_key_comes_back_as_it_was(key: Key, of_list: bytes) -> None:
    text = encode(key, of_list)

    assert decode(text, of_list) == key
    assert len(text) == 40


@given(st.text(st.characters(codec=None, exclude_categories=())))
@example("")
@example("\0")
@example("A" * 40)
@example("=" * 40)
@example(CURSOR + "=")
@example(CURSOR + "\n")
@example(CURSOR[:-1])
@example(" " + CURSOR)
@example(CURSOR.replace("A", "\N{FULLWIDTH LATIN CAPITAL LETTER A}"))
@example("A" * 100_000)
def test_any_other_text_is_refused_and_raises_nothing_else(text: str) -> None:
    with pytest.raises(CursorError):
        decode(text, MINE)


def test_every_flipped_bit_is_noticed() -> None:
    content = base64.urlsafe_b64decode(CURSOR)
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CursorError) as raised:
            decode(base64.urlsafe_b64encode(flipped).decode(), MINE)
        assert raised.value.code == "damaged_cursor"


@given(st.integers(0, 39), st.characters())
def test_every_changed_character_is_noticed(place: int, character: str) -> None:
    changed = CURSOR[:place] + character + CURSOR[place + 1 :]
    if changed != CURSOR:
        with pytest.raises(CursorError):
            decode(changed, MINE)


def test_a_cursor_of_another_list_is_told_apart_from_a_damaged_one() -> None:
    with pytest.raises(CursorOfAnotherList) as raised:
        decode(CURSOR, ANOTHER)
    assert raised.value.code == "cursor_of_another_list"


@given(st.binary(min_size=25, max_size=25))
def test_a_forged_checksum_opens_nothing_but_a_key(rest: bytes) -> None:
    content = b"\1" + rest
    forged = base64.urlsafe_b64encode(content + struct.pack(">I", zlib.crc32(content))).decode()
    with suppress(CursorError):
        assert isinstance(decode(forged, content[1:9]), Key)


@pytest.mark.parametrize("time_us", [-(2**63), 2**63 - 2, 253402300800000000])
def test_a_time_that_is_none_is_refused(time_us: int) -> None:
    content = struct.pack(">B8sBqq", 1, MINE, 1, time_us, 1)
    with pytest.raises(CursorError):
        decode(base64.urlsafe_b64encode(content + struct.pack(">I", zlib.crc32(content))).decode(), MINE)
