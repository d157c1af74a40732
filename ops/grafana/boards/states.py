"""The words of what changes by itself: the process, the schema, the last migration, an alert.

A timeline shows a number's word; so each state has a number here, its place in the list.
"""

from __future__ import annotations

from ops.grafana.boards.limits import CRITICAL, GOOD, NEUTRAL, PLANNED, WARNING, Word

APP_STATES = {
    "starting": Word("starting", PLANNED),
    "migrating": Word("migrating", PLANNED),
    "ready": Word("ready", GOOD),
    "not_ready": Word("not ready", CRITICAL),
    "draining": Word("draining", NEUTRAL),
}

SCHEMA_STATES = {
    "current": Word("current", GOOD),
    "ahead_compatible": Word("ahead_compatible", PLANNED),
    "never_migrated": Word("never_migrated", CRITICAL),
    "behind": Word("behind", CRITICAL),
    "ahead_incompatible": Word("ahead_incompatible", CRITICAL),
    "diverged": Word("diverged", CRITICAL),
    "wrong_database": Word("wrong_database", CRITICAL),
    "statement_broken": Word("statement_broken", CRITICAL),
    "privileges_missing": Word("privileges_missing", CRITICAL),
    "unreachable": Word("unreachable", CRITICAL),
    "unversioned": Word("unversioned", WARNING),
    "tampered": Word("tampered", WARNING),
    "multiple_heads": Word("multiple_heads", WARNING),
    "broken_graph": Word("broken_graph", WARNING),
    "incomplete": Word("incomplete", WARNING),
    "drifted": Word("drifted", WARNING),
}

RUN_RESULTS = {
    "succeeded": Word("succeeded", GOOD),
    "running": Word("running", PLANNED),
    "failed": Word("failed", CRITICAL),
    "abandoned": Word("abandoned", CRITICAL),
}

SERVABLE = {0: Word("refuses traffic", CRITICAL), 1: Word("serves traffic", GOOD)}
REACHABLE = {0: Word("unreachable", CRITICAL), 1: Word("reachable", GOOD)}
UP = {0: Word("down", CRITICAL), 1: Word("up", GOOD)}
LOADED = {0: Word("older than its file", WARNING), 1: Word("as its file says", GOOD)}
FIRING = {0: Word("resolved", GOOD), 1: Word("pending", WARNING), 2: Word("firing", CRITICAL)}
OVERRIDDEN = {0: Word("gate enforced", GOOD), 1: Word("overridden by somebody", WARNING)}


def words_of(states: dict[str, Word]) -> dict[int, Word]:
    """Each state's word by its number; 0 is what no state is 1 for."""
    return {0: Word("not known", NEUTRAL)} | dict(enumerate(states.values(), start=1))
