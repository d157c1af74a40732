"""What may be told: of texts, of errors and of local variables."""

from __future__ import annotations

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import IntegrityError

from migration_gate.errors import StatementRefused
from migration_gate.postgres.faults import NOT_TOLD
from taskmanager.observability.privacy import kinds, scrubbed, scrubbed_of_others, told, without_addresses
from tests.databases import Database

CANARY = "canary4711"
EMAIL = f"{CANARY}@example.org"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"no\nDETAIL:  Failing row contains (1, {CANARY}).", "no …"),
        (f"no\nDÉTAIL : La ligne en échec contient (1, {CANARY}).", "no …"),
        (f"no\n  DETAIL:  Key (title)=(a\nb {CANARY}) already exists.\nHINT: x", "no …"),
        (f"no\nLINE 1: SELECT '{CANARY}'::int\n    ^", "no …"),
        (f"(psycopg.errors.X) no\n[SQL: SELECT %s]\n[parameters: ('{CANARY}',)]", "(psycopg.errors.X) no …"),
        (f"Failing row contains ({CANARY}).", " …"),
        (f"Key (a, b)=({CANARY}, (2)) is not there.", "Key (…)=(…) is not there."),
        (f"sent to {EMAIL}, then", "sent to …, then"),
        ("Bearer tm_k7m2p9qx_abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE failed", "Bearer tm_… failed"),
        (f"GET /tasks?title={CANARY}&x=1 failed", "GET /tasks?… failed"),
        (f"postgresql://app:{CANARY}@host/db is away", "postgresql://***@host/db is away"),
        (f"password={CANARY} and more", "password=*** and more"),
        ("database 'shop' is at d6718b0e94ac; what's the application's head?",) * 2,
        ('relation "tasks" does not exist (SQLSTATE 42P01)',) * 2,
    ],
)
def test_a_text_of_ours_loses_what_it_may_quote_and_keeps_names(text: str, left: str) -> None:
    assert scrubbed(text) == left
    assert CANARY not in scrubbed_of_others(text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"Task exception was never retrieved: exception=ValueError(4711, '{CANARY}')>", "exception=ValueError(…)>"),
        (f"got b'{CANARY}' and r'x' and 'it\\'s {CANARY}'", "got '…' and '…' and '…'"),
        (f'got {{"title": "{CANARY}"}}', 'got {"…": "…"}'),
        (f'203.0.113.7:5123 - "WebSocket /{CANARY}" 403', '… - "…" 403'),
        ("from 203.0.113.7.", "from …."),
        ("from [2001:db8::1]:80 and ::1, at 12:30:45", "from …:80 and …, at 12:30:45"),
        ("Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",) * 2,
        ("Running upgrade  -> d6718b0e94ac, create tasks in 1.2.3",) * 2,
    ],
)
def test_a_text_of_others_loses_all_that_is_quoted_too(text: str, left: str) -> None:
    assert scrubbed_of_others(text).endswith(left)
    assert CANARY not in scrubbed_of_others(text)


def test_an_address_within_a_url_is_where_we_are() -> None:
    assert without_addresses("10.0.0.1 asked http://10.0.0.2:80/") == "… asked http://10.0.0.2:80/"


@pytest.mark.parametrize(
    "address", ["10.0.0.7", "::1", "2001:db8::7", "fe80::1%eth0", "::ffff:10.0.0.7", "2001:db8:0:0:1:0:0:7"]
)
def test_whom_postgresql_does_not_admit_is_told_without_an_address(address: str) -> None:
    words = f'no pg_hba.conf entry for host "{address}", user "app", database "shop", no encryption'
    error = asyncpg.InvalidAuthorizationSpecificationError(words)

    assert told(error) == f"{words.replace(address, '…')} (SQLSTATE 28000)"


def test_what_postgresql_really_says_of_a_row_is_not_told(tasks_database: Database) -> None:
    insert = f"INSERT INTO tasks (title, status) VALUES ('{CANARY}\n{EMAIL}', 'no')"
    with psycopg.connect(tasks_database.app_url) as connection, pytest.raises(psycopg.errors.CheckViolation) as refused:
        connection.execute(insert)

    text = str(refused.value)
    assert CANARY in text
    wrapped = str(IntegrityError("INSERT", {"title": CANARY}, refused.value))
    for each in (text, wrapped):
        assert CANARY not in scrubbed(each)
        assert "tasks" in scrubbed(each)
    assert "SQLSTATE 23514" in told(refused.value)
    assert CANARY not in told(refused.value)


def test_the_gates_words_are_told_without_the_literals_of_the_statement() -> None:
    refusal = 'PostgreSQL refused a statement: permission denied for table "tasks"'
    error = StatementRefused(f"{refusal}\n  The statement: UPDATE x SET y = '{CANARY}'")

    assert 'permission denied for table "tasks"' in told(error)
    assert CANARY not in told(error)
    assert told(ValueError(CANARY)) == NOT_TOLD


def test_of_a_variable_its_name_and_its_type_are_told() -> None:
    class Odd:
        def __repr__(self) -> str:
            raise AssertionError("nobody may ask for it")

        __str__ = __repr__

    told_of = kinds({"title": CANARY, "tags": [CANARY], "nothing": None, "odd": Odd(), "kind": Odd})

    assert told_of == {
        "title": "<str>",
        "tags": "<list>",
        "nothing": "<NoneType>",
        "odd": f"<{Odd.__qualname__}>",
        "kind": "<type>",
    }
