"""Addresses in the forms people write them."""

from __future__ import annotations

import re

import psycopg
import pytest
import sqlalchemy as sa

from migration_gate.postgres.url import (
    UnusableUrl,
    asyncpg_url,
    masked_url,
    on_same_server,
    plain_url,
    sqlalchemy_url,
)

REST = "reader:s3cret@localhost:5432/library?sslmode=require"


@pytest.mark.parametrize(
    "scheme",
    [
        "postgres",
        "postgresql",
        "postgresql+psycopg",
        "postgresql+psycopg2",
        "postgresql+asyncpg",
        "postgres+asyncpg",
        "postgresql+pg8000",
        "PostgreSQL",
    ],
)
def test_every_scheme_becomes_the_one_that_the_driver_takes(scheme: str) -> None:
    assert plain_url(f"  {scheme}://{REST}\n") == f"postgresql://{REST}"
    assert sqlalchemy_url(f"{scheme}://{REST}") == f"postgresql+psycopg://{REST}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "library",
        "sqlite:///s3cret",
        "mysql://reader:s3cret@h/d",
        "postgresql:library",
        "postgresql+oracle://reader:s3cret@h/d",
    ],
)
def test_what_is_no_address_of_postgresql_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(UnusableUrl, match="must begin with postgresql://") as error:
        plain_url(url)
    assert "s3cret" not in str(error.value)
    assert masked_url(url) == "an address that is not PostgreSQL's"


def test_a_password_that_is_not_encoded_is_explained_and_not_shown() -> None:
    with pytest.raises(UnusableUrl, match="percent-encoded") as error:
        plain_url("postgresql://reader:s3c/ret@localhost/library")
    assert "s3c" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        (f"postgres://{REST}", "postgresql://reader:***@localhost:5432/library"),
        ("postgresql://localhost/library", "postgresql://localhost/library"),
        ("postgresql://reader@localhost/library", "postgresql://reader@localhost/library"),
        ("postgresql://reader:s3cret@[::1]:5432/library", "postgresql://reader:***@[::1]:5432/library"),
        ("postgresql:///library?host=/run&password=s3cret", "postgresql:///library?host=/run"),
        ("postgresql+asyncpg://@/library?host=a:1&host=b:2&password=s3cret", "postgresql:///library?host=a,b&port=1,2"),
        ("postgresql:///?service=library&passfile=/run/s3cret", "postgresql:///?service=library"),
    ],
)
def test_a_masked_address_shows_where_and_never_the_secret(url: str, masked: str) -> None:
    assert masked_url(url) == masked


# As it is written; as libpq takes it; as asyncpg does, where that is something else.
FORMS = [
    ("postgresql+psycopg2://u@h:5433/d", "postgresql://u@h:5433/d", None),
    ("postgresql+asyncpg://u:p@h/d?ssl=require", "postgresql://u:p@h/d?sslmode=require", None),
    ("postgresql+asyncpg://u@h/d?ssl=verify_full", "postgresql://u@h/d?sslmode=verify-full", None),
    ("postgresql+asyncpg://u@h/d?ssl=true", "postgresql://u@h/d?sslmode=require", None),
    ("postgresql+pg8000://u@h/d?ssl=False", "postgresql://u@h/d?sslmode=disable", None),
    (
        "postgresql+asyncpg://u@h/d?ssl=require&direct_tls=true",
        "postgresql://u@h/d?sslmode=require&sslnegotiation=direct",
        None,
    ),
    ("postgresql+asyncpg://u@h/d?timeout=2.5", "postgresql://u@h/d?connect_timeout=3", "postgresql://u@h/d"),
    ("postgresql+asyncpg://u@h/d?timeout=soon", "postgresql://u@h/d?connect_timeout=soon", "postgresql://u@h/d"),
    ("postgresql+asyncpg://u@h/d?prepared_statement_cache_size=0&statement_cache_size=0", "postgresql://u@h/d", None),
    ("postgresql+asyncpg://u@h/d?async_fallback=true&command_timeout=60", "postgresql://u@h/d", None),
    ("postgres://u@h/d?min_size=1&max_size=9&pgbouncer=true", "postgresql://u@h/d", None),
    ("postgresql://u@h/d?sslmode=disable&sslmode=require", "postgresql://u@h/d?sslmode=require", None),
    ("postgresql://u@h/d?application_name=a&target_session_attrs=any", None, None),
    ("postgresql://u@h/d?channel_binding=require&keepalives_idle=5&connect_timeout=3", None, "postgresql://u@h/d"),
    ("postgresql://u@h/d?sslmode=require&sslcertmode=disable&sslsni=0", None, "postgresql://u@h/d?sslmode=require"),
    ("postgresql://u@h/d?fallback_application_name=a", None, "postgresql://u@h/d?application_name=a"),
    ("postgresql://u@h/d?hostaddr=10.0.0.1", None, "postgresql://u@h/d"),
    ("postgresql://u@/d?hostaddr=10.0.0.1", None, "postgresql://u@/d?host=10.0.0.1"),
    ("postgresql://u@h/d?passfile=/run/pgpass", None, None),
    ("postgresql:///?service=library", None, None),
    ("postgresql+asyncpg://u@h/?database=d", "postgresql://u@h/d", None),
    ("postgresql://u@h/elsewhere?dbname=d%2Fe", "postgresql://u@h/d%2Fe", None),
    ("postgresql://u@h/d?password=a+b%26c", "postgresql://u@h/d?password=a%2Bb%26c", None),
    ("postgresql+asyncpg://u@h/d?options=-c+x%3Dy", "postgresql://u@h/d?options=-c%20x%3Dy", None),
    ("postgresql://u:p%40%2F%3A%25%2B@h/d", None, None),
    ("postgresql://u@a,b:5433/d", None, None),
    ("postgresql://u@[::1]:5433,[fe80::1%25lo]/d", None, None),
    ("postgresql://u@%2Frun%2Fpg:5433/d", None, None),
    ("postgresql://u@/d?host=/run/pg&connect_timeout=3", None, "postgresql://u@/d?host=/run/pg"),
    ("postgresql://u@localhost:5433/d?host=/cloud/a:b:c", "postgresql://u@/d?host=/cloud/a:b:c&port=5433", None),
    ("postgresql+asyncpg://u@/d?host=a:1&host=b:2", "postgresql://u@/d?host=a,b&port=1,2", None),
    ("postgresql+asyncpg://u@/d?host=a:5433&host=b", "postgresql://u@/d?host=a,b&port=5433,5432", None),
    ("postgresql+asyncpg://u@/d?host=a,b&port=5433", "postgresql://u@/d?host=a,b&port=5433,5433", None),
    ("postgresql://u@/d?host=::1,::2", None, "postgresql://u@/d?host=[::1],[::2]"),
    ("postgresql://u@h/d?no_such_parameter=1", None, None),
]


@pytest.mark.parametrize(("written", "libpq", "asyncpg"), FORMS)
def test_an_address_in_any_drivers_words_is_said_in_those_of_the_one_that_takes_it(
    written: str, libpq: str | None, asyncpg: str | None
) -> None:
    assert plain_url(written) == (libpq or written)
    assert asyncpg_url(written) == (asyncpg or libpq or written)
    assert plain_url(plain_url(written)) == plain_url(written)


@pytest.mark.parametrize(
    "written", [written for written, _, _ in FORMS if not {"no_such_parameter", "soon"} & set(re.split(r"\W", written))]
)
def test_sqlalchemy_gives_psycopg_what_libpq_reads_in_the_same_address(written: str) -> None:
    url = sa.make_url(sqlalchemy_url(written))

    _, given = url.get_dialect()().create_connect_args(url)

    read = psycopg.conninfo.conninfo_to_dict(plain_url(written))
    # SQLAlchemy says the usual port where libpq says nothing.
    ports = {str(found.pop("port", "")).replace("5432", "").strip(",") for found in (given, read)}
    assert len(ports) == 1
    assert given == read


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://u:s3cret@a,b/d?port=1,2,3", "names 3 ports for 2 hosts;"),
        ("postgresql://u:s3cret@/d?host=a&port=1,2", "names 2 ports for 1 host;"),
        ("postgresql://u:s3cret@h/d?port=many", "host or port that cannot be read"),
    ],
)
def test_ports_that_fit_no_hosts_are_refused_without_the_password(url: str, said: str) -> None:
    with pytest.raises(UnusableUrl, match=said) as error:
        plain_url(url)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("postgresql+asyncpg://u:p@h:5/d?ssl=require", "postgresql://u:p@h:5/scratch?sslmode=require"),
        ("postgresql://u@h/d?dbname=real", "postgresql://u@h/scratch"),
        ("postgresql://u@h?options=-c%20x%3Dy", "postgresql://u@h/scratch?options=-c%20x%3Dy"),
    ],
)
def test_another_database_of_the_server_is_named_in_the_one_place_that_counts(url: str, other: str) -> None:
    assert on_same_server(url, "scratch") == other
