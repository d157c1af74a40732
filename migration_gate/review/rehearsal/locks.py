"""PostgreSQL's table locks by strength, and whom each of them keeps out.

The table of conflicts is that of the manual, section "Table-Level Locks".
"""

from __future__ import annotations

from enum import IntEnum


class LockMode(IntEnum):
    """The eight modes, weakest first."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    @classmethod
    def of(cls, mode: str) -> LockMode:
        """The mode that pg_locks calls `mode`, such as AccessExclusiveLock."""
        return _BY_NAME[mode]

    @property
    def label(self) -> str:
        """As SQL writes it: ACCESS EXCLUSIVE."""
        return self.name.replace("_", " ")

    @property
    def blocks_reads(self) -> bool:
        return self is LockMode.ACCESS_EXCLUSIVE

    @property
    def blocks_writes(self) -> bool:
        return self >= LockMode.SHARE

    @property
    def blocks(self) -> str:
        """Whom it keeps out, in words: `reads and writes`, `writes`, or nothing."""
        if self.blocks_reads:
            return "reads and writes"
        return "writes" if self.blocks_writes else ""


_BY_NAME = {mode.label.title().replace(" ", "") + "Lock": mode for mode in LockMode}
