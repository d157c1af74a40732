"""`# gate: allow RULE because REASON`: a finding that somebody has thought about and lets stand.

In a line of its own at the left margin it speaks for the file; inside a function for the statement that it stands
in or before. One without a reason is an error, since whoever reads it a year later must decide anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from migration_gate.review.findings import Finding, Level
from migration_gate.review.migration_file import MigrationFile, Override


@dataclass(frozen=True)
class Overridden:
    """The findings that stand, those that were allowed, and which override of which file allowed one."""

    standing: tuple[Finding, ...]
    allowed: tuple[Finding, ...]
    used: frozenset[tuple[str, int, str]]


def apply(findings: Iterable[Finding], files: Mapping[Path, MigrationFile]) -> Overridden:
    """Part the findings into those that stand and those that a comment in their file allows."""
    standing, allowed, used = [], [], set()
    for finding in findings:
        file = files.get(Path(finding.file)) if finding.file else None
        override = next((each for each in file.overrides if _covers(each, finding)), None) if file else None
        if override is None:
            standing.append(finding)
        else:
            allowed.append(finding)
            used.add((str(finding.file), override.line, finding.rule))
    return Overridden(tuple(standing), tuple(allowed), frozenset(used))


def _covers(override: Override, finding: Finding) -> bool:
    here = override.whole_file or override.first <= finding.line <= override.last
    return here and bool(override.reason) and finding.rule in override.rules


def judge(
    files: Mapping[Path, MigrationFile],
    used: Collection[tuple[str, int, str]],
    known: Collection[str],
    not_asked: Collection[str],
) -> Iterator[Finding]:
    """Findings on the overrides themselves.

    Parameters
    ----------
    used: what `apply` tells of them.
    known: the names of all rules.
    not_asked: rules that this run did not look at, so that an override of theirs may well be needed.
    """
    for path, file in files.items():
        for override in file.overrides:

            def finding(rule: str, level: Level, message: str, advice: str, at: Override = override) -> Finding:
                return Finding(rule, level, message, file_revision, str(path), at.line, advice=advice)  # noqa: B023

            file_revision = file.revision
            if not override.reason or not override.rules:
                yield finding(
                    "override-without-reason",
                    Level.ERROR,
                    "An override without a reason allows nothing.",
                    "Write: # gate: allow RULE because REASON",
                )
                continue
            for rule in override.rules:
                if rule not in known:
                    yield finding(
                        "override-of-unknown-rule",
                        Level.ERROR,
                        f"There is no rule {rule}.",
                        "migration-gate lint --rules lists them all.",
                    )
                elif (str(path), override.line, rule) not in used and rule not in not_asked:
                    yield finding(
                        "unused-override",
                        Level.WARNING,
                        f"Nothing here is found by {rule}.",
                        "Remove it, so that it does not allow what comes next.",
                    )
