"""The record of deployments, a line each in DATA/deployments.jsonl: what was deployed, and how it went.

    {"id":7,"verb":"deploy","release":"9f3c01a…","previous":"1b22c3d…","began":"2026-11-27T21:08:50Z","seconds":31.4,
     "result":"rolled_back","reason":"…","evidence":["…"],"steps":[{"step":"migrate","seconds":12.1,…},…]}

Who deployed is nobody's to know from here.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

FILE = "deployments.jsonl"
COUNTED = 10


class Result(StrEnum):
    SUCCEEDED = "succeeded"
    ROLLED_BACK = "rolled_back"
    """The new release was started and taken out again; the one before serves."""
    FAILED = "failed"
    """Something before the switch did not work, or the way back did not; the reason says which."""
    REFUSED = "refused"
    """The pre-flight said no, and nothing was touched."""


@dataclass
class Record:
    """`began` is UTC as RFC 3339 writes it, `seconds` how long all of it took; `previous` is the release before."""

    id: int
    verb: str
    release: str
    previous: str
    reference: str = ""
    began: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    seconds: float = 0.0
    result: Result = Result.FAILED
    reason: str = ""
    evidence: list[str] = field(default_factory=list)
    steps: list[dict[str, object]] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def append(data: Path, record: Record) -> None:
    """Adds a line, which is on the disk when this returns. Raises OSError."""
    line = json.dumps(record.as_json(), separators=(",", ":")) + "\n"
    descriptor = os.open(data / FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # A launcher that died while it wrote left half a line: what follows must not be glued to it.
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, ("\n" if torn else "").encode() + line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(data: Path) -> list[Record]:
    """The records, oldest first; lines that are none are left out. Raises OSError when the file cannot be read."""
    try:
        lines = (data / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return list(_records(lines))


def _records(lines: Iterable[str]) -> Iterable[Record]:
    for line in lines:
        try:
            content = json.loads(line)
            yield Record(**{**content, "result": Result(content["result"])})
        except (ValueError, KeyError, TypeError):
            continue


def next_id(data: Path) -> int:
    return max((record.id for record in read(data)), default=0) + 1


def success_share(records: list[Record]) -> tuple[int, int]:
    """How many of the last ten deployments succeeded, and how many those are.

    A refusal is none: nothing was touched. Nor is a person's way back to an older release.
    """
    counted = [record for record in records if record.verb == "deploy" and record.result is not Result.REFUSED]
    last = counted[-COUNTED:]
    return sum(record.result is Result.SUCCEEDED for record in last), len(last)
