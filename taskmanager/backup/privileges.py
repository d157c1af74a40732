"""Who owns what in a database, and who may do what with it: a line for each right, so that two databases compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskmanager.backup.connecting import Connection

# An owner's own rights are left out, which differ from version to version (PostgreSQL 17 added MAINTAIN), and so is
# MAINTAIN, which `GRANT ALL` of an older version becomes.
_RIGHTS = """
    WITH own AS (SELECT oid, nspname FROM pg_namespace
                 WHERE nspname <> 'information_schema' AND nspname NOT LIKE 'pg\\_%'),
    object (kind, name, owner, acl) AS (
        SELECT 'schema', quote_ident(nspname), nspowner, coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace WHERE oid IN (SELECT oid FROM own)
        UNION ALL
        SELECT CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' ELSE 'table' END,
               quote_ident(s.nspname) || '.' || quote_ident(c.relname), c.relowner,
               coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))
        FROM pg_class c JOIN own s ON s.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
        UNION ALL
        SELECT 'column', quote_ident(s.nspname) || '.' || quote_ident(c.relname) || '.' || quote_ident(a.attname),
               c.relowner, a.attacl
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN own s ON s.oid = c.relnamespace
        WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL
        SELECT 'function', quote_ident(s.nspname) || '.' || quote_ident(p.proname) || '('
               || pg_get_function_identity_arguments(p.oid) || ')', p.proowner,
               coalesce(p.proacl, acldefault('f', p.proowner))
        FROM pg_proc p JOIN own s ON s.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'e')
        UNION ALL
        SELECT 'default for ' || d.defaclobjtype::text, coalesce(quote_ident(s.nspname), 'every schema'), d.defaclrole,
               d.defaclacl
        FROM pg_default_acl d LEFT JOIN pg_namespace s ON s.oid = d.defaclnamespace
    )
    SELECT kind || ' ' || name || ' belongs to ' || pg_get_userbyid(owner) FROM object
    UNION
    SELECT kind || ' ' || name || ' of ' || pg_get_userbyid(owner) || ' grants ' || a.privilege_type || ' to '
           || coalesce(g.rolname, 'PUBLIC') || CASE WHEN a.is_grantable THEN ' with grant option' ELSE '' END
    FROM object CROSS JOIN aclexplode(acl) a LEFT JOIN pg_roles g ON g.oid = a.grantee
    WHERE a.grantee <> owner AND a.privilege_type <> 'MAINTAIN'
    ORDER BY 1
"""


def read_privileges(connection: Connection) -> tuple[str, ...]:
    """`table public.tasks belongs to ROLE`, `table public.tasks of ROLE grants SELECT to ROLE`, and so on."""
    return tuple(row[0] for row in connection.execute(_RIGHTS).fetchall())


def privileges_that_differ(expected: Sequence[str], found: Sequence[str]) -> Iterator[str]:
    """A sentence for each right that is missing, or that was not there."""
    yield from (f"missing: {line}" for line in sorted(set(expected) - set(found)))
    yield from (f"new: {line}" for line in sorted(set(found) - set(expected)))
