"""Asking a server why it refuses sessions, in its protocol's own codes.

libpq tells of a connection that it could not make in words alone, in the server's language. The first message of
the protocol (PostgreSQL's manual, 53.2.1 and 53.7) is answered with a code where the server takes nobody now.
"""

from __future__ import annotations

import socket
import struct

_PROTOCOL_3 = 196_608
_LONGEST_ANSWER = 10_000


def refusal_code(host: str, port: int, user: str, database: str, timeout_s: float = 1.0) -> str | None:
    """The SQLSTATE with which the server refuses a session before it asks who comes, or None where it does not."""
    words = b"".join(part.encode() + b"\0" for part in ("user", user, "database", database)) + b"\0"
    startup = struct.pack("!ii", 8 + len(words), _PROTOCOL_3) + words
    try:
        with connected(host, port, timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(startup)
            with connection.makefile("rb") as answer:
                kind = answer.read(1)
                (length,) = struct.unpack("!i", answer.read(4))
                if kind != b"E" or not 4 <= length <= _LONGEST_ANSWER:
                    return None
                fields = answer.read(length - 4).split(b"\0")
    except (OSError, struct.error):
        return None
    return next((field[1:].decode("ascii", "replace") for field in fields if field[:1] == b"C"), None)


def connected(host: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to the server's port; a host that is a path is the folder of its socket."""
    if not host.startswith("/"):
        return socket.create_connection((host, port), timeout_s)
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    connection.connect(f"{host}/.s.PGSQL.{port}")
    return connection
