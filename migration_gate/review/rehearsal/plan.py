"""What is to be rehearsed, where and against which budget."""

from __future__ import annotations

from dataclasses import dataclass, field

from migration_gate.errors import MigrationGateError
from migration_gate.review.rehearsal.budget import Budget

NO_DATA, SYNTHETIC = "none", "synthetic"


@dataclass(frozen=True)
class Plan:
    """`scratch_url` names a database of the server to rehearse on, whose role may create others.

    `data` is none or synthetic, and `max_rows` bounds the rows that are made up for one table. `keep` leaves the
    temporary database for a look at it.
    """

    scratch_url: str
    data: str = NO_DATA
    max_rows: int = 100_000
    keep: bool = False
    budget: Budget = field(default_factory=Budget)


class SourceNamedAsScratch(MigrationGateError):
    """--scratch-url is the address of the very database that is rehearsed for."""

    exit_code = 2
