"""A library's database in each of the gate's states: what the runbooks speak of, made for real.

Every function takes a project with its three migrations, none applied, and leaves its database in the state of the
function's name.
"""

from __future__ import annotations

from collections.abc import Callable

from migration_gate.tables import LEDGER_TABLES
from tests.databases import Database
from tests.migration_gate.scratch import BOOK, HISTORY, TITLE_INDEX, Project, succeed

Scene = Callable[[Project, Database], None]

NEWER = "7777"
_YEAR = "ALTER TABLE book ADD COLUMN year int"
_WITHOUT_TITLE = "ALTER TABLE book DROP COLUMN title"
_LOANS = """\
op.execute("CREATE TABLE loan (id bigserial, book bigint)")
with op.get_context().autocommit_block():
    op.execute("CREATE UNIQUE INDEX CONCURRENTLY book_once ON book (title)")
"""


def never_migrated(project: Project, database: Database) -> None:
    pass


def behind(project: Project, database: Database) -> None:
    succeed(project.alembic("upgrade", HISTORY[0]))


def current(project: Project, database: Database) -> None:
    succeed(project.alembic("upgrade", "head"))


def unversioned(project: Project, database: Database) -> None:
    succeed(project.alembic("upgrade", BOOK))
    database.execute(f"DROP TABLE alembic_version, {', '.join(sorted(LEDGER_TABLES))}")


def ahead_compatible(project: Project, database: Database) -> None:
    _newer(project, _YEAR)


def ahead_incompatible(project: Project, database: Database) -> None:
    _newer(project, _WITHOUT_TITLE)


def _newer(project: Project, statement: str) -> None:
    """A newer release migrated, and was rolled back."""
    current_file = project.sql(NEWER, TITLE_INDEX, statement)
    succeed(project.alembic("upgrade", "head", MIGRATION_GATE_RELEASE="2.4.0"))
    current_file.unlink()


def diverged(project: Project, database: Database) -> None:
    ours = project.migrations / "versions" / f"{TITLE_INDEX}.py"
    text = ours.read_text()
    ours.unlink()
    theirs = project.sql(NEWER, BOOK, _YEAR)
    succeed(project.alembic("upgrade", "head"))
    theirs.unlink()
    ours.write_text(text)


def tampered(project: Project, database: Database) -> None:
    current(project, database)
    path = project.migrations / "versions" / f"{BOOK}.py"
    path.write_text(path.read_text().replace("title text", "title varchar"))


def multiple_heads(project: Project, database: Database) -> None:
    current(project, database)
    project.sql("1a1a", TITLE_INDEX, _YEAR)
    project.sql("2b2b", TITLE_INDEX, "ALTER TABLE book ADD COLUMN isbn text")


def broken_graph(project: Project, database: Database) -> None:
    current(project, database)
    project.sql("1a1a", "0abd", _YEAR)


def incomplete(project: Project, database: Database) -> None:
    current(project, database)
    database.execute("INSERT INTO book (title) VALUES ('Emma'), ('Emma')")
    project.revision("1a1a", TITLE_INDEX, _LOANS)
    assert project.alembic("upgrade", "head").returncode != 0


def drifted(project: Project, database: Database) -> None:
    current(project, database)
    database.execute("ALTER TABLE book ADD COLUMN isbn text")


def privileges_missing(project: Project, database: Database) -> None:
    current(project, database)
    database.execute("REVOKE SELECT ON book FROM taskmanager_app")


def statement_broken(project: Project, database: Database) -> None:
    succeed(project.alembic("stamp", "head"))


def unreachable(project: Project, database: Database) -> None:
    """The address is the reader's to get wrong."""


def migration_failed(project: Project, database: Database) -> None:
    current(project, database)
    database.execute("INSERT INTO book (title) VALUES ('Emma'), ('Emma')")
    project.sql("1a1a", TITLE_INDEX, "ALTER TABLE book ADD CONSTRAINT title_once UNIQUE (title)")
    assert project.alembic("upgrade", "head").returncode != 0


def wrong_database(project: Project, database: Database) -> None:
    succeed(project.gate("lock"))
    current(project, database)
    project.lock.unlink()
    succeed(project.gate("lock"))


SCENES: dict[str, Scene] = {
    scene.__name__: scene
    for scene in (
        never_migrated,
        unversioned,
        behind,
        current,
        ahead_compatible,
        ahead_incompatible,
        diverged,
        tampered,
        multiple_heads,
        broken_graph,
        incomplete,
        drifted,
        privileges_missing,
        statement_broken,
        wrong_database,
        unreachable,
        migration_failed,
    )
}
