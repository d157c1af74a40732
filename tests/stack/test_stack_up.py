import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import psycopg
import pytest
from dotenv import dotenv_values

from stack.ports import free_port
from stack.process import wait_until
from tests.stack.launched import PATIENCE, STAND_IN, Launcher, gone


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_runs_until_stopped_in_order(launch: Launcher, number: signal.Signals) -> None:
    launched = launch()
    launched.wait_ready()
    service_env = launched.data / "service.env"
    urls = dotenv_values(service_env)
    assert service_env.stat().st_mode & 0o777 == 0o600
    seen = launched.get("/environment")
    assert {name: seen[name] for name in urls} == urls
    # Their files' names are there too, empty: one of the user's would make two addresses of one.
    assert {name for name, url in urls.items() if url} == {"DATABASE_URL", "MIGRATION_DATABASE_URL"}
    assert seen["TASKMANAGER_MIGRATE"] == "on_start"
    with psycopg.connect(str(urls["DATABASE_URL"])) as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == (
            "taskmanager_app",
            "taskmanager",
        )
    pids = launched.family()
    assert len(pids) > 4
    assert launched.end(number) == 0
    assert gone(pids)
    assert not service_env.exists()
    assert "Traceback" not in launched.output


def test_shows_what_runs_where_without_secrets(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    base = f"http://127.0.0.1:{launched.port}"
    for shown in (
        f"{base}/tasks",
        f"{base}/docs",
        f"{base}/health",
        f"{base}/metrics",
        "taskmanager_app:***@",
        f"addresses  {launched.data / 'service.env'}",
    ):
        assert shown in launched.output
    assert f"curl http://localhost:{launched.port}/tasks" in launched.output
    password = str(dotenv_values(launched.data / "service.env")["DATABASE_URL"]).split(":")[2].split("@")[0]
    assert password not in launched.output
    assert "\x1b" not in launched.output


def test_second_launcher_is_sent_to_the_first(launch: Launcher) -> None:
    first = launch()
    first.wait_ready()
    second = launch()
    assert second.process.wait(PATIENCE) == 4
    assert second.output == (
        f"error: another `make run` is already using {first.data} "
        f"(pid {first.process.pid}, serving http://127.0.0.1:{first.port}): "
        "to run a second one beside it: make run DATA=.data/other PORT=8001\n"
    )
    assert first.get("/readyz")


def test_killed_launcher_leaves_nothing_and_the_next_works(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    pids = launched.family()
    launched.process.kill()
    launched.process.wait()
    again = launch()
    again.wait_ready()
    assert gone(pids)


def test_end_of_the_service_ends_all(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    pids = launched.family()
    os.kill(int(launched.get("/")["PID"]), signal.SIGKILL)
    assert launched.process.wait(PATIENCE) == 1
    assert "error: the service ended by itself with signal 9 (SIGKILL)" in launched.output
    assert gone(pids)


def test_end_of_postgres_ends_all(launch: Launcher) -> None:
    launched = launch()
    launched.wait_ready()
    pids = launched.family()
    [postmaster] = [pid for pid in pids if psutil.Process(pid).cmdline()[0].endswith("bin/postgres")]
    os.kill(postmaster, signal.SIGKILL)
    assert launched.process.wait(PATIENCE) == 1
    assert "error: PostgreSQL ended by itself with signal 9 (SIGKILL)" in launched.output
    assert gone(pids)


def test_service_that_does_not_start_ends_all(launch: Launcher) -> None:
    launched = launch(command=["sh", "-c", "exit 3"])
    assert launched.process.wait(PATIENCE) == 1
    assert "error: the service ended with code 3 before it was ready" in launched.output
    assert not (launched.data / "service.env").exists()


def test_unready_service_goes_on_and_says_why(launch: Launcher) -> None:
    launched = launch("/readyz")
    launched.wait_ready()
    assert "the service goes on, not ready: 1 s have passed, and /health does not say why." in launched.output
    assert launched.end(signal.SIGINT) == 0


def health(migration: str | None = None, **database: str) -> dict[str, object]:
    schema = {"status": "fail", "state": "behind", "cause": "Not applied.", "solution": "alembic upgrade head"}
    return {
        "checks": {"database": database, "schema": schema | ({} if migration is None else {"migration": migration})}
    }


def test_says_each_cause_once_while_it_waits(launch: Launcher) -> None:
    refused = health("waiting", status="fail", detail="PostgreSQL refused\nthe password")
    launched = launch(
        "/readyz", HEALTH=json.dumps([refused, refused, health("running"), {"checks": {}}, health("running")])
    )
    launched.wait_ready()
    lines = [line for line in launched.output.splitlines() if line.startswith("not ready")]
    assert lines == [
        "not ready: the database: PostgreSQL refused the password (migration: waiting)",
        "not ready: behind: Not applied. (migration: running)",
    ]
    assert "not ready: 1 s have passed, and the migration is still running." in launched.output


@pytest.mark.parametrize(
    ("migration", "reason"),
    [
        ("failed", "the migration failed, and the lines above say why"),
        ("not_possible", "the service may not migrate this database"),
        ("not_needed", "no revision is missing, so that no migration would mend this"),
    ],
)
def test_stops_waiting_when_that_is_vain_and_says_what_to_type(launch: Launcher, migration: str, reason: str) -> None:
    launched = launch("/readyz", HEALTH=json.dumps([health("running"), health(migration)]))
    launched.wait_ready()
    said = launched.output
    alembic = Path(sys.executable).with_name("alembic")
    if alembic.is_relative_to(Path.cwd()):
        alembic = alembic.relative_to(Path.cwd())
    assert f"the service goes on, not ready: {reason}. " in said
    assert "traffic flows by itself" in said
    assert f"\n  TASKMANAGER_ENV_FILE={launched.data}/service.env {alembic} upgrade head\n" in said
    assert f"http://127.0.0.1:{launched.port}/tasks" in said


def test_where_nobody_migrates_it_says_so_and_what_to_type(launch: Launcher) -> None:
    launched = launch("/readyz", HEALTH=json.dumps([health()]), TASKMANAGER_MIGRATE="Never")
    launched.wait_ready()
    assert "not ready: nobody migrates (TASKMANAGER_MIGRATE=never). " in launched.output
    assert f"TASKMANAGER_ENV_FILE={launched.data}/service.env " in launched.output


def test_on_the_users_own_server_the_solution_is_told_as_it_is(launch: Launcher) -> None:
    launched = launch("/readyz", HEALTH=json.dumps([health("failed")]), DATABASE_URL="postgresql://db.example/tasks")
    launched.wait_ready()
    assert "\n  alembic upgrade head\n" in launched.output
    assert "service.env" not in launched.output


@pytest.mark.parametrize("gate", ["off", "OFF", "enforce"])
def test_says_when_the_gate_is_off(launch: Launcher, gate: str) -> None:
    launched = launch(TASKMANAGER_SCHEMA_GATE=gate)
    launched.wait_ready()
    line = "\nthe schema gate is off: /health says nothing of the schema\n"
    assert (line in launched.output) == (gate != "enforce")


def test_users_own_server_is_used_and_masked(launch: Launcher) -> None:
    url = "postgresql://me:secret@db.example/tasks"
    launched = launch(DATABASE_URL=url, TASKMANAGER_MIGRATE="never")
    launched.wait_ready()
    seen = launched.get("/environment")
    assert (seen["DATABASE_URL"], seen["TASKMANAGER_MIGRATE"]) == (url, "never")
    assert "secret" not in launched.output
    assert "DATABASE_URL is set in the environment: using postgresql://me:***@db.example/tasks, " in launched.output
    assert not (launched.data / "postgres").exists()
    assert not (launched.data / "service.env").exists()


def test_env_file_counts(launch: Launcher, folder: Path) -> None:
    (folder / "settings").write_text("DATABASE_URL='postgresql://me:secret@db.example/tasks'\n")
    launched = launch(TASKMANAGER_ENV_FILE=str(folder / "settings"))
    launched.wait_ready()
    assert launched.get("/")["DATABASE_URL"] == "postgresql://me:secret@db.example/tasks"
    assert f"DATABASE_URL is set in {folder / 'settings'}: using " in launched.output


def test_addresses_of_two_sources_are_never_mixed(launch: Launcher, folder: Path) -> None:
    mine, other = "postgresql://me@mine.example/tasks", "postgresql://me@other.example/tasks"
    (folder / "settings").write_text(f"DATABASE_URL={other}\nMIGRATION_DATABASE_URL={other}\n")
    launched = launch(TASKMANAGER_ENV_FILE=str(folder / "settings"), DATABASE_URL=mine)
    launched.wait_ready()
    seen = launched.get("/")
    assert (seen["DATABASE_URL"], seen["MIGRATION_DATABASE_URL"]) == (mine, "")


def test_broken_env_file_is_one_line(launch: Launcher, folder: Path) -> None:
    (folder / "settings").write_text("A=1\n\nnot an assignment\n")
    launched = launch(TASKMANAGER_ENV_FILE=str(folder / "settings"))
    assert launched.process.wait(PATIENCE) == 1
    assert launched.output == f"error: {folder / 'settings'}, line 3: not of the form NAME=value\n"


def test_taken_port_is_one_line(launch: Launcher) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as squatter:
        port = squatter.getsockname()[1]
        launched = launch(port=port)
        assert launched.process.wait(PATIENCE) == 3
    assert launched.output.startswith(f"error: port {port} on 127.0.0.1 is taken by pid {os.getpid()} (")
    assert "make run PORT=" in launched.output
    assert launched.output.count("\n") == 1


def test_migration_url_alone_is_refused(launch: Launcher) -> None:
    launched = launch(MIGRATION_DATABASE_URL="postgresql://me@db.example/tasks")
    assert launched.process.wait(PATIENCE) == 1
    assert launched.output.startswith("error: MIGRATION_DATABASE_URL is set but DATABASE_URL is not")
    assert launched.output.count("\n") == 1


def test_second_ctrl_c_hastens(launch: Launcher, folder: Path) -> None:
    script = STAND_IN.replace(
        "import http", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nimport http"
    )
    port = free_port()
    launched = launch(port=port, command=[sys.executable, "-c", script, str(port)])
    launched.wait_ready()
    pids = launched.family()
    launched.process.send_signal(signal.SIGINT)
    assert wait_until(lambda: "stopping" in launched.output, PATIENCE)

    def interrupt_again() -> bool:
        launched.process.send_signal(signal.SIGINT)
        return launched.process.poll() is not None

    assert wait_until(interrupt_again, 10, pause=0.3)
    assert launched.process.returncode == 0
    assert gone(pids)
