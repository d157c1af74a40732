"""What squawk cannot see, one revision at a time: transactions, downgrades, what a revision declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from migration_gate.phases import Phase, contractions
from migration_gate.review.data_rewrites import enum_rewrite, index_rewrite, transaction_rewrite
from migration_gate.review.data_rules import mixed_data_and_schema, unbatched_backfill
from migration_gate.review.findings import Finding, Level
from migration_gate.review.migration_file import Downgrade
from migration_gate.review.rewrites import rewrite_for
from migration_gate.review.subject import Subject
from migration_gate.sql_text import NAME, blank, fold

Rule = Callable[[Subject], Iterator[Finding]]


def not_rendered_offline(subject: Subject) -> Iterator[Finding]:
    """A migration that reads rows: the SQL after that line is known to nobody before it runs."""
    if subject.rendered.fault is not None:
        yield subject.finding(
            "not-rendered-offline",
            Level.WARNING,
            f"From here on upgrade() cannot be written as SQL without a database ({subject.rendered.fault}), so no rule"
            " has seen what follows.",
            at=subject.rendered.fault_line,
            advice="Try it on a copy of the real database (migration-gate rehearse), or let SQL alone do the work:"
            " a DO block can read and loop.",
        )


_CONCURRENTLY = re.compile(r"(?:CREATE|DROP|REINDEX|ALTER\s+TABLE)\b(?=[^;]*\bCONCURRENTLY\b)", re.IGNORECASE)


def concurrently_in_transaction(subject: Subject) -> Iterator[Finding]:
    """PostgreSQL refuses CONCURRENTLY inside a transaction."""
    for statement in subject.rendered.statements:
        if statement.transactional and _CONCURRENTLY.match(blank(statement.sql).strip()):
            advice, rewrite = index_rewrite(statement, subject)
            yield subject.finding(
                "concurrently-in-transaction",
                Level.ERROR,
                "CONCURRENTLY stands in the revision's transaction, where PostgreSQL refuses it: the upgrade fails.",
                at=statement,
                advice=advice,
                rewrite=rewrite,
            )


def concurrently_if_not_exists(subject: Subject) -> Iterator[Finding]:
    """IF NOT EXISTS takes the invalid index of a failed build for the index."""
    for statement in subject.rendered.statements:
        code = blank(statement.sql).strip()
        if re.match(r"CREATE\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\b", code, re.IGNORECASE):
            advice, rewrite = rewrite_for(statement.changes[0], subject)
            yield subject.finding(
                "concurrently-if-not-exists",
                Level.ERROR,
                f"A build of {statement.changes[0].name} that was cut off leaves an invalid index, which serves no"
                " query and costs every write; IF NOT EXISTS then keeps it and reports success.",
                at=statement,
                advice=advice,
                rewrite=rewrite,
            )


_REPEATABLE = re.compile(
    r"(?:SELECT|SET|RESET|SHOW|ANALYZE|VACUUM|REFRESH|COMMENT)\b|.*\bIF\s+(?:NOT\s+)?EXISTS\b|.*\bVALIDATE\s+CONSTRAINT\b",
    re.IGNORECASE | re.DOTALL,
)


def mixed_transactionality(subject: Subject) -> Iterator[Finding]:
    """What stands before an autocommit block, and the block itself, stay when what comes after fails."""
    runs = [each for each in subject.rendered.statements if each.changes or not each.transactional]
    first = runs[0].transactional if runs else True
    if any(each.transactional is not first for each in runs):
        stays = (
            "An autocommit block commits what stands before it. Where the block"
            if first
            else ("An autocommit block commits by itself. Where what stands after it")
        )
        yield subject.finding(
            "mixed-transactionality",
            Level.WARNING,
            f"{stays} fails, that stays, the revision is not recorded, and its next run begins with statements that are"
            " done already.",
            at=runs[0],
            advice="Cut it up: revisions for what runs in a transaction, and others for what does not.",
            rewrite=transaction_rewrite(subject),
        )


def autocommit_not_rerunnable(subject: Subject) -> Iterator[Finding]:
    """Outside a transaction a revision may be cut off anywhere, and then runs again from its start."""
    if subject.declared.rerunnable:
        return
    for statement in subject.rendered.statements:
        code = blank(statement.sql).strip()
        if statement.transactional or _CONCURRENTLY.match(code) or _REPEATABLE.match(code):
            continue
        yield subject.finding(
            "autocommit-not-rerunnable",
            Level.WARNING,
            "Outside a transaction this revision may be cut off after any statement, and nobody has said that this one"
            " may then run again.",
            at=statement,
            advice="Where running it twice gives the same result, write `gate_rerunnable = True` below its ids;"
            " otherwise move it into a revision that has a transaction.",
        )


def enum_value_used_in_transaction(subject: Subject) -> Iterator[Finding]:
    """A value added to an enum cannot be used before the transaction that adds it has ended."""
    added: dict[str, str] = {}
    made = {change.on for change in subject.rendered.changes if change.verb == "create type"}
    for statement in subject.rendered.statements:
        if not statement.transactional:
            added.clear()
            continue
        found = re.match(
            rf"\s*ALTER\s+TYPE\s+({NAME})\s+ADD\s+VALUE\s+(?:IF\s+NOT\s+EXISTS\s+)?'((?:[^']|'')*)'",
            statement.sql,
            re.IGNORECASE,
        )
        if found and fold(found[1]) not in made:
            added[found[2]] = fold(found[1])
            continue
        for value in added:
            if f"'{value}'" in statement.sql:
                yield subject.finding(
                    "enum-value-used-in-transaction",
                    Level.ERROR,
                    f"'{value}' is added to {added[value]} and used in one transaction: PostgreSQL refuses that with"
                    ' "unsafe use of new value", and the upgrade fails here.',
                    at=statement,
                    advice="Add the value in a revision of its own, before the one that uses it.",
                    rewrite=enum_rewrite(subject, value),
                )


def exclusive_rewrite(subject: Subject) -> Iterator[Finding]:
    """VACUUM FULL and CLUSTER, for which squawk has a word only where PostgreSQL 19 has REPACK."""
    for statement in subject.rendered.statements:
        found = re.match(r"(VACUUM\s*\(?\s*FULL|CLUSTER)\b", blank(statement.sql).strip(), re.IGNORECASE)
        if found:
            yield subject.finding(
                "exclusive-rewrite",
                Level.ERROR,
                "The table is written anew under ACCESS EXCLUSIVE: every read and write of it waits until that ends.",
                at=statement,
                advice="Leave it out of migrations: pg_repack or REPACK (CONCURRENTLY) of PostgreSQL 19 do it beside"
                " traffic, and plain VACUUM is usually enough.",
            )


# What leaves nothing behind that code of the revision before would mind.
_NO_UNDO = frozenset({"validate constraint", "drop not null", "update", "delete", "insert", "insert select", "merge"})


def irreversible_downgrade(subject: Subject) -> Iterator[Finding]:
    """upgrade() does something, and downgrade() says that it undoes it and does not."""
    shape = subject.file.downgrade
    if shape in {Downgrade.UNDOES, Downgrade.EXPLAINED}:
        return
    does = [change.verb for change in subject.rendered.changes]
    if not does or all(verb in _NO_UNDO for verb in does):
        return
    empty = shape is Downgrade.EMPTY
    yield subject.finding(
        "irreversible-downgrade",
        Level.ERROR if empty else Level.WARNING,
        "downgrade() does nothing: Alembic records the revision before, and the schema is still this one's."
        if empty
        else "downgrade() raises: from this revision on the only way is forward, or a backup.",
        at=subject.file.downgrade_line,
        advice="Undo in downgrade() what upgrade() does; where there is nothing to undo, let a docstring say why.",
    )


def contract_undeclared(subject: Subject) -> Iterator[Finding]:
    """A contracting revision of which neither its file nor a proof says which code still runs after it."""
    if subject.phase is not Phase.CONTRACT or subject.names_older_code:
        return
    takes = list(contractions(subject.rendered.changes))
    what = ", ".join(dict.fromkeys(f"{each.verb} {'.'.join(filter(None, (each.on, each.name)))}" for each in takes[:4]))
    at = next((each for each in subject.rendered.statements if takes and takes[0] in each.changes), None)
    parent = subject.rendered.parents[0] if subject.rendered.parents else subject.id
    yield subject.finding(
        "contract-undeclared",
        Level.WARNING,
        f"Older code may fail on the schema after this revision ({what or 'it declares itself a contract'}), and the"
        " database cannot tell a release that was rolled back whether it is one that does.",
        at=at or subject.file.revision_line,
        advice=f'Declare the oldest revision whose code still runs: gate_minimum_code = "{parent}" if it is the one'
        ' before. Where no code can notice, say so: gate_phase = "expand". Or let the tests of the release before prove'
        " that it runs: migration-gate compatibility.",
    )


RULES: tuple[Rule, ...] = (
    not_rendered_offline,
    unbatched_backfill,
    mixed_data_and_schema,
    concurrently_in_transaction,
    concurrently_if_not_exists,
    mixed_transactionality,
    autocommit_not_rerunnable,
    enum_value_used_in_transaction,
    exclusive_rewrite,
    irreversible_downgrade,
)
