"""API keys: which are let in, what is said of the others, and which lines are taken as keys."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmanager.access import keys
from taskmanager.access.key_lines import NEVER, SCOPES, Key, KeysError, new_key, parse
from taskmanager.access.keys import Keyring

READ, WRITE, METRICS = SCOPES


def fixed_key(id_: str, secret: str, *scopes: str) -> tuple[str, Key]:
    """A key that is the same in every process, since parameters of tests hold it."""
    return f"tm_{id_}_{secret}", Key(id_, hashlib.sha256(secret.encode()).digest(), frozenset(scopes), NEVER)


KEY, STORED = fixed_key("k7m2p9qx", "Zx_8-" * 8 + "Qw3", READ, WRITE)
OTHER_KEY, OTHER_STORED = fixed_key("b4n8t6wz", "-k_7Y" * 8 + "Lm9", METRICS)
LINE = STORED.line()


def bearer(key: str) -> bytes:
    return f"Bearer {key}".encode()


def verdict(keyring: Keyring, authorization: bytes | None, scope: str = READ) -> tuple[int, str] | None:
    refusal = keyring.check(authorization, scope)
    return (refusal.status, refusal.code) if refusal is not None else None


UNAUTHENTICATED = (401, "unauthenticated")
INVALID = (401, "invalid_key")
INSUFFICIENT = (403, "insufficient_scope")


def test_a_key_is_let_in_for_its_scopes_alone() -> None:
    keyring = Keyring(f"{LINE};{OTHER_STORED.line()}")

    assert [verdict(keyring, bearer(KEY), scope) for scope in SCOPES] == [None, None, INSUFFICIENT]
    assert [verdict(keyring, bearer(OTHER_KEY), scope) for scope in SCOPES] == [INSUFFICIENT, INSUFFICIENT, None]


def test_the_right_to_change_tasks_does_not_hold_that_to_read_them() -> None:
    key, stored = new_key([WRITE])
    assert verdict(Keyring(stored.line()), bearer(key), READ) == INSUFFICIENT


def test_a_key_that_expires_is_let_in_until_then(monkeypatch: pytest.MonkeyPatch) -> None:
    key, stored = new_key([READ], expires_at=2_000_000_000)
    keyring = Keyring(stored.line())

    monkeypatch.setattr(time, "time", lambda: 1_999_999_999.9)
    assert verdict(keyring, bearer(key)) is None
    assert keyring.usable()
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    assert verdict(keyring, bearer(key)) == INVALID
    assert not keyring.usable()


def test_without_any_key_nobody_is_let_in() -> None:
    assert verdict(Keyring(), bearer(KEY)) == INVALID
    assert verdict(Keyring(), None) == UNAUTHENTICATED


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same() -> None:
    expired, stored = new_key([READ], expires_at=1.0)
    keyring = Keyring(f"{LINE}\n{stored.line()}")
    secret = KEY.split("_", 2)[2]

    refusals = [
        keyring.check(authorization, READ)
        for authorization in (
            bearer(expired),
            bearer(f"tm_{STORED.id}_{'A' * 43}"),
            bearer(f"tm_nobody_{secret}"),
            bearer("tm_"),
            b"Bearer",
            b"Bearer ",
        )
    ]

    assert {(r.status, r.code) for r in refusals if r} == {INVALID}
    assert len({id(refusal) for refusal in refusals}) == 1


def test_a_refusal_says_what_rfc_6750_asks_for() -> None:
    keyring = Keyring(LINE)
    missing, wrong, lacking = (
        keyring.check(None, READ),
        keyring.check(bearer(OTHER_KEY), READ),
        keyring.check(bearer(KEY), METRICS),
    )

    assert missing is not None
    assert wrong is not None
    assert lacking is not None
    # Who brings no key is told no error: nothing is wrong yet (section 3.1).
    assert missing.headers == ((b"www-authenticate", b'Bearer realm="taskmanager"'),)
    assert wrong.headers == ((b"www-authenticate", b'Bearer realm="taskmanager", error="invalid_token"'),)
    challenge = b'Bearer realm="taskmanager", error="insufficient_scope", scope="metrics:read"'
    assert lacking.headers == ((b"www-authenticate", challenge),)
    assert METRICS in lacking.detail


@pytest.mark.parametrize("form", ["bearer {}", "BEARER {}", "bEaReR {}", "Bearer   {}"])
def test_the_scheme_is_read_in_any_case_and_may_be_followed_by_several_spaces(form: str) -> None:
    assert verdict(Keyring(LINE), form.format(KEY).encode()) is None


@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (b"", UNAUTHENTICATED),
        (b"Basic dGFzazpwdw==", UNAUTHENTICATED),
        (KEY.encode(), UNAUTHENTICATED),
        (b"Token " + KEY.encode(), UNAUTHENTICATED),
        (b" " + bearer(KEY), UNAUTHENTICATED),
        (b"Bearer\t" + KEY.encode(), INVALID),
        (b"Bearer" + KEY.encode(), INVALID),
        (bearer(KEY) + b" ", INVALID),
        (bearer(KEY) + b"\n", INVALID),
        (bearer(KEY) + b"\0", INVALID),
        (bearer(KEY) + b"A", INVALID),
        (bearer(KEY)[:-1], INVALID),
        (bearer(KEY) + b", " + bearer(KEY), INVALID),
        (bearer(KEY.upper()), INVALID),
        (bearer(KEY.replace("tm_", "TM_")), INVALID),
        (bearer(f"tm_{'a' * 33}_{'A' * 43}"), INVALID),
        (b"Bearer \xff\xfe\x00" + KEY.encode(), INVALID),
        ("Bearer tm_é_".encode() + b"A" * 43, INVALID),
        (b"Bearer" + b" " * 65536 + KEY.encode(), INVALID),
        (b"Bearer " + b"A" * 65536, INVALID),
        (b"\0" * 65536, UNAUTHENTICATED),
    ],
)
def test_what_is_no_key_is_refused_whatever_its_bytes_are(authorization: bytes, expected: tuple[int, str]) -> None:
    assert verdict(Keyring(LINE), authorization) == expected


@given(
    authorization=st.none() | st.binary(max_size=300) | st.binary(max_size=200).map(lambda tail: b"Bearer tm_" + tail)
)
def test_no_bytes_are_let_in_and_none_raise(authorization: bytes | None) -> None:
    refusal = Keyring(LINE).check(authorization, READ)

    assert refusal is not None
    assert refusal.status == 401


@given(position=st.integers(0, len(KEY) - 1), byte=st.integers(0, 255))
def test_a_key_with_one_byte_changed_is_no_key(position: int, byte: int) -> None:
    changed = bytearray(KEY.encode())
    changed[position] = byte

    expected = None if bytes(changed) == KEY.encode() else INVALID
    assert verdict(Keyring(LINE), b"Bearer " + changed) == expected


@given(scopes=st.sets(st.sampled_from(SCOPES), min_size=1), expires_at=st.none() | st.integers(1, 250_000_000_000))
def test_what_is_stored_of_a_key_is_read_back(scopes: set[str], expires_at: int | None) -> None:
    key, stored = new_key(scopes, NEVER if expires_at is None else expires_at)

    assert parse([("here", f"  {stored.line()}\t# of Ana, é\r")]) == [stored]
    expired = expires_at is not None and expires_at <= time.time()
    for scope in SCOPES:
        allowed = scope in scopes and not expired
        assert (verdict(Keyring(stored.line()), bearer(key), scope) is None) == allowed


@given(text=st.text(max_size=200))
def test_any_text_is_keys_or_a_fault_and_never_a_crash(text: str) -> None:
    with suppress(KeysError):
        Keyring(text)


def test_keys_are_all_different_and_only_their_sha_256_is_kept() -> None:
    made = [new_key([READ]) for _ in range(50)]

    assert len({key for key, _ in made} | {stored.id for _, stored in made}) == 100
    for key, stored in made:
        prefix, id_, secret = key.split("_", 2)
        assert (prefix, id_) == ("tm", stored.id)
        assert hashlib.sha256(secret.encode()).digest() == stored.digest
        assert secret not in stored.line()
        assert stored.digest.hex() not in repr(stored)


GOOD_HASH = "0" * 64


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("k7m2p9qx", "1 columns instead of four"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read never mine", "5 columns instead of four"),
        (f"K7M2 {GOOD_HASH} tasks:read never", "the first column must be the id"),
        (f"é {GOOD_HASH} tasks:read never", "the first column must be the id"),
        ("k7m2p9qx 0000 tasks:read never", "the second column must be the SHA-256"),
        (f"k7m2p9qx {GOOD_HASH} tasks:all never", "the third column must be scopes"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read, never", "the third column must be scopes"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read forever", "the fourth column must be the expiry"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read 2027-01-31", "the fourth column must be the expiry"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read 2027-01-31T00:00:00", "the fourth column must be the expiry"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read 2027-02-31T00:00:00Z", "the fourth column must be the expiry"),
        (f"k7m2p9qx {GOOD_HASH} tasks:read 2027-W01-1T00:00:00Z", "the fourth column must be the expiry"),
        (f"k7m2p9qx {KEY} tasks:read never", "this is a key itself"),
        (KEY, "this is a key itself"),
    ],
)
def test_a_line_that_is_no_key_is_told_by_its_number_and_without_what_it_holds(
    tmp_path: Path, line: str, told: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# the keys\n\n{OTHER_STORED.line()}\n{line}\n")

    with pytest.raises(KeysError) as raised:
        Keyring(None, file)

    assert str(raised.value).startswith(f"TASKMANAGER_KEYS_FILE: {file}, line 4: {told}")
    assert KEY not in str(raised.value)


def test_every_fault_of_a_file_is_told_but_not_every_line_of_a_book(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("a\nb\n")
    with pytest.raises(KeysError, match=r"line 1: .*\n.*line 2: "):
        Keyring(None, file)

    file.write_text("call me Ishmael\n" * 1000)
    with pytest.raises(KeysError) as raised:
        Keyring(None, file)
    assert len(str(raised.value).splitlines()) == 10


def test_an_id_that_stands_twice_is_refused_with_both_places(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"\n{LINE}\n")

    with pytest.raises(KeysError, match=r"keys, line 2: the id \w+ stands already at TASKMANAGER_KEYS: key 1"):
        Keyring(LINE, file)


def test_expiries_are_times_of_rfc_3339() -> None:
    for text, expected in {
        "never": NEVER,
        "1970-01-01T00:00:01Z": 1.0,
        "1970-01-01t00:00:01z": 1.0,
        "1970-01-01T01:00:01.5+01:00": 1.5,
    }.items():
        (key,) = parse([("here", f"k7m2p9qx {GOOD_HASH} tasks:read {text}")])
        assert key.expires_at == expected


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda file: None, "cannot be read: No such file"),
        (lambda file: file.mkdir(), "is not a file"),
        (lambda file: os.mkfifo(file), "is not a file"),
        (lambda file: file.write_bytes(b"\xff\xfe"), "is not UTF-8 text"),
        (lambda file: file.write_bytes(b"#" * 2_000_000), "has more than 1048576 bytes"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, make: object, told: str) -> None:
    file = tmp_path / "keys"
    assert callable(make)
    make(file)

    with pytest.raises(KeysError) as raised:
        Keyring(None, file)

    assert str(raised.value).startswith(f"TASKMANAGER_KEYS_FILE: {file} {told}")


def test_a_key_in_the_place_of_a_path_is_not_told() -> None:
    with pytest.raises(KeysError, match=r"^TASKMANAGER_KEYS_FILE: this is a key itself") as raised:
        Keyring(None, Path(KEY))
    assert KEY not in str(raised.value)


@asynccontextmanager
async def watched(file: Path) -> AsyncIterator[Keyring]:
    """A keyring that looks at its file every few milliseconds."""
    keyring = Keyring(None, file)
    task = asyncio.create_task(keyring.watch(every_s=0.02))
    try:
        yield keyring
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  what is waited for is another task's look at a file
            await asyncio.sleep(0.005)


async def becomes(keyring: Keyring, key: str, expected: tuple[int, str] | None) -> None:
    await until(lambda: verdict(keyring, bearer(key)) == expected)


async def test_a_key_is_replaced_while_the_service_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, keys.__name__)
    file = tmp_path / "keys"
    file.write_text(LINE)
    new, stored = new_key([READ])
    async with watched(file) as keyring:
        file.write_text(f"{LINE}\n{stored.line()}\n")
        await becomes(keyring, new, None)
        assert verdict(keyring, bearer(KEY)) is None

        file.write_text(stored.line())
        await becomes(keyring, KEY, INVALID)
        assert verdict(keyring, bearer(new)) is None

    added, removed = caplog.records
    assert (added.keys_added, added.keys_removed) == ([stored.id], [])  # type: ignore[attr-defined]
    assert (removed.keys_added, removed.keys_removed) == ([], [STORED.id])  # type: ignore[attr-defined]


async def test_a_file_that_is_linked_anew_is_noticed_as_kubernetes_does_it(tmp_path: Path) -> None:
    new, stored = new_key([READ, WRITE])
    for name, line in (("first", LINE), ("second", stored.line())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "keys").write_text(line)
        os.utime(tmp_path / name / "keys", (1, 1))
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "first")
    async with watched(link / "keys") as keyring:
        (tmp_path / "new").symlink_to(tmp_path / "second")
        (tmp_path / "new").replace(link)
        await becomes(keyring, KEY, INVALID)
        assert verdict(keyring, bearer(new)) is None


@pytest.mark.parametrize("broken", ["this is no key", None])
async def test_a_broken_file_leaves_the_keys_of_before_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    file = tmp_path / "keys"
    file.write_text(LINE)
    async with watched(file) as keyring:
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken)
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.2)
        assert verdict(keyring, bearer(KEY)) is None

        file.write_text(OTHER_STORED.line())
        await becomes(keyring, KEY, INVALID)

    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the API keys of before stay" in record.getMessage()


async def test_an_empty_file_takes_every_key_away_since_somebody_may_have_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(LINE)
    async with watched(file) as keyring:
        file.write_text("# none\n")
        await becomes(keyring, KEY, INVALID)

    (record,) = caplog.records
    assert "none is left that can be used" in record.getMessage()


def test_a_file_that_is_still_being_written_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LINE)
    keyring = Keyring(None, file)
    file.write_text(OTHER_STORED.line()[:10])
    keyring._look()
    file.write_text(OTHER_STORED.line())
    keyring._look()
    assert verdict(keyring, bearer(KEY)) is None

    keyring._look()
    assert verdict(keyring, bearer(KEY)) == INVALID
    assert verdict(keyring, bearer(OTHER_KEY), METRICS) is None


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    async with asyncio.timeout(1):
        await Keyring(LINE).watch()


def test_a_check_takes_microseconds() -> None:
    keyring = Keyring("\n".join(new_key([READ])[1].line() for _ in range(1000)) + f"\n{LINE}")
    authorization = bearer(KEY)
    started = time.perf_counter()
    for _ in range(10_000):
        keyring.check(authorization, READ)
    # Ten to thirty times what it takes, so that a slow machine does not fail it and a slow hash does.
    assert time.perf_counter() - started < 0.3
