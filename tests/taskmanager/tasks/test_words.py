"""Which characters part words: see also tests/hostile/test_round_trips.py, where PostgreSQL answers."""

from __future__ import annotations

import re
import string
import sys

from taskmanager.tasks import words

# PostgreSQL's escapes are Python's too.
SIGN = re.compile(f"[{words._SIGNS}]")
SIGNS = {character for character in map(chr, range(sys.maxunicode + 1)) if SIGN.match(character)}


def test_no_letter_and_no_digit_is_a_sign() -> None:
    """What `q` needs one of is left of it."""
    assert [sign for sign in SIGNS if sign.isalnum()] == []


def test_of_ascii_all_the_rest_are_signs() -> None:
    assert {*map(chr, range(1, 128))} - SIGNS == {*string.ascii_letters, *string.digits}


def test_every_blank_of_latin_text_and_what_stands_around_its_words_is_a_sign() -> None:
    assert {*"\u00a0\u202f\u2009\u3000\u200b\ufeff«»‹›“”„‘’‚…–—·•¿¡§©€™→−×、。「」（）！？🦊"} <= SIGNS  # noqa: RUF001


def test_what_joins_letters_is_none() -> None:
    assert SIGNS.isdisjoint("\u0301\u093e\u094d\u0e31\u200c\u200d")
