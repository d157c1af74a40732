"""What the database is: the SQL that reads it. `reading` tells how it is run."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from migration_gate.errors import DatabaseUnreachable, Rung
from migration_gate.observe_ledger import LedgerRead, Memory, read_ledger
from migration_gate.observed import Observed
from migration_gate.reading import Rows
from migration_gate.tables import (
    IDENTITY_TABLE,
    LEDGER_TABLES,
    OVERRIDE_TABLE,
    REVISION_TABLE,
    RUN_TABLE,
    STEP_TABLE,
    VersionTable,
    literal,
    quote,
)

Observation = Generator[str, Rows, Observed]

# How often the version table and the ledger are read again while a run moves on between them. What does not agree then
# does so at the next check.
_LOOKS_AT_A_RUN = 3


def observation(version_table: VersionTable | None = None, memory: Memory | None = None) -> Observation:
    """Yield the statements that read the schema's state, and return an `Observed`, no statement proven.

    Raises
    ------
    DatabaseUnreachable: the server is a standby, which can neither be migrated nor written to.
    """
    table = version_table or VersionTable()
    memory = memory or Memory()
    facts = (yield _facts(table))[0]
    database, role, standby, schema, exists, readable, others, unusable, elsewhere = facts[:9]
    if standby:
        raise standby_fault()
    ledger = dict(zip(_LEDGER, facts[9:], strict=True))
    revisions = (yield from _revisions(table)) if readable else ()
    found = LedgerRead()
    if ledger[REVISION_TABLE] and ledger[RUN_TABLE]:
        found = yield from read_ledger(table, schema, ledger, memory)
        for _ in range(_LOOKS_AT_A_RUN if readable else 0):
            # A revision that was applied between the two reads, by a run that is over in the second, would look like
            # one that nobody applies.
            now = yield from _revisions(table)
            if now == revisions:
                break
            revisions = now
            found = yield from read_ledger(table, schema, ledger, memory)
    invalid, unvalidated = yield from _left_over(found.schemas or (schema,))
    others_elsewhere = yield from _elsewhere(table, elsewhere if not exists and not unusable else ())
    return Observed(
        database=database,
        role=role,
        has_version_table=bool(exists),
        version_table_readable=bool(readable),
        has_other_tables=bool(others),
        revisions=revisions,
        applied=found.applied,
        last_run=found.last_run,
        runs=found.runs,
        running=found.running,
        override=found.override,
        ledger_format=found.format,
        project=found.project,
        unusable_schema=unusable,
        elsewhere=others_elsewhere,
        unfinished=() if found.running else found.unfinished,
        # What a migrator builds at this moment is invalid until it is built.
        invalid_indexes=() if found.running else invalid,
        unvalidated_constraints=() if found.running else unvalidated,
    )


def _revisions(table: VersionTable) -> Generator[str, Rows, tuple[str, ...]]:
    rows = yield f"SELECT version_num FROM {table.qualified}"
    return tuple(sorted(row[0] for row in rows))


def standby_fault() -> DatabaseUnreachable:
    """The address leads to a standby: it answers, and can neither be migrated nor written to."""
    return DatabaseUnreachable(
        "the server is a standby, which takes no writes",
        transient=True,
        rung=Rung.IN_RECOVERY,
        solution="name the primary in the database's address; during a failover, wait for the promotion",
    )


_LEDGER = (REVISION_TABLE, RUN_TABLE, IDENTITY_TABLE, STEP_TABLE, OVERRIDE_TABLE)


def _facts(table: VersionTable) -> str:
    own = ", ".join(literal(name) for name in sorted({table.name, *LEDGER_TABLES}))
    schema = "current_schema()::text" if table.schema is None else literal(table.schema)
    # Where the role would look, whether it may or not.
    path = "string_to_array(current_setting('search_path'), ',')" if table.schema is None else f"ARRAY[{schema}]"
    # Tables that belong to an extension say nothing about this application.
    return f"""
        SELECT current_database()::text, current_user::text, pg_is_in_recovery(),
               coalesce((SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                         WHERE c.oid = {_oid(table, table.name)}), {schema}, ''),
               {_oid(table, table.name)} IS NOT NULL,
               {_readable(table, table.name)},
               EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                       WHERE n.nspname = {schema} AND c.relkind IN ('r', 'p') AND c.relname NOT IN ({own})
                         AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                         AND d.objid = c.oid AND d.deptype = 'e')),
               (SELECT n.nspname::text FROM unnest({path}) WITH ORDINALITY AS p (part, position)
                JOIN pg_namespace n ON n.nspname = CASE btrim(part, ' "') WHEN '$user' THEN current_user
                                                   ELSE btrim(part, ' "') END
                WHERE NOT has_schema_privilege(n.oid, 'USAGE') ORDER BY position LIMIT 1),
               ARRAY(SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE {table.schema is None} AND c.relname = {literal(table.name)} AND c.relkind IN ('r', 'p')
                       AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
                       AND c.relpersistence <> 't' ORDER BY 1 LIMIT 5),
               {", ".join(_readable(table, name) for name in _LEDGER)}
    """


def _oid(table: VersionTable, name: str) -> str:
    """SQL for a table's oid, or NULL. In a schema that the role may not use, to_regclass would be an error."""
    if table.schema is None:
        return f"to_regclass({literal(quote(name))})::oid"
    namespace = f"(SELECT oid FROM pg_namespace WHERE nspname = {literal(table.schema)})"
    return f"(SELECT oid FROM pg_class WHERE relname = {literal(name)} AND relnamespace = {namespace})"


def _readable(table: VersionTable, name: str) -> str:
    oid = _oid(table, name)
    schema = f"(SELECT relnamespace FROM pg_class WHERE oid = {oid})"
    return f"coalesce(has_schema_privilege({schema}, 'USAGE') AND has_table_privilege({oid}, 'SELECT'), false)"


def _left_over(schemas: Sequence[str]) -> Generator[str, Rows, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Indexes that no query may use, and constraints that old rows may violate."""
    names = ", ".join(literal(schema) for schema in schemas)
    # pg_constraint.conenforced is new in PostgreSQL 18; what is not enforced is not validated either, on purpose.
    rows = yield f"""
        SELECT 'index', quote_ident(n.nspname) || '.' || quote_ident(c.relname)
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname IN ({names})
        UNION ALL
        SELECT 'constraint', concat_ws('.', quote_ident(n.nspname), quote_ident(r.relname), quote_ident(c.conname))
        FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE NOT c.convalidated AND NOT r.relispartition AND n.nspname IN ({names})
          AND coalesce((to_jsonb(c) ->> 'conenforced')::boolean, true)
        ORDER BY 1, 2
    """
    kinds: dict[str, list[str]] = {"index": [], "constraint": []}
    for kind, name in rows:
        kinds[kind].append(name)
    return tuple(kinds["index"]), tuple(kinds["constraint"])


def _elsewhere(table: VersionTable, schemas: Sequence[str]) -> Generator[str, Rows, dict[str, tuple[str, ...]]]:
    found = {}
    for schema in schemas:
        rows = yield f"SELECT version_num::text FROM {VersionTable(table.name, schema).qualified}"
        found[schema] = tuple(sorted(row[0] for row in rows))
    return found
