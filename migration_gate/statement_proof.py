"""The application's statements, tried on a live database without running any of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping

from migration_gate.observed import BrokenStatement
from migration_gate.reading import Rows, SqlFault


def proof(statements: Mapping[str, str]) -> Generator[str, Rows, tuple[BrokenStatement, ...]]:
    """Yield what proves `statements` (name to SQL, with $1-style parameters), and return the broken ones.

    As the role of the session, each is prepared, which finds missing tables and columns, and explained, which
    finds missing privileges. Nothing is executed. A fault that says nothing of the statement, such as a lock
    timeout, goes on to the caller.

    It all happens in one transaction, begun and rolled back here, since a pooler may give each transaction another
    session of the server, and a prepared statement belongs to its session.
    """
    broken = []
    yield "BEGIN"
    # No `finally`: whoever leaves in the middle closes the generator, and a yield then would be an error.
    try:
        for name, sql in statements.items():
            yield "SAVEPOINT migration_gate_proof"
            try:
                yield f"PREPARE migration_gate_proof AS {sql}"
            except SqlFault as fault:
                broken.append(_broken(name, fault))
                yield _BACK
                continue
            refused = None
            try:
                yield from _explain()
            except SqlFault as fault:
                refused = fault
                yield _BACK
            # A prepared statement outlives the transaction in which it was prepared.
            yield "DEALLOCATE migration_gate_proof"
            if refused is not None:
                broken.append(_broken(name, refused))
    except SqlFault:
        yield "ROLLBACK"
        raise
    yield "ROLLBACK"
    return tuple(broken)


_BACK = "ROLLBACK TO SAVEPOINT migration_gate_proof"


def _explain() -> Generator[str, Rows, None]:
    parameters = yield (
        "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'migration_gate_proof'"
    )
    nulls = ", ".join(["NULL"] * parameters[0][0])
    yield f"EXPLAIN EXECUTE migration_gate_proof{f'({nulls})' if nulls else ''}"


def _broken(name: str, fault: SqlFault) -> BrokenStatement:
    """Only classes 42 (unknown object, no privilege) and 3F (no such schema) speak of the statement."""
    if fault.sqlstate[:2] not in {"42", "3F"}:
        raise fault
    return BrokenStatement(name, fault.sqlstate, fault.message)
