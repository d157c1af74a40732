"""What goes wrong in and around the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from stack.postgres import create_database, drop_database
from tests import plain_http
from tests.docs.service_runbooks.background import clients, repeated
from tests.docs.service_runbooks.stage import DATABASE, Stage

_LOCK = "LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE"
_TASK = {"title": "Call back"}

# Of several kinds, since requests of one kind that come together share a statement.
_LISTS = ("/tasks?limit=1", "/tasks?status=todo", "/tasks?sort=due_at")


@contextmanager
def read_only(stage: Stage) -> Iterator[None]:
    stage.execute(
        f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'taskmanager'",
    )
    with clients(stage.service.url, ["/tasks"], method="POST", json=_TASK):
        yield


@contextmanager
def emptied(stage: Stage) -> Iterator[None]:
    """The address leads to a new database, on which nobody has run the migrations."""
    drop_database(stage.cluster, DATABASE)
    create_database(stage.cluster, DATABASE)
    with clients(stage.service.url, ["/tasks"], 2):
        yield


@contextmanager
def trigger_by_hand(stage: Stage) -> Iterator[None]:
    stage.execute(
        "CREATE FUNCTION refuse_night_writes() RETURNS trigger LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'not by night'; END $$",
        "CREATE TRIGGER refuse_night_writes BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION refuse_night_writes()",
        as_migrator=True,
    )
    for _ in range(4):
        plain_http.post(f"{stage.service.url}/tasks", json=_TASK)
    yield


@contextmanager
def table_locked(stage: Stage) -> Iterator[None]:
    """A report has locked the table and gone away; requests wait for it."""
    paths = (f"/tasks/{stage.new_task()}", *_LISTS)
    with stage.session("nightly-report", _LOCK), clients(stage.service.url, paths, 8):
        yield


@contextmanager
def left_open(stage: Stage) -> Iterator[None]:
    with stage.session("nightly-report", "SELECT count(*) FROM tasks"):
        yield


@contextmanager
def crossing_updates(stage: Stage) -> Iterator[None]:
    """Two jobs change the same two rows in opposite orders, again and again, each in one session."""
    first, second = stage.new_task(), stage.new_task()
    with ExitStack() as sessions:

        def job(name: str, *ids: int) -> Callable[[threading.Event], object]:
            session = psycopg.connect(stage.database.migrator_url, application_name=name, autocommit=True)
            sessions.callback(session.close)
            return lambda ended: _change(session, ids, ended)

        with repeated(job("import", first, second), job("nightly-report", second, first)):
            yield


def _change(session: psycopg.Connection, ids: tuple[int, ...], ended: threading.Event) -> None:
    try:
        with session.transaction():
            for task in ids:
                session.execute("UPDATE tasks SET title = title WHERE id = %s", [task])
                ended.wait(0.1)
    except psycopg.errors.DeadlockDetected:
        pass
    except psycopg.OperationalError:  # somebody has ended this session
        ended.wait()


@contextmanager
def idle_sessions(stage: Stage) -> Iterator[None]:
    """A dashboard opens a connection for each of its pictures."""
    room = "SELECT current_setting('max_connections')::int - count(*) FROM pg_stat_activity WHERE usesysid > 0"
    ((free,),) = stage.execute(room)
    with ExitStack() as sessions:
        for _ in range(int(str(free)) - 5):
            sessions.enter_context(stage.session("dashboard", "SELECT 1", autocommit=True))
        yield


@contextmanager
def migration_blocked(stage: Stage) -> Iterator[None]:
    """A job has written into the table that the migration wants to index, and has not committed."""
    stage.shell.succeeds("alembic downgrade -1")
    with stage.session("nightly-report", "UPDATE tasks SET title = title WHERE false"):
        migrator = stage.shell.begin("taskmanager migrate")
        yield
    assert migrator.wait(timeout=60) == 0


@contextmanager
def glass_broken(stage: Stage) -> Iterator[None]:
    stage.shell.succeeds("alembic downgrade -1")
    stage.shell.succeeds('migration-gate ledger override --for 30m --reason "the shop must open"')
    yield


@contextmanager
def disk_filled(stage: Stage) -> Iterator[None]:
    """A dump of last year lies where the data are."""
    stage.shell.succeeds('head -c 3900k /dev/zero > "$TASKMANAGER_DISK_FOLDER"/backup-of-last-year.dump')
    yield
