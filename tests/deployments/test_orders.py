"""The launcher's side of a command that does not read what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack.deploy import orders as module
from stack.deploy import unix_sockets
from stack.deploy.deployer import Deployer, Order
from stack.deploy.orders import SOCKET, Orders
from stack.deploy.record import Record, Result
from stack.deploy.steps import Listen
from stack.process import wait_until


class Talkative(Deployer):
    """Says more than a socket holds."""

    ended = False

    def __init__(self) -> None:
        pass

    def carry_out(self, order: Order, listen: Listen) -> Record:
        for _ in range(2000):
            listen({"event": "note", "step": "migrate", "note": 1000 * "x"})
        self.ended = True
        return Record(1, order.verb, "new", "old", result=Result.SUCCEEDED)


def test_a_command_that_was_paused_holds_up_no_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAY_SECONDS", 1)
    deployer = Talkative()
    orders = Orders(tmp_path, deployer, tmp_path, lambda line: None)
    orders.start()
    try:
        with unix_sockets.connect(tmp_path / SOCKET, 5) as command:
            command.sendall(json.dumps({"order": "deploy", "reference": "new"}).encode() + b"\n")
            assert wait_until(lambda: deployer.ended, 20)
    finally:
        orders.stop(5)


def test_nobody_else_may_give_orders(tmp_path: Path) -> None:
    orders = Orders(tmp_path, Talkative(), tmp_path, lambda line: None)
    orders.start()
    try:
        assert (tmp_path / SOCKET).stat().st_mode & 0o777 == 0o600
    finally:
        orders.stop(5)
