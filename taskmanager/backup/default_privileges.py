"""What a database grants on everything that is made in it, taken back while a backup is brought in.

A dump says what was granted and not what was withheld, so each table would get both: what it had, and what the new
database grants by default. The dump holds the default privileges of the old one, which are what is there afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from taskmanager.backup.connecting import Connection

_DEFAULTS = """
    SELECT pg_get_userbyid(d.defaclrole)::text, n.nspname::text, d.defaclobjtype::text, g.rolname::text,
           a.privilege_type, a.is_grantable
    FROM pg_default_acl d CROSS JOIN aclexplode(d.defaclacl) a LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
    LEFT JOIN pg_roles g ON g.oid = a.grantee
    WHERE a.grantee <> d.defaclrole AND pg_has_role(current_user, d.defaclrole, 'MEMBER')
    ORDER BY 1, 2, 3, 4, 5
"""
_KINDS = {"r": "TABLES", "S": "SEQUENCES", "f": "FUNCTIONS", "T": "TYPES", "n": "SCHEMAS", "L": "LARGE OBJECTS"}


@contextmanager
def suspended_default_privileges(connection: Connection) -> Iterator[None]:
    """Take them back, and grant them again where what is done meanwhile fails."""
    granted = connection.execute(_DEFAULTS).fetchall()
    with connection.transaction():
        for owner, schema, kind, grantee, privilege, _ in granted:
            _alter(connection, owner, schema, _words("REVOKE", privilege, kind, grantee, "FROM"))
    try:
        yield
    except BaseException:
        if not connection.closed:
            with connection.transaction():
                for owner, schema, kind, grantee, privilege, grantable in granted:
                    option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
                    _alter(connection, owner, schema, _words("GRANT", privilege, kind, grantee, "TO") + option)
        raise


def _words(verb: str, privilege: str, kind: str, grantee: str | None, preposition: str) -> sql.Composed:
    who = sql.Identifier(grantee) if grantee is not None else sql.SQL("PUBLIC")
    # The words are PostgreSQL's own and this module's.
    begins = f"{verb} {privilege} ON {_KINDS[kind]} {preposition} ".encode()
    return sql.SQL(begins.decode()) + who


def _alter(connection: Connection, owner: str, schema: str | None, words: sql.Composed) -> None:
    where = sql.SQL(" IN SCHEMA {}").format(sql.Identifier(schema)) if schema is not None else sql.SQL("")
    connection.execute(sql.SQL("ALTER DEFAULT PRIVILEGES FOR ROLE {}{} {}").format(sql.Identifier(owner), where, words))
