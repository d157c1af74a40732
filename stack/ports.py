"""TCP ports: whether one can be had, a free one, and who holds a taken one."""

import contextlib
import errno
import socket
from collections.abc import Callable

from stack.errors import PortTaken, StackError

LOOPBACK = "127.0.0.1"
LAST = 65535
FALLBACK = 8000
_ANY_HOST = "Use --host 127.0.0.1, or 0.0.0.0 for all (make run HOST=127.0.0.1)"


def _make_run(port: int) -> str:
    return f"make run PORT={port}"


def require_bindable(host: str, port: int, command: Callable[[int], str] = _make_run) -> None:
    """Raises PortTaken, or StackError when the host is not an address of this machine.

    `command` is how another port is asked for.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # As the server does: connections that linger in TIME_WAIT must not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    # No label of a name may be empty or long: Python encodes the name itself, and complains in its own way.
    except UnicodeError as error:
        raise StackError(f"cannot listen on {host}: it is no address and no name. {_ANY_HOST}") from error
    except OSError as error:
        raise _refusal(host, port, error, command) from error


def _refusal(host: str, port: int, error: OSError, command: Callable[[int], str]) -> StackError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} on {host} is taken{holder(port)}: stop what uses it, or choose another port "
            f"({command(port + 1 if port < LAST else FALLBACK)})"
        )
    if error.errno == errno.EACCES:
        return PortTaken(f"port {port} needs privileges: choose one above 1023 ({command(FALLBACK)})")
    return StackError(f"cannot listen on {host}: {error.strerror or error}. {_ANY_HOST}")


def holder(port: int) -> str:
    """` by pid 42 (python -m http.server)`, or nothing where the system does not tell."""
    try:
        import psutil
    except ImportError:
        return ""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status != psutil.CONN_LISTEN or not address or address.port != port:
                continue
            if connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f" by pid {connection.pid} ({command[:60]})"
    return ""


def is_free(port: int) -> bool:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True


def free_port() -> int:
    """A port that was free on the loopback address a moment ago; another process may take it meanwhile."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
