"""A probe that says what it is told to: the seam between the watcher and a database."""

from __future__ import annotations

from migration_gate.errors import DatabaseUnreachable
from migration_gate.observed import Observed
from migration_gate.watch import Watcher
from tests.migration_gate.verdict_cases import LINE, database

CURRENT = database("0abc")
BEHIND = database("beef")
AHEAD = database("1111", lineage={"1111": ("0abc",)})
AWAY = DatabaseUnreachable("nothing listens", transient=True)


class ScriptedProbe:
    """Answers with each entry in turn, and with the last for ever."""

    def __init__(self, *script: Observed | Exception) -> None:
        self.script = list(script)
        self.asked = 0

    async def __call__(self) -> Observed:
        self.asked += 1
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def watching(*script: Observed | Exception, interval_s: float = 3600, hurried_interval_s: float = 0) -> Watcher:
    return Watcher(LINE, ScriptedProbe(*script), interval_s=interval_s, hurried_interval_s=hurried_interval_s)
