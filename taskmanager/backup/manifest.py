"""What is known of a backup: a JSON file beside its dump."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from taskmanager.backup.contents import TableContents
from taskmanager.backup.history import History
from taskmanager.backup.roles import Roles

FORMAT = 1


class Outcome(StrEnum):
    VERIFIED = "verified"  # restored into a database of its own, and everything was there
    FAILED = "failed"  # it could not be restored, or something was not there
    NOT_TRIED = "not_tried"


@dataclass(frozen=True)
class Verification:
    """How a backup was tried. `roles` tells whether owners and privileges were restored and compared as well; `schema`
    is the gate's verdict on what was restored; `problems` are sentences."""

    outcome: Outcome
    at: datetime
    duration_s: float = 0.0
    roles: bool = False
    schema: str | None = None
    as_application: bool = False
    problems: tuple[str, ...] = ()

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Verification:
        return cls(
            **dict(found)
            | {
                "outcome": Outcome(found["outcome"]),
                "at": datetime.fromisoformat(found["at"]),
                "problems": tuple(found["problems"]),
            }
        )


@dataclass(frozen=True)
class File:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """A backup's facts.

    `schema` is the gate's verdict on the database when it was made, or `migrating`; `tool_major` is of the pg_dump that
    wrote it: what reads it must be as new.
    """

    name: str
    made_at: datetime
    duration_s: float
    database: str
    server_version: str
    server_major: int
    tool_version: str
    tool_major: int
    taskmanager_version: str
    files: Mapping[str, File]
    history: History
    schema: str
    tables: tuple[TableContents, ...]
    sequences: Mapping[str, int]
    roles: Roles
    privileges: tuple[str, ...]
    verification: Verification

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    @property
    def verified(self) -> bool:
        return self.verification.outcome is Outcome.VERIFIED

    def with_verification(self, verification: Verification) -> Manifest:
        return replace(self, verification=verification)

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file; `format` says how to read it."""
        verification = asdict(self.verification) | {"at": self.verification.at.isoformat()}
        return (
            {"format": FORMAT}
            | asdict(self)
            | {
                "made_at": self.made_at.isoformat(),
                "roles": self.roles.as_json(),
                "verification": verification,
            }
        )

    def text(self) -> str:
        return json.dumps(self.as_json(), indent=2) + "\n"


def read_manifest(text: str) -> Manifest:
    """Parse a manifest.

    Raises
    ------
    ValueError: it is none, or of a format that this release does not read.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError(f"it is of format {found['format']}, and this release reads format {FORMAT}")
        rest = {name: value for name, value in found.items() if name != "format"}
        return Manifest(
            **rest
            | {
                "made_at": datetime.fromisoformat(found["made_at"]),
                "files": {name: File(**file) for name, file in found["files"].items()},
                "history": History.of_json(found["history"]),
                "tables": tuple(map(TableContents.of_json, found["tables"])),
                "roles": Roles.of_json(found["roles"]),
                "privileges": tuple(found["privileges"]),
                "verification": Verification.of_json(found["verification"]),
            }
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no manifest of a backup ({type(error).__name__}: {error})") from None
