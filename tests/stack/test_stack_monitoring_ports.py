"""Which ports the monitoring listens on."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from stack.errors import PortTaken
from stack.monitoring import Ports
from stack.monitoring.free_ports import AskedPorts, choose_ports
from stack.ports import free_port

SERVICE = 1


@pytest.fixture
def squatted() -> Iterator[int]:
    """A port of the loopback address that this process listens on."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as squatter:
        yield squatter.getsockname()[1]


@pytest.fixture
def said() -> list[str]:
    return []


def three_free() -> Ports:
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(free_port())
    return Ports(*ports)


def test_the_usual_ports_are_taken_when_they_are_free(said: list[str]) -> None:
    usual = three_free()
    assert choose_ports(AskedPorts(), SERVICE, said.append, usual) == usual
    assert said == []


def test_a_usual_port_that_is_taken_is_left_for_the_next_free_one(said: list[str], squatted: int) -> None:
    usual = three_free()
    chosen = choose_ports(AskedPorts(), SERVICE, said.append, Ports(squatted, usual.alertmanager, usual.incidents))
    assert chosen.prometheus > squatted
    assert chosen.prometheus not in (usual.alertmanager, usual.incidents)
    assert (chosen.alertmanager, chosen.incidents) == (usual.alertmanager, usual.incidents)
    [line] = said
    assert line.startswith(f"port {squatted} is taken by pid {os.getpid()} (")
    assert line.endswith(f"): Prometheus listens on {chosen.prometheus}")


def test_the_service_has_its_port_first(said: list[str]) -> None:
    usual = three_free()
    chosen = choose_ports(AskedPorts(), usual.alertmanager, said.append, usual)
    assert chosen.alertmanager != usual.alertmanager
    assert said == [f"port {usual.alertmanager} is taken by --port: Alertmanager listens on {chosen.alertmanager}"]


def test_what_is_asked_for_is_taken_and_nobody_else_takes_it(said: list[str]) -> None:
    usual = three_free()
    chosen = choose_ports(AskedPorts(incidents=usual.prometheus), SERVICE, said.append, usual)
    assert chosen.incidents == usual.prometheus
    assert len(set(vars(chosen).values())) == 3


def test_a_port_that_is_asked_for_and_taken_is_an_error(said: list[str], squatted: int) -> None:
    with pytest.raises(PortTaken) as caught:
        choose_ports(AskedPorts(alertmanager=squatted), SERVICE, said.append)
    assert f"port {squatted} on 127.0.0.1 is taken by pid {os.getpid()} (" in str(caught.value)
    assert f"(stack up --monitoring --alertmanager-port {squatted + 1})" in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "service", "complaint"),
    [
        (AskedPorts(prometheus=8000), 8000, "--prometheus-port and --port are both 8000"),
        (AskedPorts(prometheus=8001, incidents=8001), 8000, "--incidents-port and --prometheus-port are both 8001"),
    ],
)
def test_one_port_cannot_be_asked_for_twice(asked: AskedPorts, service: int, complaint: str) -> None:
    with pytest.raises(PortTaken, match=complaint):
        choose_ports(asked, service, lambda _: None)
