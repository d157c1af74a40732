"""Addresses in the forms people write them."""

from __future__ import annotations

import pytest

from migration_gate.postgres.url import UnusableUrl, masked_url, plain_url, sqlalchemy_url

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
        ("postgresql:///library?host=/run&password=s3cret", "postgresql:///library"),
    ],
)
def test_a_masked_address_shows_where_and_never_the_secret(url: str, masked: str) -> None:
    assert masked_url(url) == masked
