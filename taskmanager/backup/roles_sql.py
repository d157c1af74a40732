"""The statements that make roles anew, for whoever may run them; a role that is there is left as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import sql

from taskmanager.backup.roles import Membership, Role, Roles

# The settings that PostgreSQL calls GUC_LIST_QUOTE, as pg_dump knows them too.
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)
_LISTED = re.compile(r'"((?:[^"]|"")+)"|([^\s,"]+)')

_HEAD = """\
-- The roles that the database {database} uses, as of {made_at}.
-- Run it as a superuser, or as a role with CREATEROLE, on the server that is to have them:
--   psql --dbname=postgres --file=roles.sql
-- What it holds no trace of are passwords: no role but a superuser can read them. Give each role its own afterwards:
--   \\password ROLE
"""


def script(roles: Roles, database: str, made_at: str) -> str:
    """All of it, for psql. Superusers are named and not made."""
    lines = [_HEAD.format(database=_one_line(database), made_at=made_at)]
    lines += [f"{statement};\n" for role in roles.roles for statement in _guarded(role)]
    lines += [f"{statement};\n" for role in roles.roles for statement in memberships(role)]
    lines.append(f"-- The database itself: taskmanager restore does this, and so can you.\n-- {_one_line(database)}\n")
    lines += [f"-- {_one_line(statement)};\n" for statement in of_database(roles, database)]
    return "".join(lines)


def create(role: Role) -> str:
    """CREATE ROLE, without a password."""
    words = ["LOGIN" if role.login else "NOLOGIN", "INHERIT" if role.inherit else "NOINHERIT"]
    for has, word in (
        (role.createdb, "CREATEDB"),
        (role.createrole, "CREATEROLE"),
        (role.replication, "REPLICATION"),
        (role.bypassrls, "BYPASSRLS"),
    ):
        if has:
            words.append(word)
    if role.connection_limit != -1:
        words.append(f"CONNECTION LIMIT {role.connection_limit}")
    text = f"CREATE ROLE {_name(role.name)} {' '.join(words)}"
    return text if role.valid_until is None else f"{text} VALID UNTIL {_literal(role.valid_until)}"


def memberships(role: Role) -> Iterator[str]:
    """GRANT of every role that it is a member of, and its settings."""
    for membership in role.member_of:
        yield f"GRANT {_name(membership.role)} TO {_name(role.name)}{_options(membership)}"
    for name, value in map(_parted, role.settings):
        yield f"ALTER ROLE {_name(role.name)} SET {_name(name)} TO {_value(name, value)}"


def of_database(roles: Roles, database: str) -> Iterator[str]:
    """What the database itself grants and sets. Its owner, or a superuser, may run it."""
    yield f"REVOKE ALL ON DATABASE {_name(database)} FROM PUBLIC"
    for grant in roles.database.grants:
        who, _, what = grant.partition(" ")
        # A role's name may hold blanks; a privilege of a database is one word.
        option = ""
        if what.endswith(" WITH GRANT OPTION"):
            what, option = what.removesuffix(" WITH GRANT OPTION"), " WITH GRANT OPTION"
        parts = f"{who} {what}".rsplit(" ", 1)
        grantee = "PUBLIC" if parts[0] == "PUBLIC" else _name(parts[0])
        yield f"GRANT {parts[1]} ON DATABASE {_name(database)} TO {grantee}{option}"
    for name, value in map(_parted, roles.database.settings):
        yield f"ALTER DATABASE {_name(database)} SET {_name(name)} TO {_value(name, value)}"
    for role in roles.roles:
        for name, value in map(_parted, role.settings_here):
            where = f"{_name(role.name)} IN DATABASE {_name(database)}"
            yield f"ALTER ROLE {where} SET {_name(name)} TO {_value(name, value)}"


def _guarded(role: Role) -> Iterator[str]:
    if role.superuser:
        yield f"-- {_one_line(role.name)} is a superuser: make it yourself, where it is wanted"
        return
    yield (
        f"DO $do$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_literal(role.name)}) THEN"
        f" {create(role)}; END IF; END $do$"
    )


def _options(membership: Membership) -> str:
    # The words of PostgreSQL 16 only where they say something.
    if not membership.inherit or not membership.set:
        return f" WITH ADMIN {membership.admin}, INHERIT {membership.inherit}, SET {membership.set}".upper()
    return " WITH ADMIN OPTION" if membership.admin else ""


def _parted(setting: str) -> tuple[str, str]:
    name, _, value = setting.partition("=")
    return name, value


def _value(name: str, value: str) -> str:
    """A list is kept as its quoted names with commas between; as one literal it would be one name."""
    if name not in _LISTS:
        return _literal(value)
    names = [quoted.replace('""', '"') if quoted else plain for quoted, plain in _LISTED.findall(value)]
    return ", ".join(map(_literal, names)) or "''"


def _name(text: str) -> str:
    return sql.Identifier(text).as_string(None)


def _literal(text: str) -> str:
    return sql.Literal(text).as_string(None)


def _one_line(text: str) -> str:
    return " ".join(text.split())
