"""What never leaves this process: values. Logs, Sentry and traces all go by this room.

Of an error its type and place are told, and its words only where PostgreSQL or the gate wrote them and they quote no
row; of a local variable its name and its type; of a text that others wrote, what is left when all that it may quote is
taken out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from migration_gate.errors import MigrationGateError
from migration_gate.postgres.faults import NOT_TOLD, primary_message
from migration_gate.withheld import withheld

# Beyond these lines PostgreSQL's drivers, and SQLAlchemy after them, quote rows, statements and parameters. A value may
# hold line breaks, so nothing behind the first of them can be told from it.
_QUOTING = re.compile(
    r"^[ \t]*(?:(?:DETAIL|DÉTAIL|CONTEXT|CONTEXTE|QUERY|WHERE)[ \t\u00a0\u202f]*:|LINE \d+:|\[SQL:|\[parameters:)"
    r"|Failing row contains|La ligne en échec contient",
    re.MULTILINE,
)
_KEY_AND_VALUE = re.compile(r"\([^()\n]*\)=\(.*\)", re.DOTALL)
_EMAIL_ADDRESS = re.compile(r"[^\s@\"'<>()\[\]=,;:/]+@[^\s@\"'<>()\[\]=,;:/]+\.[^\s@\"'<>()\[\]=,;:/]+")
_API_KEY = re.compile(r"\btm_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
_QUERY_STRING = re.compile(r"\?[^\s\"'<>]*=[^\s\"'<>]*")
# Not an apostrophe within or behind a word, which is how people write.
_SINGLE_QUOTED = re.compile(r"(?<!\w)[bBrRuUfF]{0,2}'(?:[^'\\]|\\.)*'", re.DOTALL)
_DOUBLE_QUOTED = re.compile(r"(?<!\w)[bBrRuUfF]{0,2}\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_ARGUMENTS_OF_ERROR = re.compile(r"\b(exception=[\w.]+)\(.*\)", re.DOTALL)
# Where we listen comes as a URL and is ours; whoever is connected comes without a scheme.
_IP_ADDRESS = re.compile(
    r"(?<![\w./:])(?:\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"
    r"|\[?(?:[0-9a-fA-F]{0,4}:){2,7}(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4})(?:%\w+)?\]?)(?!\w|\.\d)"
)

_TAKEN_OUT = "…"


def told(error: BaseException) -> str:
    """What may be told of an exception: PostgreSQL's primary message, the gate's own words, and nothing that may quote
    a value."""
    message = primary_message(error)
    if message is None and isinstance(error, MigrationGateError):
        # It may show the statement that was refused, with the literals in it.
        message = _SINGLE_QUOTED.sub(f"'{_TAKEN_OUT}'", scrubbed(error.message))
    # Whom pg_hba.conf does not admit is told by address.
    return without_addresses(message) if message else NOT_TOLD


def scrubbed(text: str) -> str:
    """A text of ours or of PostgreSQL's without rows, e-mail addresses, keys, passwords and query strings.

    What stands in quotes stays: names of tables, files and settings.
    """
    if (quoting := _QUOTING.search(text)) is not None:
        text = text[: quoting.start()].rstrip() + " " + _TAKEN_OUT
    text = _KEY_AND_VALUE.sub(f"({_TAKEN_OUT})=({_TAKEN_OUT})", withheld(text))
    text = _API_KEY.sub(f"tm_{_TAKEN_OUT}", text)
    text = _QUERY_STRING.sub(f"?{_TAKEN_OUT}", text)
    return _EMAIL_ADDRESS.sub(_TAKEN_OUT, text)


def scrubbed_of_others(text: str) -> str:
    """As `scrubbed`, for a text that no code of ours wrote: without all that stands in quotes, without the arguments of
    exceptions, and without who is connected."""
    text = _ARGUMENTS_OF_ERROR.sub(rf"\1({_TAKEN_OUT})", scrubbed(text))
    text = _SINGLE_QUOTED.sub(f"'{_TAKEN_OUT}'", text)
    return without_addresses(_DOUBLE_QUOTED.sub(f'"{_TAKEN_OUT}"', text))


def without_addresses(text: str) -> str:
    """The text without IP addresses, but for those in a URL."""
    return _IP_ADDRESS.sub(_shown_address, text)


def _shown_address(found: re.Match[str]) -> str:
    # A time of day is written with colons too.
    text = found.group()
    return _TAKEN_OUT if "." in text or "::" in text or text.count(":") > 2 else text


def kinds(variables: Mapping[str, object]) -> dict[str, str]:
    """Of each variable its name and its type: `{"title": "<str>"}`."""
    return {name: f"<{type(value).__qualname__}>" for name, value in variables.items()}
