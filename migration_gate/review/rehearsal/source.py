"""The facts that a rehearsal takes from the source: read in one read-only session, none of them a row of its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from migration_gate.review.rehearsal.addresses import Connection

_OURS = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"


@dataclass(frozen=True)
class Identity:
    """Which database of which server. Two servers do not start in the same microsecond on the same port."""

    server: tuple[str, ...]
    database: str
    version: str
    major: int

    @classmethod
    def of(cls, session: Connection) -> Identity:
        row = cast(
            "tuple[Any, ...]",
            session.execute(
                "SELECT pg_postmaster_start_time()::text, current_setting('port'), current_database()::text,"
                " current_setting('server_version'), current_setting('server_version_num')::int / 10000"
            ).fetchone(),
        )
        return cls((row[0], row[1]), row[2], str(row[3]).split()[0], row[4])


@dataclass(frozen=True)
class TableFacts:
    """A table's size as the source's statistics tell it. `rows` is None where nobody ever counted."""

    schema: str
    name: str
    pages: int
    rows: int | None
    known_from: str

    @property
    def qualified(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class ColumnFacts:
    """A column's planner statistics that hold no value out of the table (pg_stats; `n_distinct` has its sign)."""

    null_frac: float
    avg_width: int
    n_distinct: float


@dataclass(frozen=True)
class Source:
    """What the scratch database is made after.

    `tables` by (schema, name), `columns` by (schema, table, column). `roles` own something or may do something here.
    `settings` are those that `ALTER DATABASE` and `ALTER ROLE` gave to sessions like the migrator's.
    """

    identity: Identity
    locale: Mapping[str, str]
    tables: Mapping[tuple[str, str], TableFacts]
    columns: Mapping[tuple[str, str, str], ColumnFacts]
    roles: frozenset[str]
    settings: tuple[tuple[str, str], ...]


def read(session: Connection) -> Source:
    """Read all of it."""
    return Source(
        Identity.of(session), _locale(session), _tables(session), _columns(session), _roles(session), _settings(session)
    )


def _tables(session: Connection) -> dict[tuple[str, str], TableFacts]:
    rows = session.execute(
        f"""SELECT n.nspname::text, c.relname::text, c.relpages, c.reltuples::float8,
                   coalesce(s.n_live_tup, 0), pg_relation_size(c.oid)
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
            WHERE c.relkind IN ('r', 'p', 'm') AND {_OURS}"""
    ).fetchall()
    found = {}
    for schema, name, pages, reltuples, live, size in cast("list[tuple[Any, ...]]", rows):
        # Below zero: neither VACUUM nor ANALYZE has seen it yet.
        if reltuples >= 0:
            count, known_from = round(reltuples), "reltuples"
        elif live:
            count, known_from = live, "n_live_tup"
        elif size == 0:
            count, known_from = 0, "its size"
        else:
            count, known_from = None, "nothing"
        found[schema, name] = TableFacts(schema, name, pages, count, known_from)
    return found


def _columns(session: Connection) -> dict[tuple[str, str, str], ColumnFacts]:
    rows = session.execute(
        f"""SELECT n.schemaname::text, n.tablename::text, n.attname::text, n.null_frac, n.avg_width, n.n_distinct
            FROM (SELECT *, schemaname AS nspname FROM pg_stats) n WHERE NOT n.inherited AND {_OURS}"""
    ).fetchall()
    return {(row[0], row[1], row[2]): ColumnFacts(*row[3:]) for row in cast("list[tuple[Any, ...]]", rows)}


def _roles(session: Connection) -> frozenset[str]:
    """Owners, grantees and roles of policies. What the bootstrap superuser owns, pg_shdepend does not list."""
    rows = session.execute(
        """SELECT r.rolname::text FROM pg_roles r
           WHERE r.oid IN (SELECT d.refobjid FROM pg_shdepend d
                           WHERE d.refclassid = 'pg_authid'::regclass
                             AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))
              OR r.oid IN (SELECT relowner FROM pg_class WHERE oid >= 16384)"""
    ).fetchall()
    return frozenset(str(row[0]) for row in rows)


def _settings(session: Connection) -> tuple[tuple[str, str], ...]:
    """Of the role, of the database, of the role in the database: the later wins, as in a session."""
    rows = session.execute(
        """SELECT unnest(s.setconfig) FROM pg_db_role_setting s
           WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
             AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
           ORDER BY s.setdatabase <> 0 AND s.setrole <> 0, s.setdatabase <> 0, s.setrole <> 0"""
    ).fetchall()
    settings = {}
    for row in rows:
        name, _, value = str(row[0]).partition("=")
        settings[name] = value
    return tuple(settings.items())


def _locale(session: Connection) -> dict[str, str]:
    """CREATE DATABASE's options. The row's columns differ from one major version to the next."""
    row = session.execute("SELECT to_jsonb(d) FROM pg_database d WHERE datname = current_database()").fetchone()
    facts = cast("dict[str, Any]", cast("tuple[Any, ...]", row)[0])
    encoding = session.execute("SELECT pg_encoding_to_char(%s::int)", [facts["encoding"]]).fetchone()
    locale = {
        "ENCODING": str(cast("tuple[Any, ...]", encoding)[0]),
        "LC_COLLATE": str(facts["datcollate"]),
        "LC_CTYPE": str(facts["datctype"]),
    }
    provider = {"i": "icu", "b": "builtin"}.get(facts.get("datlocprovider", "c"))
    named = facts.get("datlocale") or facts.get("daticulocale")
    if provider and named:
        locale |= {"LOCALE_PROVIDER": provider, "ICU_LOCALE" if provider == "icu" else "BUILTIN_LOCALE": str(named)}
    return locale
