"""What ends a command, as one tree.

    BackupError
    ├── NotReachable         no session on the server; trying again may help where `transient`
    ├── AnotherAtWork        a backup is being made in this folder, or a migration in this database
    ├── NotThatBackup        there is no such backup, or its files are not what its manifest says
    └── ToolFailed           pg_dump or pg_restore ended with an error

Messages hold no row, no password and no parameter of an address.
"""

from __future__ import annotations

import os

FAILED = 1
NOT_SERVABLE = 3
NOT_VERIFIED = 4
DIFFERS = 5
UNREACHABLE = 69  # EX_UNAVAILABLE of sysexits.h
TRY_AGAIN = 75  # EX_TEMPFAIL
UNUSABLE_SETTINGS = 78  # EX_CONFIG


class BackupError(Exception):
    """`solution` is a step or a command, empty where there is none; `status` is the command's exit status."""

    status = FAILED

    def __init__(self, message: str, *, solution: str = "", status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.solution = solution
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        return f"{self.message}; {self.solution}" if self.solution else self.message


class NotReachable(BackupError):
    status = UNREACHABLE


class AnotherAtWork(BackupError):
    status = TRY_AGAIN


class NotThatBackup(BackupError):
    status = DIFFERS


class ToolFailed(BackupError):
    """PostgreSQL's program said no."""


def reason(error: OSError) -> str:
    """What the system says of it, without the path, which is told already."""
    return os.strerror(error.errno) if error.errno else str(error)
