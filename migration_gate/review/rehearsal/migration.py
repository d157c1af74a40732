"""The migrating process as the rehearsing one sees it: started, listened to, and ended."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config

import migration_gate
from migration_gate.configuration import name_of
from migration_gate.review.pointed import pointed_at
from migration_gate.review.rehearsal.addresses import database_of

Event = dict[str, Any]


def run_migration(config: Config, address: str, hear: Callable[[Event], None]) -> list[Event]:
    """Upgrade the database at `address` to the heads; `hear` is called with each event as it comes.

    Returns all events; the last is `finished`, whatever happened (see `recorder` and `migrator` for the kinds).
    """
    events: list[Event] = []
    with _process(config, address) as (process, lines):
        for line in lines:
            events.append(json.loads(line))
            hear(events[-1])
        status = process.wait()
    if not events or events[-1]["kind"] != "finished":
        failure = {"message": f"the migrating process ended with status {status} before the upgrade did"}
        events.append(
            {"at": events[-1]["at"] if events else 0.0, "kind": "finished", "failure": failure, "spent_s": 0.0}
        )
    return events


@contextmanager
def _process(config: Config, address: str) -> Iterator[tuple[subprocess.Popen[bytes], Iterator[str]]]:
    reading, writing = os.pipe()
    package_site = str(Path(migration_gate.__file__).parent.parent)
    python_path = os.pathsep.join(part for part in (package_site, os.environ.get("PYTHONPATH")) if part)
    with os.fdopen(reading, encoding="utf-8") as lines:
        try:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "migration_gate.review.rehearsal.migrator",
                    name_of(config),
                    database_of(address),
                    str(writing),
                ],
                env=os.environ | pointed_at(address, address) | {"PYTHONPATH": python_path},
                pass_fds=[writing],
                # It reads this pipe to its end, and stops when this process is gone.
                stdin=subprocess.PIPE,
                # The project's own log lines may quote values, and what matters of them comes as events.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C is for the rehearsing process, which ends this one in order.
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            yield process, lines
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()
