"""The verdict: `judge(expected, observed)` is pure, and everything else reads what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

from migration_gate.expected import Expected
from migration_gate.findings import Finding, findings_of, known_edges
from migration_gate.observed import BrokenStatement, LastRun, Observed, Override, Running
from migration_gate.states import ORDER, RULES, State


@dataclass(frozen=True)
class SchemaStatus:
    """A verdict with its evidence.

    `findings` are all that was found, what forbids traffic before what does not; the first gives `state`, `evidence`,
    `cause` and `solution`. `missing` are the revisions that lead from the database to this code, in order; `unknown`
    those that the database holds and this code does not know. `rung` tells, while the database cannot be reached, how
    far the attempt came. `last_run` is the newest that the ledger knows, and `running` the migrator at work now.
    """

    state: State
    code_heads: tuple[str, ...]
    database_revisions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    # A proof that waits for a locked table, as below how far a migration is, makes no other verdict.
    statements_proven: bool = field(default=False, compare=False)
    broken_statements: tuple[BrokenStatement, ...] = ()
    findings: tuple[Finding, ...] = ()
    evidence: str = ""
    cause: str = ""
    solution: str = ""
    rung: str | None = None
    override: Override | None = None
    last_run: LastRun | None = field(default=None, compare=False)
    running: Running | None = field(default=None, compare=False)

    @property
    def allows_traffic(self) -> bool:
        """Whether the findings do; `servable` counts an override as well."""
        return all(RULES[state].traffic for state in self._states) and not self.broken_statements

    @property
    def servable(self) -> bool:
        return self.allows_traffic or self.override is not None

    @property
    def upgradable(self) -> bool:
        return all(RULES[state].upgrade for state in self._states)

    @property
    def warning(self) -> bool:
        """Traffic flows, and somebody should look."""
        return self.servable and self.state is not State.CURRENT

    @property
    def forbids_upgrade(self) -> Finding | None:
        """The first finding because of which nothing may be migrated."""
        return next((finding for finding in self.findings if not RULES[finding.state].upgrade), None)

    @property
    def _states(self) -> Iterator[State]:
        yield self.state
        yield from (finding.state for finding in self.findings)

    def as_dict(self) -> dict[str, object]:
        """The verdict as JSON takes it."""
        document: dict[str, object] = {
            "state": self.state.value,
            "servable": self.servable,
            "upgradable": self.upgradable,
            "code_heads": list(self.code_heads),
            "database_revisions": list(self.database_revisions),
            "missing": list(self.missing),
            "unknown": list(self.unknown),
            "statements_proven": self.statements_proven,
            "broken_statements": [asdict(statement) for statement in self.broken_statements],
            "evidence": self.evidence,
            "cause": self.cause,
            "solution": self.solution,
            "findings": [asdict(finding) for finding in self.findings],
            "rung": self.rung,
            "override": None,
            "last_run": None if self.last_run is None else asdict(self.last_run),
            "running": None,
        }
        if self.override is not None:
            document["override"] = asdict(self.override) | {"until": self.override.until.isoformat()}
        if self.running is not None:
            document["running"] = asdict(self.running) | {"started_at": self.running.started_at.isoformat()}
        return document


def judge(expected: Expected, observed: Observed) -> SchemaStatus:
    """Compare what the code expects with what the database is. No input or output, no clock."""
    findings = sorted(findings_of(expected, observed), key=lambda each: (RULES[each.state].traffic, _rank(each)))
    first = _feasible(findings)
    return SchemaStatus(
        state=first.state,
        code_heads=expected.heads,
        database_revisions=observed.revisions,
        missing=expected.missing_from(observed.revisions, known_edges(expected, observed)),
        unknown=tuple(id_ for id_ in observed.revisions if id_ not in expected.revisions),
        statements_proven=observed.statements_proven,
        broken_statements=observed.broken_statements,
        findings=tuple(finding for finding in (first, *findings[1:]) if finding.state is not State.CURRENT),
        evidence=first.evidence,
        cause=first.cause,
        solution=first.solution,
        override=observed.override,
        last_run=observed.last_run,
        running=observed.running,
    )


def _feasible(findings: Sequence[Finding]) -> Finding:
    """The first finding, its solution preceded by what has to be done before an upgrade would not be refused."""
    first = findings[0]
    forbidding = next((each for each in findings if not RULES[each.state].upgrade), None)
    if forbidding is None or not RULES[first.state].upgrade or not first.solution:
        return first
    return replace(
        first, solution=f"first, because of {forbidding.state}: {forbidding.solution}; then: {first.solution}"
    )


def unreachable(expected: Expected, evidence: str, solution: str = "", rung: str | None = None) -> SchemaStatus:
    """The verdict while no session on the database can be had."""
    rule = RULES[State.UNREACHABLE]
    finding = Finding(State.UNREACHABLE, evidence, rule.cause, solution or rule.solution)
    return SchemaStatus(
        State.UNREACHABLE,
        expected.heads,
        findings=(finding,),
        evidence=finding.evidence,
        cause=finding.cause,
        solution=finding.solution,
        rung=rung,
    )


def _rank(finding: Finding) -> int:
    return ORDER.index(finding.state)
