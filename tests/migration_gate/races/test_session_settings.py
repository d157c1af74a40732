"""What the two ends of a migrator's connection are told, so that neither waits for a lost one for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import psycopg
import pytest

from migration_gate.connection import UNHEARD_S, engine_for
from migration_gate.postgres.url import sqlalchemy_url
from tests.databases import Database


def _session(url: str, ask: Callable[[psycopg.Connection[tuple[object, ...]]], object]) -> object:
    engine = engine_for(sqlalchemy_url(url))
    with engine.connect() as connection:
        return ask(cast("psycopg.Connection[tuple[object, ...]]", connection.connection.dbapi_connection))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_connection_check_interval", "1s"),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "5"),
        ("tcp_user_timeout", str(UNHEARD_S * 1000)),
    ],
)
def test_the_server_is_told_in_every_session(empty_database: Database, name: str, value: str) -> None:
    def shown(session: psycopg.Connection[tuple[object, ...]]) -> object:
        row = session.execute(f"SHOW {name}".encode()).fetchone()
        session.rollback()
        assert row is not None
        return str(row[0]).removesuffix("ms") if name.startswith("tcp") else row[0]

    assert _session(empty_database.migrator_url, shown) == value


def test_this_side_is_told_and_the_address_has_the_last_word(empty_database: Database) -> None:
    def asked(session: psycopg.Connection[tuple[object, ...]]) -> object:
        told = session.info.get_parameters()
        return told["keepalives_idle"], told["tcp_user_timeout"]

    assert _session(empty_database.migrator_url, asked) == ("5", str(UNHEARD_S * 1000))
    assert _session(empty_database.migrator_url + "?tcp_user_timeout=60000", asked) == ("5", "60000")
