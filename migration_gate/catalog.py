"""What a schema consists of, object by object, and how it differs from what a migration left.

The catalog is compared with the one that the ledger keeps of the last run: who changes a table by hand is told by
the names of what differs. Autogenerate compares models, and does not see checks, views, functions, triggers,
enum values, policies, nor whether an index is valid.

Not counted, since they change without anybody's migration: partitions, temporary tables, what extensions bring,
privileges, and the gate's own tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from migration_gate.reading import Rows
from migration_gate.tables import LEDGER_TABLES, REVISION_TABLE, RUN_TABLE, VersionTable, literal

# The first format of the ledger that keeps a catalog.
LEDGER_WITH_CATALOG = 2

# What counts as an object, and how it is worded: one more whenever either changes, or what another release of the gate
# recorded would seem to have been changed by hand.
DEFINITION = 2

_INVALID = " INVALID"


@dataclass(frozen=True)
class Catalog:
    """The objects of some schemas: kind and qualified name, such as `column public.book.title`, to definition.

    `server` is PostgreSQL's major version, since another one may word the same definition otherwise.
    """

    schemas: tuple[str, ...]
    server: int
    objects: Mapping[str, str]

    @property
    def checksum(self) -> str:
        content = json.dumps([self.server, sorted(self.schemas), sorted(self.objects.items())])
        return "sha256:" + hashlib.sha256(content.encode()).hexdigest()

    def as_json(self) -> str:
        document = {"definition": DEFINITION, "schemas": list(self.schemas), "server": self.server}
        return json.dumps(document | {"objects": dict(self.objects)})

    @classmethod
    def from_json(cls, text: str) -> Catalog:
        document = json.loads(text)
        return cls(tuple(document["schemas"]), document["server"], document["objects"])


def differences(recorded: Catalog, live: Catalog) -> tuple[str, ...]:
    """What somebody did to get from one to the other: a sentence an object, none where they agree."""
    found = []
    # A table that is gone takes its columns, constraints and indexes with it: one sentence says it.
    for key in sorted(recorded.objects.keys() | live.objects.keys()):
        before, now = recorded.objects.get(key), live.objects.get(key)
        if now is not None and now.endswith(_INVALID):
            continue  # an index whose build failed: half done, and told as that
        if before is None and now is not None:
            if not _within_new_or_gone(key, live.objects, recorded.objects):
                found.append(f"{key} was added: {now}" if now else f"{key} was added")
        elif now is None:
            if not _within_new_or_gone(key, recorded.objects, live.objects):
                found.append(f"{key} is gone")
        elif before != now and recorded.server == live.server:
            found.append(f"{key} was {before} and is {now}")
    return tuple(found)


def _within_new_or_gone(key: str, here: Mapping[str, str], there: Mapping[str, str]) -> bool:
    """Whether the object's table is one that only one of the two catalogs has."""
    kind, _, name = key.partition(" ")
    if kind not in {"column", "constraint", "index", "trigger", "policy", "rule"}:
        return False
    table = "table " + name.rpartition(".")[0]
    return table in here and table not in there


def catalog(schemas: Sequence[str], version_table: str) -> Generator[str, Rows, Catalog]:
    """Yield the one statement that reads the objects of `schemas`, and return them."""
    rows = yield _objects(schemas, version_table)
    server = 0
    objects = {}
    for kind, name, definition in rows:
        if kind == "server":
            server = int(name) // 10_000
        else:
            objects[f"{kind} {name}"] = definition or ""
    return Catalog(tuple(schemas), server, objects)


def drift(table: VersionTable) -> Generator[str, Rows, tuple[str, ...] | None]:
    """Compare the live catalog with the one that the newest run left.

    Returns None where that is not known: no run has recorded one, or revisions came or went since (a stamp, or a run
    that was killed), or a release of the gate that counts otherwise recorded it. The ledger must be there and readable.
    """
    runs, revisions = table.beside(RUN_TABLE), table.beside(REVISION_TABLE)
    rows = yield (
        "SELECT r.catalog_checksum, (r.catalog -> 'schemas')::text,"
        f" EXISTS (SELECT FROM {revisions} v WHERE v.run_id > r.id), r.id,"
        " current_setting('search_path'), current_setting('lock_timeout'),"
        " coalesce((r.catalog ->> 'definition')::int, 1)"
        f" FROM {runs} r WHERE r.catalog IS NOT NULL ORDER BY r.id DESC LIMIT 1"
    )
    if not rows:
        return None
    checksum, schemas, moved, run, search_path, lock_timeout, definition = rows[0]
    if moved or definition != DEFINITION:
        return None
    live = yield from catalog(json.loads(schemas), table.name)
    # In a transaction of the caller's the path would stay empty, and the ledger be out of sight.
    yield (
        f"SELECT set_config('search_path', {literal(search_path)}, true),"
        f" set_config('lock_timeout', {literal(lock_timeout)}, true)"
    )
    if live.checksum == checksum:
        return ()
    rows = yield f"SELECT catalog::text FROM {runs} WHERE id = {run}"
    return differences(Catalog.from_json(rows[0][0]), live)


def _objects(schemas: Sequence[str], version_table: str) -> str:
    names = ", ".join(literal(schema) for schema in schemas)
    own = ", ".join(literal(name) for name in sorted({version_table, *LEDGER_TABLES}))
    # PostgreSQL leaves out of a definition the schemas on the search path, which differs between roles. The path is
    # emptied for this statement's transaction alone, before any definition is asked for. Some definitions need a lock
    # on their table, if only the weakest: nobody must wait long for an answer because another works on a table.
    return f"""
        WITH path AS MATERIALIZED (SELECT set_config('search_path', '', true) AS emptied,
                                          set_config('lock_timeout', '500ms', true) AS bounded),
        space AS MATERIALIZED (SELECT n.oid, n.nspname FROM pg_namespace n, path
                               WHERE path.emptied = '' AND n.nspname IN ({names})),
        extended AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
        relation AS MATERIALIZED (
            SELECT c.*, s.nspname || '.' || c.relname AS name FROM pg_class c JOIN space s ON s.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND NOT c.relispartition AND c.relpersistence <> 't'
              AND c.relname NOT IN ({own})
              AND NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
              AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid
                              WHERE c.relkind = 'S' AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                                AND d.refclassid = 'pg_class'::regclass)
        )
        SELECT 'server', current_setting('server_version_num'), ''
        UNION ALL
        SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END, name,
               CASE WHEN relkind = 'v' THEN concat_ws(' ', pg_get_viewdef(oid, true), array_to_string(reloptions, ' '))
                    WHEN relkind = 'm' THEN pg_get_viewdef(oid, true)
                    WHEN relkind = 'S' THEN (SELECT format_type(seqtypid, NULL) || ' by ' || seqincrement
                                             FROM pg_sequence WHERE seqrelid = relation.oid)
                    ELSE concat_ws(' ', CASE relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' END,
                                   CASE relpersistence WHEN 'u' THEN 'unlogged' END,
                                   CASE WHEN relrowsecurity THEN 'row security' END,
                                   CASE WHEN relforcerowsecurity THEN 'forced' END,
                                   (SELECT 'inherits ' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
                                    FROM pg_inherits WHERE inhrelid = relation.oid)) END
        FROM relation
        UNION ALL
        SELECT 'column', r.name || '.' || a.attname,
               concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                         CASE WHEN a.attidentity <> '' THEN 'identity ' || a.attidentity::text END,
                         CASE WHEN a.attgenerated <> '' THEN 'generated' ELSE 'default' END
                             || ' ' || pg_get_expr(d.adbin, d.adrelid),
                         CASE WHEN a.attcollation <> t.typcollation THEN 'collate ' || l.collname END)
        FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type t ON t.oid = a.atttypid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        LEFT JOIN pg_collation l ON l.oid = a.attcollation
        WHERE r.relkind IN ('r', 'p', 'f')
        UNION ALL
        SELECT 'constraint', r.name || '.' || c.conname, pg_get_constraintdef(c.oid, true)
        FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
        -- A foreign key to a partitioned table has a child for each partition.
        WHERE c.contype IN ('c', 'f', 'p', 'u', 'x') AND c.conparentid = 0
        UNION ALL
        SELECT 'index', r.name || '.' || i.relname,
               CASE WHEN i.reloptions IS NULL THEN pg_get_indexdef(i.oid)
                    ELSE regexp_replace(pg_get_indexdef(i.oid), ' WITH [(][^()]*[)]', '') END
               || CASE WHEN NOT x.indisvalid THEN '{_INVALID}' ELSE '' END
        FROM relation r JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class i ON i.oid = x.indexrelid
        WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x'))
        UNION ALL
        SELECT 'trigger', r.name || '.' || t.tgname, pg_get_triggerdef(t.oid, true)
               || CASE t.tgenabled WHEN 'D' THEN ' DISABLED' WHEN 'R' THEN ' REPLICA' WHEN 'A' THEN ' ALWAYS'
                                   ELSE '' END
        FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
        UNION ALL
        SELECT 'policy', r.name || '.' || p.polname,
               concat_ws(' ', p.polcmd::text, CASE WHEN NOT p.polpermissive THEN 'restrictive' END,
                         (SELECT 'to ' || string_agg(coalesce(o.rolname, 'PUBLIC'), ', ' ORDER BY o.rolname)
                          FROM unnest(p.polroles) AS u (role) LEFT JOIN pg_roles o ON o.oid = u.role),
                         'using ' || pg_get_expr(p.polqual, p.polrelid),
                         'with check ' || pg_get_expr(p.polwithcheck, p.polrelid))
        FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
        UNION ALL
        SELECT 'rule', r.name || '.' || w.rulename, pg_get_ruledef(w.oid, true)
        FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
        UNION ALL
        SELECT 'function', s.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE 'md5 ' || md5(pg_get_functiondef(p.oid)) END
        FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
        UNION ALL
        SELECT 'type', s.nspname || '.' || t.typname,
               CASE t.typtype
                   WHEN 'e' THEN (SELECT string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder) FROM pg_enum e
                                  WHERE e.enumtypid = t.oid)
                   WHEN 'd' THEN concat_ws(' ', format_type(t.typbasetype, t.typtypmod),
                                           CASE WHEN t.typnotnull THEN 'NOT NULL' END, 'default ' || t.typdefault,
                                           (SELECT string_agg(d.text, ' ' ORDER BY d.text)
                                            FROM (SELECT pg_get_constraintdef(c.oid, true) AS text
                                                  FROM pg_constraint c WHERE c.contypid = t.oid) d))
                   ELSE (SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                                           ORDER BY a.attnum)
                         FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) END
        FROM pg_type t JOIN space s ON s.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
        WHERE (t.typtype IN ('e', 'd') OR (t.typtype = 'c' AND c.relkind = 'c'))
          AND NOT EXISTS (SELECT FROM extended e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
    """
