"""`taskmanager serve` with a release's bugs in it, which show for as long as a file is there.

The service has no switch of its own for that. This entry wraps `create_app`, and reads from the file what goes wrong:

    {"fail_every": 5}        every fifth statement meets a bug
    {"wait_s": 2.5}          every statement waits for something that is slow
    {"block_s": 0.8}         something computes on the event loop for so long, every three seconds
    {"hide": "some_metric"}  /metrics has lost a metric
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from itertools import count
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import taskmanager.app
from taskmanager.cli import main
from taskmanager.observability import metrics

# Names the file.
SWITCH = "PROOF_SWITCH"
BLOCKED_EVERY_S = 3.0


class Bugs:
    """What goes wrong now."""

    def __init__(self, switch: Path) -> None:
        self._switch = switch

    def __getitem__(self, name: str) -> Any:
        try:
            return json.loads(self._switch.read_text()).get(name)
        except (OSError, ValueError):
            return None


def install(bugs: Bugs) -> None:
    """Let every application that is made have them."""
    create_app, generate_latest = taskmanager.app.create_app, metrics.generate_latest  # type: ignore[attr-defined]

    def create_faulty_app(*arguments: Any) -> FastAPI:
        app = create_app(*arguments)
        _wrap_statements(app.state.database, bugs)
        _wrap_lag(app.state.loop_lag, bugs)
        return app

    def generate_less(registry: Any) -> bytes:
        hidden = bugs["hide"]
        lines = generate_latest(registry).splitlines(keepends=True)
        return b"".join(line for line in lines if not (hidden and line.split(b"{")[0].split()[0] == hidden.encode()))

    taskmanager.app.create_app = create_faulty_app  # type: ignore[assignment]
    metrics.generate_latest = generate_less  # type: ignore[attr-defined, assignment]


def _wrap_statements(database: Any, bugs: Bugs) -> None:
    rows, numbers = database.rows, count(1)

    async def faulty_rows(*arguments: Any, **options: Any) -> Any:
        if (wait_s := bugs["wait_s"]) is not None:
            await asyncio.sleep(wait_s)
        if (every := bugs["fail_every"]) is not None and next(numbers) % every == 0:
            raise RuntimeError("a bug of this release")
        return await rows(*arguments, **options)

    database.rows = faulty_rows


def _wrap_lag(lag: Any, bugs: Bugs) -> None:
    run = lag.run

    async def block() -> None:
        while True:
            await asyncio.sleep(BLOCKED_EVERY_S)
            if (block_s := bugs["block_s"]) is not None:
                time.sleep(block_s)  # noqa: ASYNC251  it is the bug

    async def run_beside() -> None:
        await asyncio.gather(run(), block())

    lag.run = run_beside


if __name__ == "__main__":
    install(Bugs(Path(os.environ[SWITCH])))
    sys.exit(main(["serve", "--port", sys.argv[1]]))
