"""HAProxy's runtime API: a slot is let in, drained and put out without a reload."""

import csv
import time
from collections.abc import Callable
from pathlib import Path

from stack.deploy import unix_sockets
from stack.deploy.balance import Counts
from stack.deploy.haproxy_configuration import BACKENDS, READY
from stack.deploy.slots import Slot
from stack.errors import StackError

ANSWER_SECONDS = 5.0
# A server that is let in gets requests at once, and its first check follows.
UP_SECONDS = 5.0
POLL_SECONDS = 0.02
RETRY_SECONDS = 0.1
_REFUSALS = ("No such", "Unknown", "Invalid", "Require", "Can't", "Permission", "invalid", "unknown")


class Haproxy:
    """The balancer of a rollout.

    `ask` gives HAProxy's runtime API an order and returns its answer; `by_name` is whether it finds the slots by name,
    so that it need not be told where they are.
    """

    def __init__(self, ask: Callable[[str], str], *, by_name: bool = False) -> None:
        self._ask = ask
        self._by_name = by_name

    def admit(self, slot: Slot) -> None:
        for backend in BACKENDS:
            server = f"{backend}/{slot.name}"
            if not self._by_name:
                self._order(f"set server {server} addr {slot.host} port {slot.port}")
            self._order(f"set server {server} state ready")
        # Whoever lets it in has asked /readyz; HAProxy asks for itself before the old replica is drained.
        deadline = time.monotonic() + UP_SECONDS
        while not self._row(READY, slot)["status"].startswith("UP"):
            if time.monotonic() >= deadline:
                raise StackError(f"HAProxy does not find {slot.name} ready: {self._row(READY, slot)['status']}")
            time.sleep(POLL_SECONDS)

    def readdress(self, slot: Slot) -> None:
        """Where its replica listens has changed; whether it gets requests has not."""
        for backend in BACKENDS:
            self._order(f"set server {backend}/{slot.name} addr {slot.host} port {slot.port}")

    def drain(self, slot: Slot) -> None:
        for backend in BACKENDS:
            self._order(f"set server {backend}/{slot.name} state drain")

    def put_out(self, slot: Slot) -> None:
        for backend in BACKENDS:
            self._order(f"set server {backend}/{slot.name} state maint")

    def in_work(self, slot: Slot) -> int:
        rows = [self._row(backend, slot) for backend in BACKENDS]
        return sum(int(row["scur"] or 0) + int(row["qcur"] or 0) for row in rows)

    def gets_requests(self, slot: Slot) -> bool:
        """Whether it is let in, and found ready."""
        return self._row(READY, slot)["status"].startswith("UP")

    def counts(self) -> dict[str, Counts]:
        rows = [row for row in self._rows() if row["pxname"] in BACKENDS and row["svname"] not in _SUMS]
        counts: dict[str, Counts] = {}
        for row in rows:
            counts[row["svname"]] = counts.get(row["svname"], Counts()) + _counts(row)
        return counts

    def answers(self) -> bool:
        try:
            self._rows()
        except StackError:
            return False
        return True

    def _row(self, backend: str, slot: Slot) -> dict[str, str]:
        for row in self._rows():
            if (row["pxname"], row["svname"]) == (backend, slot.name):
                return row
        raise StackError(f"HAProxy knows no server {backend}/{slot.name}")

    def _rows(self) -> list[dict[str, str]]:
        text = self._ask("show stat").lstrip("# ").strip()
        rows = list(csv.DictReader(text.splitlines()))
        if not rows or "svname" not in rows[0]:
            raise StackError(f"HAProxy's statistics cannot be read: {text[:80]!r}")
        return rows

    def _order(self, order: str) -> None:
        """Most orders are answered by nothing, a new address by a line that says so."""
        if (answer := self._ask(order).strip()).startswith(_REFUSALS):
            raise StackError(f"HAProxy refused {order!r}: {answer}")


def by_socket(socket: Path, patience: float = 0.0) -> Callable[[str], str]:
    """How the runtime API is asked on its Unix socket. What it returns raises StackError.

    An order that got no answer is given again for `patience` seconds: none does harm twice, and a proxy that was killed
    is started again meanwhile.
    """

    def ask(order: str) -> str:
        deadline = time.monotonic() + patience
        while True:
            try:
                return _ask_once(socket, order)
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise StackError(f"HAProxy does not answer its orders: {error}") from error
            time.sleep(RETRY_SECONDS)

    return ask


def _ask_once(socket: Path, order: str) -> str:
    with unix_sockets.connect(socket, ANSWER_SECONDS) as connection:
        connection.sendall(f"{order}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode(errors="replace")


_SUMS = ("BACKEND", "FRONTEND")


def _counts(row: dict[str, str]) -> Counts:
    failed = sum(int(row[name] or 0) for name in ("hrsp_5xx", "eresp"))
    return Counts(int(row["stot"] or 0), failed)
