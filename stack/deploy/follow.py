"""What `stack deploy` shows while the launcher does the work, and what its Ctrl-C does."""

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stack.deploy.listing import COLOURS, step_table
from stack.deploy.orders import Connection
from stack.deploy.record import Record
from stack.deploy.steps import Event, Listen
from stack.errors import StackError

ROLLED_BACK_TOO = 7
EXIT_CODES = {"succeeded": 0, "failed": 1, "refused": 5, "rolled_back": 6}


class LauncherGone(StackError):
    """The other side ended in the middle."""


def follow(data: Path, verb: str, reference: str, source: Path, *, as_json: bool) -> int:
    """Gives the order, shows what happens until its end, and returns the exit code of `stack deploy --help`.

    Raises StackError where the order is not taken, or the launcher ends meanwhile.
    """
    connection = Connection(data)
    try:
        with _shown(as_json) as show, _ctrl_c(connection, show.take):
            connection.order(verb, reference, source)
            last = _listen(connection, show.take)
    finally:
        connection.close()
    if last["event"] == "refused":
        error = StackError(f"{last['reason']}")
        error.exit_code = int(f"{last.get('exit_code', 1)}")
        raise error
    record = last["record"]
    if not isinstance(record, dict):
        raise LauncherGone("the launcher told no record: stack deployments")
    return _told(record, as_json)


def do(work: Callable[[Listen], Record], *, as_json: bool) -> int:
    """Shows the work of this command itself, and returns the same exit codes."""
    with _shown(as_json) as show:

        def take(event: Event) -> None:
            # A terminal, or a pipe, that nobody reads any more is no reason to stop in the middle.
            with contextlib.suppress(OSError):
                show.take(event)

        record = work(take)
    return _told(record.as_json(), as_json)


def _shown(as_json: bool) -> "_Silence":
    return _Silence() if as_json else _Terminal() if sys.stderr.isatty() else _Lines()


def _told(record: dict[str, object], as_json: bool) -> int:
    # The exit code is told, whoever still reads: a broken pipe is rich's reason to exit with 1.
    with contextlib.suppress(OSError, SystemExit):
        if as_json:
            print(json.dumps(record), flush=True)
        else:
            _say_end(record)
    return _exit_code(record)


def _listen(connection: Connection, take: Callable[[Event], None]) -> Event:
    """The last event."""
    while (event := connection.next_event()) is not None:
        if event["event"] in ("end", "refused"):
            return event
        take(event)
    raise LauncherGone(
        "the launcher ended in the middle: start it again (stack up --replicas N), it serves the release "
        "before and records what was cut off"
    )


@contextmanager
def _ctrl_c(connection: Connection, take: Callable[[Event], None]) -> Iterator[None]:
    """For as long as the block lasts, the first Ctrl-C cancels the order, and the second raises LauncherGone."""
    cancelled = False

    def cancel(_number: int, _frame: FrameType | None) -> None:
        nonlocal cancelled
        if cancelled:
            raise LauncherGone("left: the launcher finishes what it is doing; `stack deployments` tells the end")
        cancelled = True
        connection.cancel()
        take({"event": "note", "step": "", "note": "cancelling: the running step is finished first …"})

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _exit_code(record: dict[str, object]) -> int:
    if record["result"] == "failed" and "the way back failed" in f"{record['reason']}":
        return ROLLED_BACK_TOO
    return EXIT_CODES.get(f"{record['result']}", 1)


def _say_end(record: dict[str, object]) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    result = f"{record['result']}"
    release, seconds = f"{record['release']}"[:12] or record["reference"], record["seconds"]
    console.print(Text(f"{result.replace('_', ' ')}: {release} after {seconds} s", style=COLOURS.get(result, "")))
    if record["reason"]:
        console.print(Text(f"reason: {record['reason']}"))
    evidence = record["evidence"]
    for line in evidence if isinstance(evidence, list) else ():
        console.print(Text(f"  | {line}"))


class _Silence:
    def take(self, event: Event) -> None:
        pass

    def __enter__(self) -> "_Silence":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Lines(_Silence):
    """Where no terminal is: a line as each step ends."""

    def take(self, event: Event) -> None:
        if event["event"] == "ended":
            slot = f" ({event['slot']})" if event["slot"] else ""
            note = f": {event['note']}" if event["note"] else ""
            print(
                f"{event['step']}{slot}: {event['outcome']} in {event['seconds']} s{note}", file=sys.stderr, flush=True
            )
        elif event["event"] == "note":
            print(f"  {event['note']}", file=sys.stderr, flush=True)


class _Terminal(_Silence):
    """A table that grows, the running step last."""

    def __init__(self) -> None:
        self._steps: list[Event] = []
        self._note = ""
        self._live = Live(console=Console(stderr=True, highlight=False), get_renderable=self._table, auto_refresh=True)

    def take(self, event: Event) -> None:
        if event["event"] == "began":
            self._steps.append({**event, "outcome": "…", "seconds": None, "note": ""})
        elif event["event"] == "ended":
            self._steps[-1] = event
            self._note = ""
        else:
            self._note = f"{event['note']}"
        self._live.refresh()

    def _table(self) -> Table:
        steps = list(self._steps)
        if steps and self._note:
            steps[-1] = {**steps[-1], "note": self._note}
        return step_table(steps)

    def __enter__(self) -> "_Terminal":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
