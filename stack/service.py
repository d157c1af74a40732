"""The service as a child process: starting it, and asking it whether it is ready, and why it is not."""

import http.client
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from stack.errors import StackError
from stack.health import Health, read_health
from stack.process import GuardedProcess, describe_end, wait_until

STOP_GRACE_SECONDS = 15.0
REQUEST_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.05
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - compared, not bound


def service_command(host: str, port: int) -> list[str]:
    return [sys.executable, "-m", "taskmanager", "serve", "--host", host, "--port", str(port)]


def reachable_host(host: str) -> str:
    """The address to ask when the service listens on `host`, which may stand for all addresses."""
    return ANY_ADDRESS.get(host, host)


def reachable_address(host: str, port: int) -> str:
    """HOST:PORT, as it stands in a URL."""
    name = reachable_host(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def base_url(host: str, port: int) -> str:
    return f"http://{reachable_address(host, port)}"


def start_service(command: Sequence[str], variables: Mapping[str, str]) -> GuardedProcess:
    """Runs the service with `variables` over this process's environment; its output goes where ours goes."""
    return GuardedProcess(command, name="the service", env={**os.environ, **variables}, grace=STOP_GRACE_SECONDS)


def wait_until_ready(
    service: GuardedProcess, host: str, port: int, say: Callable[[str], None], *, timeout: float, patience: float
) -> Health | None:
    """Asks /readyz until it answers 200, and says what /health says meanwhile, whenever that changes.

    Waits up to `timeout` seconds, and no longer than `patience` seconds after the first answer.

    Returns None once it is ready, otherwise what /health said last: at the end of the time, or as soon as
    waiting is vain.

    Raises StackError when the service ends instead.
    """
    deadline = time.monotonic() + timeout
    answered = False
    health, said = Health(), ""
    while time.monotonic() < deadline:
        if (code := service.poll()) is not None:
            raise StackError(f"the service ended with {describe_end(code)} before it was ready: its last lines say why")
        status, _ = get(host, port, "/readyz")
        if status == 200:
            return None
        if status is not None:
            if not answered:
                answered, deadline = True, min(deadline, time.monotonic() + patience)
            _, body = get(host, port, "/health")
            health = read_health(body) if body else health
            if (line := health.describe()) not in ("", said):
                say(line)
                said = line
            if health.why_waiting_is_vain():
                return health
        time.sleep(POLL_SECONDS)
    return health


def answers(service: GuardedProcess, host: str, port: int, timeout: float) -> bool:
    """Whether it answers anything within `timeout` seconds; False as soon as it has ended."""
    wait_until(lambda: service.poll() is not None or get(host, port, "/livez")[0] is not None, timeout)
    return service.poll() is None


def get(host: str, port: int, path: str, key: str = "") -> tuple[int | None, str]:
    """Status and body, (None, "") when nothing answers. Not by urllib, which obeys proxy variables.

    `key` is an API key to show, none when empty.
    """
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=REQUEST_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException):
        return None, ""
    finally:
        connection.close()
