"""A constant rate of requests, as clients send them, and what became of each.

    python -m incident_lab.load --url http://127.0.0.1:8000 --rate 50 --seconds 30
    python -m incident_lab.load --url http://127.0.0.1:8000 --rate 50 --json        until Ctrl-C or SIGTERM

Lists, single tasks, new tasks, changes and deletions, over connections that are kept, each request at its own time:
where answers are slow, the next request does not wait for them, and latencies count from when a request was due (no
coordinated omission). Every answer is counted by its status, and every request that got none by what happened to its
connection. No request is sent twice. `connections` is how many were opened.

exit status:
  0  every answer was 2xx, or the 404 of a task that this load had asked to delete
  1  one was not, or did not come
  2  the command line is wrong
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from incident_lab.http_connections import Answer, Connections, NoAnswer

KEY_VARIABLE = "LOAD_KEY"
# Of a hundred requests. What is created is deleted again in the end.
MIX = {"list": 35, "one": 25, "create": 15, "change": 15, "delete": 10}
# As many are kept at most: then one is deleted where another would be created.
MOST_TASKS = 500
TIMEOUT_SECONDS = 15.0


@dataclass
class Tally:
    """`latencies` are in seconds, of answered requests, from when each was due.

    `failures` are the first few, each with its time; `connections` were opened.
    """

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    failures: list[dict[str, str | float]] = field(default_factory=list)
    late_seconds: float = 0.0
    connections: int = 0

    @property
    def failed(self) -> int:
        return sum(self.unexpected.values()) + sum(self.lost.values())

    def took(self, what: str, answer: Answer, seconds: float, *, may_be_gone: bool) -> None:
        """`may_be_gone` is whether the deletion of its task was asked for: then it may find none."""
        self.latencies.append(seconds)
        self.answers[f"{answer.status}"] += 1
        if not (200 <= answer.status < 300 or (answer.status == 404 and may_be_gone)):
            told = f"{answer.status} {_code(answer.body)}".strip()
            self.unexpected[f"{what} {told}"] += 1
            self._keep(what, f"answered {told}")

    def lost_one(self, what: str, reason: str) -> None:
        self.lost[reason] += 1
        self._keep(what, reason)

    def _keep(self, what: str, reason: str) -> None:
        if len(self.failures) < 50:
            self.failures.append({"at": round(time.time(), 3), "request": what, "reason": reason})

    def percentile(self, share: float) -> float:
        """Of the latencies, in seconds; 0 where there are none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def as_json(self, seconds: float) -> dict[str, object]:
        return {
            "seconds": round(seconds, 1),
            "sent": self.sent,
            "rate": round(self.sent / seconds, 2) if seconds else 0.0,
            "answers": dict(sorted(self.answers.items())),
            "failed": self.failed,
            "unexpected": dict(self.unexpected),
            "lost": dict(self.lost),
            "latency_ms": {
                name: round(1000 * self.percentile(share), 1)
                for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
            },
            "connections": self.connections,
            "late_ms_max": round(1000 * self.late_seconds, 1),
            "failures": self.failures,
        }


def _code(body: bytes) -> str:
    """That of a problem document, which says who refused; nothing of anything else."""
    try:
        return f"{json.loads(body)['code']}"
    except (ValueError, KeyError, TypeError):
        return ""


class Load:
    """Requests at `rate` a second to `url`, until stopped; `key` is an API key, `seed` draws the mix."""

    def __init__(self, url: str, rate: float, *, key: str = "", seed: int = 1) -> None:
        parts = urlsplit(url)
        self.tally = Tally()
        self._rate = rate
        self._connections = Connections(parts.hostname or "127.0.0.1", parts.port or 80, key, TIMEOUT_SECONDS)
        self._choose = random.Random(seed)  # noqa: S311  to be repeated by its seed
        self._tasks: deque[int] = deque()
        # Those whose deletion was asked for, while others may still ask for them.
        self._leaving: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def run(self, seconds: float | None = None) -> float:
        """Sends until stopped, or for so many seconds, awaits every answer, and deletes what it made.

        Returns for how long it sent, in seconds.
        """
        begun = time.monotonic()
        while not self._stopped.is_set() and (seconds is None or time.monotonic() - begun < seconds):
            due = begun + self.tally.sent / self._rate
            if (wait := due - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopped.wait(), wait)
                continue
            self.tally.late_seconds = max(self.tally.late_seconds, -wait)
            self.tally.sent += 1
            sending = asyncio.create_task(self._send(due))
            self._under_way.add(sending)
            sending.add_done_callback(self._under_way.discard)
            await asyncio.sleep(0)
        lasted = time.monotonic() - begun
        await asyncio.gather(*self._under_way)
        await self._clean_up()
        self.tally.connections = self._connections.opened
        return lasted

    async def _send(self, due: float) -> None:
        what, id_ = self._next()
        method, path, body = self._request(what, id_)
        try:
            answer = await self._connections.ask(method, path, body)
            created = int(json.loads(answer.body)["id"]) if what == "create" and answer.status == 201 else None
        except NoAnswer as error:
            self.tally.lost_one(what, f"{error}")
        except (ValueError, KeyError, TypeError):
            self.tally.lost_one(what, "answered 201 without the task")
        else:
            may_be_gone = what != "delete" and id_ in self._leaving
            self.tally.took(what, answer, time.monotonic() - due, may_be_gone=may_be_gone)
            if created is not None:
                self._tasks.append(created)

    def _next(self) -> tuple[str, int | None]:
        """What to ask for, and of which task."""
        [what] = self._choose.choices(list(MIX), list(MIX.values()))
        if what == "create" and len(self._tasks) >= MOST_TASKS:
            what = "delete"
        if what != "list" and not self._tasks:
            what = "create"
        if what in ("list", "create"):
            return what, None
        if what == "delete":
            id_ = self._tasks.popleft()
            self._leaving.add(id_)
            return what, id_
        return what, self._choose.choice(self._tasks)

    def _request(self, what: str, id_: int | None) -> tuple[str, str, dict[str, object] | None]:
        """Method, path and body."""
        match what:
            case "create":
                return "POST", "/tasks", {"title": "load", "tags": ["load"]}
            case "list":
                return "GET", self._choose.choice(("/tasks?limit=20", "/tasks?limit=5&status=todo")), None
            case "delete":
                return "DELETE", f"/tasks/{id_}", None
            case "one":
                return "GET", f"/tasks/{id_}", None
            case _:
                return "PATCH", f"/tasks/{id_}", {"priority": self._choose.choice(("low", "normal", "high"))}

    async def _clean_up(self) -> None:
        for id_ in self._tasks:
            with contextlib.suppress(NoAnswer):
                await self._connections.ask("DELETE", f"/tasks/{id_}", None)
        self._connections.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    key = options.key_file.read_text().strip() if options.key_file else os.environ.get(KEY_VARIABLE, "")
    tally, seconds = asyncio.run(_run(options, key))
    told = tally.as_json(seconds)
    print(json.dumps(told) if options.json else as_text(told))
    return 1 if tally.failed or not tally.answers else 0


async def _run(options: argparse.Namespace, key: str) -> tuple[Tally, float]:
    load = Load(options.url, options.rate, key=key, seed=options.seed)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, load.stop)
    return load.tally, await load.run(options.seconds)


def as_text(told: dict[str, object]) -> str:
    """For a person."""
    lines = [f"{name.replace('_', ' '):<12} {value}" for name, value in told.items() if value not in ({}, [])]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m incident_lab.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="(default: %(default)s)")
    parser.add_argument("--rate", type=_positive, default=50.0, help="requests a second (default: %(default)g)")
    parser.add_argument("--seconds", type=_positive, help="for how long (default: until Ctrl-C or SIGTERM)")
    parser.add_argument("--seed", type=int, default=1, help="of the mix (default: %(default)s)")
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help=f"holds an API key (default: what {KEY_VARIABLE} holds, or none)"
    )
    parser.add_argument("--json", action="store_true", help="print the tally as JSON")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


if __name__ == "__main__":
    sys.exit(main())
