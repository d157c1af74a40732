"""docker/haproxy/haproxy.cfg in a real HAProxy, before servers that break off: whose request is asked again."""

from __future__ import annotations

import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.process import wait_until
from tests import plain_http
from tests.processes import ROOT, free_port, lacking

CONFIGURATION = ROOT / "docker" / "haproxy" / "haproxy.cfg"


@pytest.fixture
def program() -> str:
    found = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if found is None:
        lacking("HAProxy", "install Debian's package haproxy")
    return found


class Replica:
    """Ready always; with `breaks` it ends the connection when it has read a request, as a killed process does."""

    def __init__(self) -> None:
        self.breaks = False
        self.got: list[str] = []
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path != "/readyz":
                    replica.got.append(self.command)
                    if replica.breaks:
                        self.close_connection = True
                        return
                # In one piece: who only wants the status is gone after it.
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            def log_message(self, *_arguments: object) -> None:
                pass

        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            setattr(Handler, f"do_{method}", Handler._answer)
        self.server: socketserver.BaseServer = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        port: int = self.server.server_address[1]  # type: ignore[index,assignment]
        return port


@contextmanager
def served(replica: Replica) -> Iterator[Replica]:
    thread = threading.Thread(target=replica.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield replica
    finally:
        replica.server.shutdown()
        replica.server.server_close()
        thread.join()


class Balancer:
    """HAProxy with the file's own words but for addresses: two slots are `replicas`, the others are empty."""

    def __init__(self, program: str, folder: Path, replicas: list[Replica]) -> None:
        self.port, self.statistics, control = free_port(), free_port(), free_port()
        text = CONFIGURATION.read_text()
        for name, own in (
            (":8000\n    # Where", f"127.0.0.1:{self.port}\n    # Where"),
            ("bind :8404", f"bind 127.0.0.1:{self.statistics}"),
            ("127.0.0.1:9999 level", f"127.0.0.1:{control} level"),
        ):
            assert name in text
            text = text.replace(name, own)
        text = text.replace(" resolvers engine resolve-prefer ipv4 init-addr none", "")
        text = re.sub(r"^    server app-[34] .*\n", "", text, flags=re.MULTILINE)
        for number, replica in enumerate(replicas, 1):
            text = text.replace(f"app-{number}:8000", f"127.0.0.1:{replica.port}")
        file = folder / "haproxy.cfg"
        file.write_text(text)
        self.log_file = folder / "haproxy.log"
        with self.log_file.open("w") as log:
            command = [program, "-db", "-f", str(file)]
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)

    def request(self, method: str, path: str = "/tasks", **options: Any) -> httpx.Response:
        return plain_http.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=10, **options)

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/readyz").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@pytest.fixture
def replicas() -> Iterator[list[Replica]]:
    with ExitStack() as running:
        yield [running.enter_context(served(Replica())) for _ in range(2)]


@pytest.fixture
def balancer(program: str, tmp_path: Path, replicas: list[Replica]) -> Iterator[Balancer]:
    balancer = Balancer(program, tmp_path, replicas)
    try:
        assert wait_until(balancer.is_ready, 10), balancer.log
        yield balancer
    finally:
        balancer.process.terminate()
        balancer.process.wait(timeout=20)


def answers(balancer: Balancer, method: str, headers: dict[str, str] | None = None) -> list[int]:
    return [balancer.request(method, headers=headers).status_code for _ in range(6)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_is_read_is_asked_again_of_another_replica(
    method: str, balancer: Balancer, replicas: list[Replica]
) -> None:
    replicas[0].breaks = True
    assert answers(balancer, method) == [200] * 6
    assert replicas[0].got, "the one that breaks off was asked as well"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_changes_something_is_asked_once_and_the_client_hears_that_it_is_not_known(
    method: str, balancer: Balancer, replicas: list[Replica]
) -> None:
    replicas[0].breaks = True
    found = answers(balancer, method)

    assert set(found) == {200, 502}
    assert len(replicas[0].got) + len(replicas[1].got) == len(found), "none was asked twice"
    assert found.count(502) == len(replicas[0].got)


def test_a_post_that_the_service_would_know_again_is_asked_again(balancer: Balancer, replicas: list[Replica]) -> None:
    replicas[0].breaks = True
    assert answers(balancer, "POST", {"Idempotency-Key": "k-1"}) == [200] * 6
    assert replicas[0].got


def test_a_refused_connection_carried_nothing_and_costs_nobody_anything(
    balancer: Balancer, replicas: list[Replica]
) -> None:
    replicas[0].server.shutdown()
    replicas[0].server.server_close()
    assert answers(balancer, "POST") == [200] * 6
    assert replicas[0].got == []


def test_an_answer_of_its_own_is_a_problem_document(balancer: Balancer, replicas: list[Replica]) -> None:
    for replica in replicas:
        replica.breaks = True
    answer = balancer.request("POST")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (502, "bad_gateway")


def test_the_log_has_what_went_wrong_and_neither_path_nor_query_nor_address(
    balancer: Balancer, replicas: list[Replica]
) -> None:
    assert balancer.request("GET", "/tasks/path-canary?q=query-canary").status_code == 200
    for replica in replicas:
        replica.breaks = True
    headers = {"X-Canary": "header-canary", "User-Agent": "agent-canary"}
    assert balancer.request("POST", "/tasks/path-canary?q=query-canary", headers=headers).status_code == 502
    assert wait_until(lambda: '"event":"request"' in balancer.log, 10)

    [line] = [line for line in balancer.log.splitlines() if '"event":"request"' in line]
    assert '"method":"POST","status":502' in line
    assert "canary" not in balancer.log
    assert "127.0.0.1" not in line


def test_the_statistics_are_for_prometheus_and_for_people(balancer: Balancer) -> None:
    address = f"http://127.0.0.1:{balancer.statistics}"
    metrics = plain_http.get(f"{address}/metrics").text
    assert 'haproxy_server_status{proxy="ready",server="app-1",state="UP"} 1' in metrics
    assert "text/html" in plain_http.get(address).headers["content-type"]
    assert plain_http.get(f"{address}/alive").status_code == 200
