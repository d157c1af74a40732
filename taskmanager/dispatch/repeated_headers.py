"""Header lines that a request holds more than once (RFC 9110, section 5.3)."""

from __future__ import annotations

from collections.abc import Iterable

RawHeaders = list[tuple[bytes, bytes]]

# Two lines of one of these contradict each other, and who takes the first and who takes the last would disagree on
# who calls, or on what was sent.
_SINGLE = frozenset(
    {b"authorization", b"content-type", b"content-length", b"host", b"idempotency-key", b"transfer-encoding"}
)

# No list by their definition, and none that two copies of could hurt.
_LAST = frozenset({b"x-request-id"})


class RepeatedHeader(ValueError):
    """A header that may be given once was given again. Its message names it and not its value."""


def without_repetition(headers: Iterable[tuple[bytes, bytes]]) -> tuple[RawHeaders, dict[bytes, bytes]]:
    """The headers with one line a name, as a list and by name; the lines of a list are joined.

    Raises
    ------
    RepeatedHeader: see there.
    """
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in joined or name in _LAST:
            joined[name] = value
        elif name in _SINGLE:
            raise RepeatedHeader(f"The header {name.decode().title()} may be given once.")
        elif name == b"cookie":
            joined[name] += b"; " + value
        else:
            joined[name] += b", " + value
    return list(joined.items()), joined
