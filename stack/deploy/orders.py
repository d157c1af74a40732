"""How `stack deploy` reaches the launcher: a Unix socket in the data folder, and lines of JSON.

    → {"order": "deploy", "reference": "v1.4", "source": "/srv/taskmanager"}
    ← {"event": "began", "step": "migrate", …}  …  {"event": "end", "record": {…}}
    → {"order": "cancel"}      at any time: the running step is finished, and what was begun is taken back

The launcher does the work, so that a terminal that closes leaves nothing half done: then the deployment goes on.
"""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from stack.deploy import unix_sockets
from stack.deploy.deployer import Deployer, Order
from stack.deploy.errors import NothingRuns
from stack.deploy.steps import Event
from stack.errors import StackError

SOCKET = "deploy.sock"
CONNECT_SECONDS = 5.0
ORDER_SECONDS = 10.0
SAY_SECONDS = 2
LONGEST_ORDER = 65536
VERBS = ("deploy", "rollback")


class Orders:
    """Listens in `data` from start() on, in threads of its own; `say` is told what happens."""

    def __init__(self, data: Path, deployer: Deployer, source: Path, say: Callable[[str], None]) -> None:
        self._path = data / SOCKET
        self._deployer = deployer
        self._source = source
        self._say = say
        self._listener: socket.socket | None = None
        self._at_work: set[Order] = set()
        self._idle = threading.Condition()

    def start(self) -> None:
        self._listener = unix_sockets.listen(self._path)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="orders").start()

    def stop(self, timeout: float) -> None:
        """Takes no more orders, cancels the one at work, and waits up to `timeout` seconds for its end."""
        if self._listener is None:
            return
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._idle:
            for order in self._at_work:
                order.cancelled.set()
            self._idle.wait_for(lambda: not self._at_work, timeout)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="order").start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            told = _Told(connection)
            try:
                connection.settimeout(ORDER_SECONDS)
                asked = json.loads(lines.readline(LONGEST_ORDER))
                order = Order(asked["order"], f"{asked.get('reference') or ''}", Path(asked.get("source") or "."))
                if order.verb not in VERBS:
                    raise ValueError(order.verb)
                connection.settimeout(None)
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                told.say({"event": "refused", "reason": "this is no order", "exit_code": 2})
                return
            threading.Thread(target=_listen_for_cancel, args=(lines, order), daemon=True, name="cancel").start()
            self._carry_out(order, told)
            # Ends the reading of the other thread, which holds the file open.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _carry_out(self, order: Order, told: "_Told") -> None:
        if order.verb == "rollback" and not order.reference:
            order = Order(order.verb, self._deployer.state.previous, order.source, order.cancelled)
            if not order.reference:
                told.say(
                    {"event": "refused", "reason": "no release before this one is known: name one", "exit_code": 5}
                )
                return
        with self._idle:
            self._at_work.add(order)
        try:
            record = self._deployer.carry_out(order, told.say)
            self._say(
                f"{order.verb} {order.reference}: {record.result.value}{f', {record.reason}' if record.reason else ''}"
            )
            told.say({"event": "end", "record": record.as_json()})
        except StackError as error:
            told.say({"event": "refused", "reason": f"{error}", "exit_code": error.exit_code})
        except Exception as error:  # noqa: BLE001  whoever waits has to be told, and the launcher goes on
            self._say(f"{order.verb} {order.reference} failed: {type(error).__name__}: {error}")
            told.say({"event": "refused", "reason": f"{type(error).__name__}: {error}", "exit_code": 1})
        finally:
            with self._idle:
                self._at_work.discard(order)
                self._idle.notify_all()


class _Told:
    """Who ordered it; whether anybody still listens changes nothing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._listens = True
        # Of a command that was paused: the deployment does not wait for it. (A timeout of the socket's would be one
        # for reading the cancel as well.)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SAY_SECONDS, 0))

    def say(self, event: Event) -> None:
        if not self._listens:
            return
        try:
            self._connection.sendall(json.dumps(event).encode() + b"\n")
        except OSError:
            # Half a line may have gone out, which no other line may follow.
            self._listens = False


def _listen_for_cancel(lines: Iterator[bytes], order: Order) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in lines:
            if json.loads(line).get("order") == "cancel":
                order.cancelled.set()


class Connection:
    """The side of the command. Raises NothingRuns where nobody listens in `data`."""

    def __init__(self, data: Path) -> None:
        try:
            self._connection = unix_sockets.connect(data.absolute() / SOCKET, CONNECT_SECONDS)
        except OSError as error:
            raise NothingRuns(
                f"no `stack up --replicas` runs with the data in {data}: start one, or name its folder with --data"
            ) from error
        self._connection.settimeout(None)
        self._lines = self._connection.makefile("rb")

    def order(self, verb: str, reference: str, source: Path) -> None:
        self._send({"order": verb, "reference": reference, "source": f"{source.absolute()}"})

    def cancel(self) -> None:
        with contextlib.suppress(OSError):
            self._send({"order": "cancel"})

    def next_event(self) -> Event | None:
        """None once the launcher has ended, or has nothing more to tell."""
        try:
            line = self._lines.readline()
            # A launcher that was killed may have told half a line.
            return json.loads(line) if line else None
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        self._lines.close()
        self._connection.close()

    def _send(self, order: dict[str, str]) -> None:
        self._connection.sendall(json.dumps(order).encode() + b"\n")
