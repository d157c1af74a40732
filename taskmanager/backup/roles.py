"""The roles that a database uses, and what the database itself grants: what pg_dump leaves out, since roles are the
server's.

Whoever may connect may read this. Passwords are for superusers alone, and no backup of this kind holds any.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from taskmanager.backup.connecting import Connection

# Who owns or was granted something here, whom they are members of, and who is a member of them by choice: since
# PostgreSQL 16 whoever makes a role becomes a member that can only administer it.
_ROLES = """
    WITH RECURSIVE database AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()),
    membership AS (
        SELECT m.roleid, m.member, m.admin_option,
               coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) AS inherit,
               coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS set
        FROM pg_auth_members m
    ),
    used AS (
        SELECT d.refobjid AS oid FROM pg_shdepend d, database b
        WHERE d.refclassid = 'pg_authid'::regclass
          AND (d.dbid = b.oid OR (d.classid = 'pg_database'::regclass AND d.objid = b.oid))
        UNION SELECT datdba FROM database
        UNION
        SELECT CASE WHEN m.member = u.oid THEN m.roleid ELSE m.member END
        FROM used u JOIN membership m
          ON m.member = u.oid
          OR (m.roleid = u.oid AND (m.inherit OR m.set) AND u.oid >= 16384)
    )
    SELECT r.rolname::text, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin, r.rolreplication,
           r.rolbypassrls, r.rolconnlimit,
           CASE WHEN isfinite(r.rolvaliduntil)
                THEN to_char(r.rolvaliduntil AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
                ELSE r.rolvaliduntil::text END,
           ARRAY(SELECT s FROM unnest(r.rolconfig) s ORDER BY 1),
           ARRAY(SELECT s FROM pg_db_role_setting g, database b, unnest(g.setconfig) s
                 WHERE g.setdatabase = b.oid AND g.setrole = r.oid ORDER BY 1),
           (SELECT coalesce(jsonb_agg(jsonb_build_object('role', g.rolname, 'admin', m.admin_option,
                                                         'inherit', m.inherit, 'set', m.set) ORDER BY g.rolname), '[]')
            FROM membership m JOIN pg_roles g ON g.oid = m.roleid
            WHERE m.member = r.oid AND (m.inherit OR m.set) AND m.roleid IN (SELECT oid FROM used))
    FROM pg_roles r WHERE r.oid IN (SELECT oid FROM used) AND r.rolname NOT LIKE 'pg\\_%' ORDER BY 1
"""

_DATABASE = """
    SELECT pg_get_userbyid(d.datdba)::text, pg_encoding_to_char(d.encoding), d.datcollate::text, d.datctype::text,
           coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
           ARRAY(SELECT coalesce(g.rolname::text, 'PUBLIC') || ' ' || a.privilege_type
                        || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                 FROM aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
                 LEFT JOIN pg_roles g ON g.oid = a.grantee
                 WHERE a.grantee <> d.datdba ORDER BY 1),
           ARRAY(SELECT s FROM pg_db_role_setting g, unnest(g.setconfig) s
                 WHERE g.setdatabase = d.oid AND g.setrole = 0 ORDER BY 1)
    FROM pg_database d WHERE d.datname = current_database()
"""


@dataclass(frozen=True)
class Membership:
    role: str
    admin: bool
    inherit: bool
    set: bool


@dataclass(frozen=True)
class Role:
    """A role without its password. `settings` and `settings_here` are NAME=VALUE, everywhere and in this database."""

    name: str
    superuser: bool
    inherit: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    connection_limit: int
    valid_until: str | None
    settings: tuple[str, ...]
    settings_here: tuple[str, ...]
    member_of: tuple[Membership, ...]


@dataclass(frozen=True)
class DatabaseFacts:
    """`grants` are ROLE PRIVILEGE, the owner's own left out; `provider` is PostgreSQL's letter: b, c or i."""

    owner: str
    encoding: str
    collate: str
    ctype: str
    provider: str
    grants: tuple[str, ...]
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Roles:
    roles: tuple[Role, ...]
    database: DatabaseFacts

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(role.name for role in self.roles)

    @property
    def checksum(self) -> str:
        """Of all that a restore brings back: the roles, their memberships and what the database grants them. The
        locale is the new database's own."""
        database = asdict(self.database)
        kept = {name: database[name] for name in ("owner", "grants", "settings")}
        meant = {"roles": [asdict(role) for role in self.roles], "database": kept}
        return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {"checksum": self.checksum, "roles": [asdict(role) for role in self.roles]} | {
            "database": asdict(self.database)
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Roles:
        return cls(
            tuple(_role(role) for role in found["roles"]),
            DatabaseFacts(
                **found["database"] | {name: tuple(found["database"][name]) for name in ("grants", "settings")}
            ),
        )


def _role(found: Mapping[str, Any]) -> Role:
    members = tuple(Membership(**each) for each in found["member_of"])
    lists = {name: tuple(found[name]) for name in ("settings", "settings_here")}
    return Role(**dict(found) | lists | {"member_of": members})


def read_roles(connection: Connection) -> Roles:
    """The roles of the session's database."""
    roles = tuple(map(_role_of_row, connection.execute(_ROLES).fetchall()))
    facts = connection.execute(_DATABASE).fetchone()
    assert facts is not None  # noqa: S101  the session is connected to it
    *words, grants, settings = facts
    return Roles(roles, DatabaseFacts(*(*words, tuple(grants), tuple(settings))))


def _role_of_row(row: Sequence[Any]) -> Role:
    *plain, settings, settings_here, member_of = row
    members = tuple(Membership(**each) for each in member_of)
    return Role(*(*plain, tuple(settings), tuple(settings_here), members))


def roles_that_differ(expected: Roles, found: Roles) -> Iterator[str]:
    """A sentence for each role, and for the database, that is not what it was."""
    by_name = {role.name: role for role in found.roles}
    for role in expected.roles:
        other = by_name.get(role.name)
        if other is None:
            yield f"the role {role.name} is missing, or has nothing here"
            continue
        mine, its = asdict(role), asdict(other)
        for name in mine:
            if mine[name] != its[name]:
                yield f"the role {role.name} has another {name.replace('_', ' ')}"
    yield from (f"the role {name} is new" for name in sorted(set(found.names) - set(expected.names)))
    if expected.database.owner != found.database.owner:
        yield f"the database belongs to {found.database.owner}, and belonged to {expected.database.owner}"
    if expected.database.grants != found.database.grants:
        yield "the database grants other rights to connect"
    if expected.database.settings != found.database.settings:
        yield "the database has other settings"
