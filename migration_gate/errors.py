"""What can go wrong, as one tree.

    MigrationGateError
    ├── RevisionsLockError    revisions.lock is missing, damaged or out of date
    ├── DatabaseUnreachable   no session could be had; `transient` tells whether waiting may help
    ├── UpgradeRefused        the verdict forbids touching this database
    ├── StatementRefused      PostgreSQL refused a statement of a migration
    ├── LockNotAcquired       another migrator held the lock until the deadline
    └── ProofFailed           Alembic reported success and a new connection sees something else

Each carries the sentence for people, what caused it and the command that mends it, so that every
door of the gate (CLI, log, problem+json) says the same.
"""

from __future__ import annotations

from enum import StrEnum


class Rung(StrEnum):
    """How far an attempt at a session came, in the order of the attempt."""

    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    LOGIN = "login"
    DATABASE = "database"
    STARTING_UP = "starting_up"
    IN_RECOVERY = "in_recovery"
    SESSION = "session"  # there was one, and it did not answer


class MigrationGateError(Exception):
    """Base of all errors of the gate.

    Parameters
    ----------
    message: one sentence that says what is wrong.
    solution: the command or the step that mends it; empty when there is none to give.
    """

    #: Exit status of the commands; the list stands at the top of `migration_gate.cli`.
    exit_code = 1

    def __init__(self, message: str, *, solution: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution

    def __str__(self) -> str:
        return f"{self.message}\n  Solution: {self.solution}" if self.solution else self.message


class RevisionsLockError(MigrationGateError):
    """revisions.lock is missing, damaged, or does not say what the migration files say."""


class DatabaseUnreachable(MigrationGateError):
    """No session on the database could be had.

    `transient` is True where the same attempt may succeed by itself in a moment (refused, starting up,
    timed out) and False where somebody has to change something (login, name of the database). `rung` tells how far
    it came.
    """

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: the caller may try again

    def __init__(self, message: str, *, transient: bool, rung: Rung = Rung.SESSION, solution: str = "") -> None:
        super().__init__(message, solution=solution)
        self.transient = transient
        self.rung = rung
        if not transient:
            self.exit_code = 69  # EX_UNAVAILABLE: trying again changes nothing


class UpgradeRefused(MigrationGateError):
    """The verdict on this database forbids an upgrade; nothing was touched."""

    exit_code = 3


class StatementRefused(MigrationGateError):
    """PostgreSQL refused a statement of a migration, and that revision was rolled back."""


class LockNotAcquired(MigrationGateError):
    """Another migrator held the lock until the deadline; nothing was touched."""

    exit_code = 75


class ProofFailed(MigrationGateError):
    """Alembic ended without an error, but a new connection does not see its result."""

    exit_code = 4
