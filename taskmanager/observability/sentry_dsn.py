"""The address of a Sentry project, checked without Sentry's library, which is imported only where there is one."""

from __future__ import annotations

from urllib.parse import urlsplit

_FORM = "copy it from the project's settings in Sentry (Client Keys): https://PUBLIC_KEY@HOST/PROJECT_NUMBER"


def checked_dsn(dsn: str | None) -> str | None:
    """The DSN as it is.

    Raises
    ------
    ValueError: the library could not use it. The message has no part of it, since it may hold a secret.
    """
    if dsn is None:
        return None
    try:
        parts = urlsplit(dsn)
        # Reading a port that is no number raises.
        address = parts.hostname if parts.port != 0 else None
    except ValueError:
        raise ValueError(f"this is no address; {_FORM}") from None
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"it does not begin with https:// (or http://); {_FORM}")
    if not address:
        raise ValueError(f"it names no host; {_FORM}")
    if not parts.username:
        raise ValueError(f"it has no public key before the @; {_FORM}")
    if not parts.path.rpartition("/")[2].isascii() or not parts.path.rpartition("/")[2].isdigit():
        raise ValueError(f"it does not end with the project's number; {_FORM}")
    return dsn
