"""A request's body, read whole before the request takes a place, and given back to whoever reads it again."""

from __future__ import annotations

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive


async def whole_body(receive: Receive, largest_bytes: int) -> bytes | None:
    """The whole body; None where it is longer than is taken.

    Raises
    ------
    ClientDisconnect: the client left before its body was complete.
    """
    content: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        content += message.get("body", b"")
        if len(content) > largest_bytes:
            return None
        if not message.get("more_body"):
            return content


def replaying(content: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body that was read already."""
    unread: bytes | None = content

    async def replay() -> Message:
        nonlocal unread
        if unread is None:
            return await receive()
        message = {"type": "http.request", "body": unread, "more_body": False}
        unread = None
        return message

    return replay
