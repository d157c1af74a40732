"""HAProxy's configuration: one public port, a server a slot, and an end of a connection that loses no request."""

import json
from collections.abc import Iterable

from stack.deploy.slots import Slot, Stand

SOCKET = "haproxy.sock"
# Requests go to the first; to the second where none of the first is ready, so that clients hear from the service
# itself why: its answer names what is wrong and what to do.
READY, ALIVE = "ready", "alive"
BACKENDS = (READY, ALIVE)
# The service allows 32 KiB to a request's head, and HAProxy reserves a part of its buffer.
BUFFER_BYTES = 49152

_PROBLEMS = {
    400: ("malformed_http", "This is no HTTP request that is understood here."),
    408: ("request_timeout", "The request did not arrive in time."),
    502: ("bad_gateway", "A replica ended, or answered what is no HTTP, while it had this request."),
    503: ("no_replica", "No replica of the service can be reached now."),
    504: ("gateway_timeout", "A replica did not answer in time."),
}

_CONFIGURATION = """\
# Written by `stack up --replicas`; what is changed here is lost at the next start.
global
    stats socket unix@{socket} mode 600 level admin
    stats timeout 1h
    tune.bufsize {buffer}
    hard-stop-after 10s

defaults
    mode http
    # The service's log has each request; a log here would hold addresses and query strings.
    no log
    timeout connect 2s
    timeout client 65s
    timeout server 65s
    timeout queue 5s
    timeout http-request 15s
    timeout http-keep-alive 60s
    # A replica that is out of breath is not one that is gone.
    timeout check 5s
    # Clients keep their connections; towards a replica each request has its own. On a kept one, a request may cross
    # with the end that the replica sets to it, and nobody knows then whether it was done: a POST must not be repeated.
    option http-server-close
    http-reuse never
    # A connection that was refused carried nothing: another replica is asked, whatever the method.
    retries 3
    retry-on conn-failure
    option redispatch 1
{errors}

frontend public
    bind {bind}
    use_backend {alive} if {{ nbsrv({ready}) eq 0 }}
    default_backend {ready}

backend {ready}
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 500ms fastinter 100ms downinter 500ms fall 1 rise 1
{ready_servers}

backend {alive}
    balance roundrobin
{alive_servers}
"""


def render(bind: str, slots: Iterable[Slot], socket: str = SOCKET) -> str:
    """The whole file; `bind` is HOST:PORT, and slots that serve are let in from the start."""
    slots = list(slots)
    return _CONFIGURATION.format(
        socket=socket,
        buffer=BUFFER_BYTES,
        errors="\n".join(map(_error, _PROBLEMS)),
        bind=bind,
        ready=READY,
        alive=ALIVE,
        ready_servers="\n".join(map(_server, slots)),
        alive_servers="\n".join(map(_server, slots)),
    )


def _server(slot: Slot) -> str:
    # An address has to stand there; while the slot is empty nobody is sent to it.
    address = slot.address if slot.port else "127.0.0.1:9"
    return f"    server {slot.name} {address}{'' if slot.stand is Stand.SERVING else ' disabled'}"


def _error(status: int) -> str:
    code, detail = _PROBLEMS[status]
    titles = {400: "Bad Request", 408: "Request Timeout", 502: "Bad Gateway", 503: "Service Unavailable"}
    body = {"type": "about:blank", "title": titles.get(status, "Gateway Timeout"), "status": status}
    document = json.dumps(body | {"code": code, "detail": detail})
    return f"    http-error status {status} content-type application/problem+json string '{document}'"
