"""A driver's exception in words, and whether trying again may help."""

from __future__ import annotations

import socket

import psycopg
import pytest

from migration_gate.postgres.faults import describe, describe_connect
from tests.databases import Database


class _Refusal(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("s3cret")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "transient"),
    [
        ("28P01", False),
        ("28000", False),
        ("3D000", False),
        ("42501", False),
        ("53300", True),
        ("55P03", True),
        ("57014", True),
        ("57P01", True),
        ("57P02", True),
        ("57P03", True),
        ("XX000", True),
    ],
)
def test_a_sqlstate_tells_whether_waiting_may_help(sqlstate: str, transient: bool) -> None:
    fault = describe(_Refusal(sqlstate))

    assert fault.transient is transient
    assert fault.exit_code == (75 if transient else 69)
    assert f"SQLSTATE {sqlstate}" in fault.message
    assert "s3cret" not in str(fault)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-2, "s3cret"), "could not be resolved"),
        (TimeoutError("s3cret"), "did not answer in time"),
        (ConnectionRefusedError("s3cret"), "nothing listens"),
        (ConnectionResetError("s3cret"), "ConnectionResetError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_of_the_network_may_pass(error: Exception, words: str) -> None:
    fault = describe(error)

    assert fault.transient
    assert words in fault.message
    assert "s3cret" not in str(fault)


def _refused(url: str) -> psycopg.OperationalError:
    with pytest.raises(psycopg.OperationalError) as error:
        psycopg.connect(url, connect_timeout=5)
    return error.value


def test_a_wrong_password_does_not_pass_by_itself(empty_database: Database) -> None:
    secret = empty_database.app_url.split(":")[2].split("@")[0]

    fault = describe_connect(_refused(empty_database.app_url.replace(secret, "wr0ng")))

    assert not fault.transient
    assert "password authentication failed" in fault.message
    assert "wr0ng" not in str(fault)


def test_an_unknown_database_does_not_pass_by_itself(empty_database: Database) -> None:
    fault = describe_connect(_refused(empty_database.app_url + "_of_others"))

    assert not fault.transient
    assert "does not exist" in fault.message


def test_a_login_without_the_right_to_connect_does_not_pass_by_itself(empty_database: Database) -> None:
    empty_database.execute(f"REVOKE CONNECT ON DATABASE {empty_database.name} FROM PUBLIC")

    fault = describe_connect(_refused(empty_database.app_url))

    assert not fault.transient
    assert "permission denied for database" in fault.message


def test_a_port_where_nothing_listens_may_pass() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://reader@127.0.0.1:{unused.getsockname()[1]}/library"
        fault = describe_connect(_refused(url))

    assert fault.transient
    assert "Connection refused" in fault.message


@pytest.mark.parametrize(
    "refusal",
    [
        "the database system is starting up",
        "the database system is shutting down",
        "sorry, too many clients already",
        "the database system is in recovery mode",
    ],
)
def test_a_server_that_is_not_ready_may_be_so_in_a_moment(refusal: str) -> None:
    fault = describe_connect(psycopg.OperationalError(f"connection to server failed: FATAL:  {refusal}"))

    assert fault.transient
    assert fault.message == refusal


def test_an_error_without_a_word_is_told_by_its_kind() -> None:
    assert describe_connect(OSError()).message == "OSError"
