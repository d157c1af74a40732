"""The service as a child process: starting it, and asking it whether it is ready."""

import http.client
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from stack.errors import StackError
from stack.process import GuardedProcess, describe_end

STOP_GRACE_SECONDS = 15.0
REQUEST_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.05
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


def service_command(host: str, port: int) -> list[str]:
    return [sys.executable, "-m", "taskmanager", "serve", "--host", host, "--port", str(port)]


def reachable_host(host: str) -> str:
    """The address to ask when the service listens on `host`, which may stand for all addresses."""
    return ANY_ADDRESS.get(host, host)


def base_url(host: str, port: int) -> str:
    name = reachable_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def start_service(command: Sequence[str], variables: Mapping[str, str]) -> GuardedProcess:
    """Runs the service with `variables` over this process's environment; its output goes where ours goes."""
    return GuardedProcess(command, name="the service", env={**os.environ, **variables}, grace=STOP_GRACE_SECONDS)


def wait_until_ready(service: GuardedProcess, host: str, port: int, timeout: float, say: Callable[[str], None]) -> bool:
    """Asks /readyz until it answers 200, for up to `timeout` seconds; then says what /health knows.

    Raises StackError when the service ends instead.
    """
    deadline = time.monotonic() + timeout
    announced = False
    while time.monotonic() < deadline:
        if (code := service.poll()) is not None:
            raise StackError(f"the service ended with {describe_end(code)} before it was ready: its last lines say why")
        status, _ = get(host, port, "/readyz")
        if status == 200:
            return True
        if status is not None and not announced:
            say("the service answers; waiting for the schema …")
            announced = True
        time.sleep(POLL_SECONDS)
    _, body = get(host, port, "/health")
    say(f"the service is not ready after {timeout:.0f} s; it goes on. /health says: {body or 'nothing'}")
    return False


def get(host: str, port: int, path: str) -> tuple[int | None, str]:
    """Status and body, (None, "") when nothing answers. Not by urllib, which obeys proxy variables."""
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=REQUEST_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()
