"""A response whose JSON text PostgreSQL has made already."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

RawHeaders = Sequence[tuple[bytes, bytes]]


class JsonText(Response):
    """JSON text as it is, with the headers that are given and no others.

    Starlette's own constructor looks for a charset, a media type and a background task each time; this one is
    on every request's way.

    Parameters
    ----------
    text: the JSON, already encoded or not; empty for an answer without a body.
    status_code: the HTTP status.
    headers: raw, their names in lower case, without content-type and content-length.
    """

    def __init__(self, text: str | bytes = b"", status_code: int = 200, headers: RawHeaders = ()) -> None:
        self.status_code = status_code
        self.body = text.encode() if isinstance(text, str) else text
        self.background = None
        self.raw_headers = [*headers]
        if self.body:
            self.raw_headers.append((b"content-type", b"application/json"))
        if status_code not in (204, 304):
            self.raw_headers.append((b"content-length", b"%d" % len(self.body)))
