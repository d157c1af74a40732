"""On which ports the monitoring listens: those that are asked for, otherwise the usual ones or the next free."""

from collections.abc import Callable
from dataclasses import dataclass

from stack.errors import PortTaken
from stack.monitoring.monitoring import Ports
from stack.ports import LAST, LOOPBACK, holder, is_free, require_bindable

# The field of Ports, and what people call the program.
NAMES = {"prometheus": "Prometheus", "alertmanager": "Alertmanager", "incidents": "the incident receiver"}


@dataclass(frozen=True)
class AskedPorts:
    """Those that the command line names; None: any."""

    prometheus: int | None = None
    alertmanager: int | None = None
    incidents: int | None = None


def choose_ports(
    asked: AskedPorts, service_port: int, say: Callable[[str], None], preferred: Ports | None = None
) -> Ports:
    """Says which of the `preferred` ports (None: the usual ones) was taken, and what is used instead.

    Raises PortTaken when one that was asked for is not to be had, or is asked for twice.
    """
    usual = vars(preferred or Ports())
    used = {service_port: "--port"}
    for field, port in vars(asked).items():
        if port is not None:
            _require(field, port, used)
            used[port] = _option(field)
    chosen = {field: port for field, port in vars(asked).items() if port is not None}
    for field in [field for field in usual if field not in chosen]:
        # Not another one's usual port either, which it would then have to leave in turn.
        avoided = used.keys() | (set(usual.values()) - {usual[field]})
        chosen[field] = _next_free(usual[field], avoided)
        used[chosen[field]] = _option(field)
        if chosen[field] != usual[field]:
            by = f" by {used[usual[field]]}" if usual[field] in used else holder(usual[field])
            say(f"port {usual[field]} is taken{by}: {NAMES[field]} listens on {chosen[field]}")
    return Ports(**chosen)


def _require(field: str, port: int, used: dict[int, str]) -> None:
    if port in used:
        raise PortTaken(f"{_option(field)} and {used[port]} are both {port}: choose another port for one of them")
    require_bindable(LOOPBACK, port, lambda other: f"stack up --monitoring {_option(field)} {other}")


def _option(field: str) -> str:
    return f"--{field}-port"


def _next_free(port: int, avoided: set[int]) -> int:
    for candidate in range(port, LAST + 1):
        if candidate not in avoided and is_free(candidate):
            return candidate
    raise PortTaken(f"no port from {port} on is free")
