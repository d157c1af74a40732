"""What a project says of itself, as it travels from the child that runs env.py to the service that must not.

It is one line of JSON. The revision graph goes along as the text of `revisions.lock`, so that a graph has one form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from migration_gate.expected import Expected, parse_lock
from migration_gate.tables import VersionTable

FORMAT = 1


@dataclass(frozen=True)
class Description:
    """A project.

    `lock` is the text of `revisions.lock`, None where the migration files form no graph; `fault` then tells why.
    `address` is None where neither env.py nor a variable names a database. `statements` maps `table:NAME` to an SQL
    statement that reads no row of this table and needs every column of it.
    """

    lock: str | None
    version_table: VersionTable
    address: str | None
    statements: Mapping[str, str]
    fault: str | None = None

    @property
    def expected(self) -> Expected:
        if self.lock is None:
            return Expected.broken(self.fault or "")
        return parse_lock(self.lock)

    def as_json(self) -> str:
        """One line."""
        return json.dumps(
            {
                "format": FORMAT,
                "lock": self.lock,
                "fault": self.fault,
                "version_table": {"name": self.version_table.name, "schema": self.version_table.schema},
                "address": self.address,
                "statements": dict(self.statements),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Description:
        """The description in a line of JSON.

        Raises
        ------
        ValueError, KeyError, TypeError: it is none, or one of another version.
        """
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"its format is {document['format']!r}, this version reads {FORMAT}")
        return cls(
            lock=document["lock"],
            version_table=VersionTable(**document["version_table"]),
            address=document["address"],
            statements=document["statements"],
            fault=document["fault"],
        )
