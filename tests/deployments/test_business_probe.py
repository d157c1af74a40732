"""The business probe leaves nothing behind in the tasks of its users, however a new release answers it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stack.deploy import business_probe
from stack.deploy.business_probe import BusinessProbe
from stack.deploy.errors import StepFailed
from stack.deploy.slots import Slot

Tasks = dict[str, str]


@contextmanager
def replica(tasks: Tasks, **answers: int) -> Iterator[Slot]:
    """A replica on `tasks`, which all share; `answers` are statuses by method that it gives without doing anything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            path = f"/tasks/{len(tasks) + 1}"
            tasks[path] = task["title"]
            self.answer(201, {"id": len(tasks)})

        def do_GET(self) -> None:
            self.answer(answers.get("GET", 200), {"title": tasks[self.path]})

        def do_DELETE(self) -> None:
            if "DELETE" not in answers:
                tasks.pop(self.path)
            self.answer(answers.get("DELETE", 204))

        def answer(self, status: int, content: object = None) -> None:
            body = b"" if content is None else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", f"{len(body)}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield Slot("slot1", host="127.0.0.1", port=server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(business_probe, "PAUSE_SECONDS", 0.0)


def test_its_task_is_gone_afterwards() -> None:
    tasks: Tasks = {}
    with replica(tasks) as slot:
        BusinessProbe(slot.host, slot.port).directly(slot)

    assert tasks == {}


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_where_the_new_replica_fails_its_task_is_deleted_by_way_of_another(method: str, status: int) -> None:
    tasks: Tasks = {}
    with (
        replica(tasks) as public,
        replica(tasks, **{method: status}) as new,
        pytest.raises(StepFailed, match=f"the business probe: {method} /tasks/ID answered {status}") as told,
    ):
        BusinessProbe(public.host, public.port).directly(new)

    assert tasks == {}
    assert "is left" not in told.value.reason


def test_a_task_that_nobody_deletes_is_named() -> None:
    tasks: Tasks = {}
    with (
        replica(tasks, DELETE=500) as only,
        pytest.raises(StepFailed, match="its task is left, to be deleted: /tasks/1"),
    ):
        BusinessProbe(only.host, only.port).directly(only)

    assert list(tasks) == ["/tasks/1"]
