"""What the front door answers in the application's place."""

from __future__ import annotations

from dataclasses import dataclass

RawHeaders = tuple[tuple[bytes, bytes], ...]
"""Headers as ASGI takes them: names in lower case."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not go on: what a problem document says of it, and the headers beside that."""

    status: int
    code: str
    detail: str
    headers: RawHeaders = ()
