"""What becomes of each rule of squawk 2.70: an error, a warning, or off, and why.

`{on}` and `{name}` in a sentence are the table (or object) and the column (or constraint, index) it is about.
A rule that is not listed, one of a later squawk say, is a warning in squawk's own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from migration_gate.review.findings import Level


@dataclass(frozen=True)
class Decision:
    """`concerns` tells for whom: "locks" and "readers" mean nothing on a table that the revision itself creates.

    What takes something away (`declarable`) is in order once the revision declares `gate_minimum_code`, or a proof has
    shown which code runs without it.
    """

    level: Level
    says: str
    concerns: str = "anybody"
    declarable: bool = False


def _locks(says: str) -> Decision:
    return Decision(Level.ERROR, says, "locks")


def _breaks(says: str) -> Decision:
    return Decision(Level.ERROR, says, "readers")


def _takes_away(what: str) -> Decision:
    says = f"{what} Code of the release before that still uses it fails from this moment on."
    return Decision(Level.ERROR, says, "readers", declarable=True)


DECISIONS = {
    "adding-field-with-default": _locks(
        "The default of {on}.{name} is worked out for every row: the table is rewritten under ACCESS EXCLUSIVE,"
        " and every read and write of {on} waits until that ends."
    ),
    "adding-foreign-key-constraint": _locks(
        "The foreign key is checked for every row of {on} under SHARE ROW EXCLUSIVE on both tables:"
        " every INSERT, UPDATE and DELETE on either waits until that ends."
    ),
    "adding-not-nullable-field": _locks(
        "SET NOT NULL reads every row of {on} under ACCESS EXCLUSIVE: every read and write of {on} waits,"
        " and code that still writes no {name} fails."
    ),
    "adding-required-field": _locks(
        "{on}.{name} is NOT NULL without a default: on a table that holds rows the statement fails,"
        " and INSERTs of the release before, which does not know the column, fail as well."
    ),
    "adding-serial-primary-key-field": _locks(
        "The primary key's index is built under ACCESS EXCLUSIVE: every read and write of {on} waits until it is."
    ),
    "ban-alter-domain-with-add-constraint": _locks(
        "A constraint on the domain {on} reads every table that uses it, under a lock that stops writes."
    ),
    "ban-alter-identity": _takes_away("INSERTs find another rule for the numbers of {on}.{name}."),
    "ban-char-field": Decision(Level.WARNING, "char(n) pads values with blanks, which comparisons then trip over."),
    "ban-create-domain-with-constraint": Decision(
        Level.WARNING, "The constraint of the domain {on} cannot be changed later without reading every table."
    ),
    "ban-drop-column": _takes_away("{on}.{name} is dropped, and its contents are lost."),
    "ban-drop-database": Decision(Level.ERROR, "The database is dropped."),
    "ban-drop-default": _takes_away("{on}.{name} loses its default: INSERTs that leave it out get NULL."),
    "ban-drop-domain": _takes_away("The domain {on} is dropped."),
    "ban-drop-extension": _takes_away("The extension {on} is dropped, with its types and functions."),
    "ban-drop-function": _takes_away("The function {on} is dropped."),
    "ban-drop-generated-expression": _takes_away("{on}.{name} is no longer computed."),
    "ban-drop-schema": _takes_away("The schema {on} is dropped."),
    "ban-drop-sequence": _takes_away("The sequence {on} is dropped."),
    "ban-drop-table": _takes_away("{on} is dropped, and its rows are lost."),
    "ban-drop-trigger": _takes_away("The trigger {name} of {on} is dropped."),
    "ban-drop-type": _takes_away("The type {on} is dropped."),
    "ban-drop-view": _takes_away("The view {on} is dropped."),
    "ban-duplicate-column-assignments": Decision(Level.ERROR, "A column is named twice: PostgreSQL will refuse it."),
    "ban-set-schema": _breaks("{on} moves to another schema: code that finds it in this one fails from then on."),
    "ban-truncate-cascade": Decision(
        Level.ERROR, "TRUNCATE … CASCADE empties {on} and every table that refers to it, under ACCESS EXCLUSIVE."
    ),
    "changing-column-type": _locks(
        "Another type for {on}.{name} rewrites the table under ACCESS EXCLUSIVE: every read and write of {on}"
        " waits until that ends, and code that expects the old type fails afterwards."
    ),
    "constraint-missing-not-valid": _locks(
        "The constraint is checked for every row of {on} under a lock that stops writes (for a check, reads as"
        " well) until that ends."
    ),
    "disallowed-unique-constraint": _locks(
        "The constraint's index is built under ACCESS EXCLUSIVE: every read and write of {on} waits until it is."
    ),
    "identifier-too-long": Decision(Level.ERROR, "PostgreSQL cuts a name at 63 bytes, and goes on with another name."),
    "prefer-bigint-over-int": Decision(
        Level.WARNING, "An id of 32 bits runs out after 2.1 billion rows, and widening it rewrites the table."
    ),
    "prefer-repack": _locks("The table is rewritten under ACCESS EXCLUSIVE: every read and write waits."),
    "prefer-timestamp-tz": Decision(
        Level.WARNING, "A timestamp without time zone means another moment in every session's time zone."
    ),
    "renaming-column": _breaks(
        "{on}.{name} gets another name: no release can serve before and after, so requests fail until all code is new."
    ),
    "renaming-object": _breaks(
        "{on} gets another name: no release can serve before and after, so requests fail until all code is new."
    ),
    "renaming-table": _breaks(
        "{on} gets another name: no release can serve before and after, so requests fail until all code is new."
    ),
    "require-concurrent-index-creation": _locks(
        "The index is built under SHARE: every INSERT, UPDATE and DELETE on {on} waits until it is."
    ),
    "require-concurrent-index-deletion": _locks(
        "DROP INDEX takes ACCESS EXCLUSIVE on the table of {on}: it waits for every reader, and everybody behind it"
        " waits too."
    ),
    "require-concurrent-partition-detach": _locks(
        "Detaching takes ACCESS EXCLUSIVE on {on}: every read and write of all its partitions waits."
    ),
    "require-concurrent-reindex": _locks("REINDEX stops writes to the table, and reads that want the index."),
    "syntax-error": Decision(Level.WARNING, "squawk cannot read this statement, so its rules did not look at it."),
    "transaction-nesting": Decision(
        Level.ERROR,
        "The statement begins or ends a transaction that is Alembic's: what came before is committed or lost,"
        " and the revision may be recorded although half of it is missing.",
    ),
}

#: Only where env.py does not go through `migration_gate.environment.run`, which sets it for every transaction.
LOCK_TIMEOUT = "require-lock-timeout"
DECISIONS[LOCK_TIMEOUT] = Decision(
    Level.WARNING,
    "env.py does not go through migration_gate.environment.run, so nothing bounds how long this waits for {on},"
    " and everybody behind it waits too.",
    "locks",
)

#: Rules that are switched off, and why.
OFF = {
    "ban-concurrent-index-creation-in-transaction": "concurrently-in-transaction says it for every such statement",
    "ban-drop-constraint": "the schema gets wider; SET NOT NULL by way of a check ends with dropping the check",
    "ban-drop-not-null": "the schema gets wider; a NULL comes only from code that knows of it",
    "ban-uncommitted-transaction": "Alembic begins and ends the transactions",
    "prefer-bigint-over-smallint": "a small number is usually no id",
    "prefer-identity": "serial and identity differ in style, and break nothing",
    "prefer-robust-stmts": "transactions make a revision whole; outside them IF NOT EXISTS keeps a broken index",
    "prefer-text-field": "widening a varchar rewrites nothing, and narrowing is changing-column-type",
    "require-enum-value-ordering": "at the end is where most new values belong, and nothing breaks",
    "require-statement-timeout": "a limit on locks protects others; a limit on statements only stops the migration",
}

#: Where one of the first is found, the other says the same of the same change.
SAYS_LESS = {
    "adding-foreign-key-constraint": "constraint-missing-not-valid",
    "disallowed-unique-constraint": "constraint-missing-not-valid",
    "adding-serial-primary-key-field": "constraint-missing-not-valid",
}
