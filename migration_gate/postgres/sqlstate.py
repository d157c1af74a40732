"""What a SQLSTATE tells: which wait was cut short, and what mends a migration's statement that was refused."""

from __future__ import annotations

# After `lock_timeout`, and after `statement_timeout` or somebody's pg_cancel_backend.
LOCK_NOT_AVAILABLE = "55P03"
QUERY_CANCELED = "57014"

_ROWS = "write a revision before this one that mends the rows which break it; then run this command again"
_ROOM = "make room on the server, for twice the table where it is rewritten; then run this command again"

_SOLUTIONS = {
    "23502": _ROWS,
    "23503": _ROWS,
    "23505": _ROWS,
    "23514": _ROWS,
    "23P01": _ROWS,
    "42501": (
        "GRANT the migrator's role what the statement needs (CREATE on the schema; membership of the role that owns"
        " the table); then run this command again"
    ),
    "53100": _ROOM,
    "53400": "raise the limit that the message names, for the migrator's role; then run this command again",
    "55P04": "add the value in a revision of its own, before the one that uses it; then run this command again",
}


def mending(sqlstate: str | None) -> str:
    """A sentence that says what to do, empty where the code alone does not tell."""
    return _SOLUTIONS.get(sqlstate or "", "")
