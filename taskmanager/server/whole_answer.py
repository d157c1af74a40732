"""Head and body of an answer in one write to the socket, where the application has both at once."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle


def write_whole(
    cycle: RequestResponseCycle, status: int, headers: list[tuple[bytes, bytes]], constant: bytes, body: bytes
) -> bool:
    """Write an answer at once, as the cycle's `send` would in two writes; False where it cannot be.

    Parameters
    ----------
    headers: with names in lower case, a content-length or a status that has none, and no `connection`.
    constant: header lines as they are sent, which never hold anything of a request.
    """
    if cycle.flow.write_paused or cycle.response_started:
        return False
    cycle.response_started = cycle.response_complete = True
    # The scope holds this function, bound to the cycle that holds the scope.
    cycle.scope.pop("extensions", None)
    cycle.waiting_for_100_continue = False
    cycle.message_event.set()
    if cycle.disconnected or cycle.transport.is_closing():
        return True
    if HEADER_VALUE_RE.search(b"".join([value for _, value in headers])):
        raise RuntimeError("a header has a value that HTTP does not allow")
    parts = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        parts += (name, b": ", value, b"\r\n")
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (constant, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
    cycle.transport.write(b"".join(parts))
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True
