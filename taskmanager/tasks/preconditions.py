"""If-Match and If-None-Match: a task's version as an entity tag (RFC 9110, sections 8.8.3 and 13.1).

The tag of version 3 is `"3"`, strong: two answers with it hold the same bytes. Tags that are not of this form are
somebody else's and match nothing. Pure: the writing statements compare versions themselves, in the database.

RFC 9110 does not say what an unreadable precondition means. It is refused with 400: to ignore If-Match would write
what the client wanted to write only under a condition, and 412 would tell it to read again and send the same header.
"""

from __future__ import annotations

import re

from taskmanager.problems import MalformedHeader

# Above what a client that keeps every tag it has seen sends, and little to read.
LONGEST_LIST = 8192

# RFC 9110, section 5.6.1.2: between the commas an element may be lacking. `W/` is case-sensitive.
_ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)')

# How this service spells a version, and no other way; none has more digits than PostgreSQL's bigint.
_VERSION = re.compile(r"[1-9]\d{0,18}", re.ASCII)
_LARGEST_VERSION = 2**63 - 1


def entity_tag(version: int) -> bytes:
    """The entity tag of a task's version, as a header holds it."""
    return b'"%d"' % version


def versions_to_match(if_match: str | None) -> list[int] | None:
    """The versions that If-Match lets be written; None where any may be: without the header, or with `*`.

    By strong comparison: a weak tag matches nothing (RFC 9110, section 13.1.1).

    Raises
    ------
    MalformedHeader: the value is neither `*` nor a list of entity tags.
    """
    if if_match is None or if_match.strip(" \t") == "*":
        return None
    return [version for version, weak in _versions("If-Match", if_match) if not weak]


def is_known(if_none_match: str, version: int) -> bool:
    """Does the client have this version already? By weak comparison (RFC 9110, section 13.1.2).

    Raises
    ------
    MalformedHeader: the value is neither `*` nor a list of entity tags.
    """
    if if_none_match.strip(" \t") == "*":
        return True
    return any(known == version for known, _ in _versions("If-None-Match", if_none_match))


def _versions(name: str, value: str) -> list[tuple[int, bool]]:
    """The versions among a list of entity tags, each with whether its tag is weak."""
    if len(value) > LONGEST_LIST:
        raise MalformedHeader(name, f"is longer than {LONGEST_LIST} characters")
    versions = []
    end = 0
    while end < len(value):
        element = _ELEMENT.match(value, end)
        if element is None:
            raise MalformedHeader(name, 'must be * or entity tags with commas between them, each in quotes: "3"')
        end = element.end()
        weak, tag = element.groups()
        if tag is not None and _VERSION.fullmatch(tag) and (version := int(tag)) <= _LARGEST_VERSION:
            versions.append((version, weak is not None))
    return versions
