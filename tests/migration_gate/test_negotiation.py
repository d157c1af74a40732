"""Who is at a browser, and in which language."""

from __future__ import annotations

import pytest

from migration_gate.negotiation import prefers_french, prefers_page

PAGE = (
    "text/html",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",  # Firefox, Safari
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8",  # Chromium
    "TEXT/HTML",
    "text/html, */*",
    "text/html;level=1",
    "application/json;q=0.5, text/html;q=0.6",
    "text/html, text/plain, text/sgml, */*;q=0.01",  # lynx
    "application/*;q=0.9, text/html",
    "text/html , application/json ; q=0.3",
)
PROBLEM = (
    None,
    "",
    "*/*",
    "application/json",
    "application/problem+json, text/html",
    "text/html, application/json",
    "application/json, text/html;q=0.9",
    "text/html;q=0",
    "text/html;q=0, */*",
    "text/html;q=0.4, */*;q=0.5",
    "text/html;q=nonsense",
    "text/html;q=2",
    "text/html;q=-1",
    "text/html;q=nan",
    "text/htmlx",
    "application/json, text/plain, */*",  # axios
    ";;;,,,q=",
    "text/html;q=0.9, application/*;q=1",
)


def _headers(name: str, value: str | None) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"h")] + ([(name.encode(), value.encode("latin-1"))] if value is not None else [])


@pytest.mark.parametrize("accept", PAGE)
def test_a_browser_prefers_the_page(accept: str) -> None:
    assert prefers_page(_headers("accept", accept))


@pytest.mark.parametrize("accept", PROBLEM)
def test_a_client_prefers_the_problem(accept: str | None) -> None:
    assert not prefers_page(_headers("accept", accept))


def test_several_headers_count_as_one() -> None:
    lines = [(b"accept", b"text/html;q=0.4"), (b"accept", b"application/json;q=0.5")]

    assert prefers_page(lines[:1])
    assert not prefers_page(lines)


def test_bytes_that_are_no_text_are_no_browser() -> None:
    assert not prefers_page([(b"accept", b"\xff\xfe html")])


@pytest.mark.parametrize(
    "language", ["fr", "fr-FR,fr;q=0.9,en-US;q=0.8", "FR-CA", "de, fr;q=0.3", "fr, en", "en;q=0.2,fr"]
)
def test_french_is_spoken_to_who_puts_it_first(language: str) -> None:
    assert prefers_french(_headers("accept-language", language))


@pytest.mark.parametrize(
    "language", [None, "", "en", "en, fr", "en-GB,en;q=0.9,fr;q=0.8", "de", "*", "fr;q=0", "frr", "fro"]
)
def test_english_is_spoken_to_all_others(language: str | None) -> None:
    assert not prefers_french(_headers("accept-language", language))
