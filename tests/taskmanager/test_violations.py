"""What is unsafe: each violation alone, in the settings that production would refuse to serve with."""

from __future__ import annotations

from pathlib import Path

import pytest

from taskmanager.settings import load_settings

PASSWORD = "pass-canary-4711"
A_KEY = f"k7m2p9qx {'0' * 64} tasks:read never"
SAFE = {
    "TASKMANAGER_ENV": "production",
    "TASKMANAGER_KEYS": A_KEY,
    "DATABASE_URL": f"postgresql://app:{PASSWORD}@db.example/tasks?sslmode=verify-full",
    "MIGRATION_DATABASE_URL": f"postgresql://migrator:{PASSWORD}@db.example/tasks?sslmode=require",
}


def violations(**changed: str) -> list[str]:
    return load_settings(SAFE | changed).violations()


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file of settings, and none of the variables that the database's drivers read."""
    monkeypatch.chdir(tmp_path)
    for name in ("PGHOST", "PGHOSTADDR", "PGPASSFILE", "PGPASSWORD", "PGSERVICE", "PGSSLCERT", "PGSSLMODE", "PGUSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nowhere")


def test_settings_that_are_safe_have_none() -> None:
    assert violations() == []


def test_development_has_none_whatever_is_set() -> None:
    assert violations(
        TASKMANAGER_ENV="development",
        TASKMANAGER_AUTH="none",
        TASKMANAGER_CORS_ORIGINS="*",
        DATABASE_URL="postgresql://postgres:postgres@db/x?sslmode=disable",
        TASKMANAGER_KEYS="",
    ) == []  # fmt: skip


def test_each_is_a_line_that_names_its_variable() -> None:
    found = violations(
        TASKMANAGER_AUTH="none",
        TASKMANAGER_CORS_ORIGINS="*",
        DATABASE_URL="postgresql://app:changeme@db.example/tasks",
        MIGRATION_DATABASE_URL="postgresql://migrator:migrator@db.example/tasks?sslmode=disable",
    )

    assert [line.split(":")[0] for line in found] == [
        "TASKMANAGER_AUTH",
        "DATABASE_URL",
        "DATABASE_URL",
        "MIGRATION_DATABASE_URL",
        "MIGRATION_DATABASE_URL",
        "TASKMANAGER_CORS_ORIGINS",
    ]
    assert not any("\n" in line or "changeme" in line for line in found)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "TASKMANAGER_KEYS_FILE: no API key is named"),
        ("# none yet", "TASKMANAGER_KEYS: it holds no API key that is still valid"),
        (A_KEY.replace("never", "2020-01-01T00:00:00Z"), "TASKMANAGER_KEYS: it holds no API key that is still"),
        ("k7m2p9qx nonsense", "TASKMANAGER_KEYS: key 1: 2 columns instead of four"),
    ],
)
def test_a_service_that_could_let_nobody_in(keys: str, told: str) -> None:
    (line,) = violations(TASKMANAGER_KEYS=keys)
    assert line.startswith(told)
    (line,) = violations(TASKMANAGER_KEYS=keys, TASKMANAGER_ENV="development", TASKMANAGER_AUTH="api_key")
    assert line.startswith(told)


@pytest.mark.parametrize(
    "password", ["password", "Postgres", "mysecretpassword", "CHANGEME", "admin", "secret", "user", "taskmanager",
                 "app", "App", "tasks", "ch%61ngeme"]
)  # fmt: skip
def test_a_password_that_anybody_tries_first(password: str) -> None:
    (line,) = violations(DATABASE_URL=f"postgresql://app:{password}@127.0.0.1/tasks")
    assert line.startswith("DATABASE_URL: the password is")
    (line,) = violations(DATABASE_URL=f"postgresql://app@127.0.0.1/tasks?password={password}")
    assert line.startswith("DATABASE_URL: the password is")


@pytest.mark.parametrize("credentials", ["", "app@", "app:@"])
def test_no_password_at_all(credentials: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = f"postgresql://{credentials}127.0.0.1/tasks"
    (line,) = violations(DATABASE_URL=url)
    assert line.startswith("DATABASE_URL: the role has no password")

    monkeypatch.setenv("PGPASSWORD", "postgres")
    assert len(violations(DATABASE_URL=url)) == 1
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert violations(DATABASE_URL=url) == []


def test_a_password_that_is_kept_elsewhere_or_is_not_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for url in (
        "postgresql:///tasks",
        "postgresql://app@/tasks?host=/run/postgresql",
        "postgresql://app@%2Frun%2Fpostgresql/tasks",
        "postgresql://app@127.0.0.1/tasks?passfile=/run/secrets/pgpass",
        "postgresql://app@db.example/tasks?sslmode=verify-full&sslcert=/run/secrets/app.crt",
    ):
        assert violations(DATABASE_URL=url) == [], url
    (tmp_path / ".pgpass").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert violations(DATABASE_URL="postgresql://app@127.0.0.1/tasks") == []


@pytest.mark.parametrize("mode", ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer", "?sslmode=",
                                  "?sslmode=no-such-mode", "?ssl=prefer", "?ssl=false"])  # fmt: skip
@pytest.mark.parametrize("host", ["db", "db.example:5432", "10.0.0.1", "[2001:db8::1]:5432", "127.0.0.1,db.example"])
def test_a_database_elsewhere_without_tls(host: str, mode: str) -> None:
    (line,) = violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@{host}/tasks{mode}")
    assert line.startswith("DATABASE_URL: ")
    assert "does not demand TLS" in line
    assert PASSWORD not in line


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:5432", "127.8.8.8", "[::1]:5432", "", "%2Ftmp", ":5432"])
def test_a_database_on_this_machine_needs_no_tls(host: str) -> None:
    assert violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@{host}/tasks?sslmode=disable") == []


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_mode_that_demands_tls_passes_also_where_the_drivers_are_told_it(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"postgresql://app:{PASSWORD}@db.example/tasks"
    assert violations(DATABASE_URL=f"{url}?sslmode={mode}") == []
    assert violations(DATABASE_URL=f"{url}?ssl={mode}") == []  # in asyncpg's word, which its driver is told as sslmode
    monkeypatch.setenv("PGSSLMODE", mode)
    assert violations(DATABASE_URL=url) == []
    assert len(violations(DATABASE_URL=f"{url}?sslmode=prefer")) == 1


@pytest.mark.parametrize("query", ["?host=db.example", "?hostaddr=10.0.0.1"])
def test_a_host_that_stands_elsewhere_in_the_address_counts(query: str) -> None:
    assert len(violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@/tasks{query}")) == 1
    assert len(violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@localhost/tasks{query}")) == 1


def test_a_host_that_only_the_drivers_are_told_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    assert len(violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@/tasks")) == 1
    assert len(violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@:5432/tasks")) == 1
    assert violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@localhost/tasks") == []


def test_an_address_of_the_drivers_own_wins_over_the_name_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    assert len(violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@localhost/tasks")) == 1
    assert violations(DATABASE_URL=f"postgresql://app:{PASSWORD}@localhost/tasks?hostaddr=127.0.0.1") == []


@pytest.mark.parametrize("by", ["address", "variable"])
def test_a_service_may_name_any_host_and_wins_over_the_variables(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is the drivers' to read: so only what the address itself says holds."""
    query = "?service=tasks" if by == "address" else "?application_name=x"
    if by == "variable":
        monkeypatch.setenv("PGSERVICE", "tasks")
    url = f"postgresql://app:{PASSWORD}@/tasks{query}"
    assert len(violations(DATABASE_URL=url)) == 1
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert len(violations(DATABASE_URL=url)) == 1
    assert violations(DATABASE_URL=f"{url}&sslmode=verify-full") == []
    assert violations(DATABASE_URL=f"{url}&host=localhost") == []


def test_where_backups_are_tried_is_held_to_the_same() -> None:
    (line,) = violations(TASKMANAGER_BACKUP_SCRATCH_URL="postgresql+psycopg://owner:changeme@localhost/postgres")
    assert line.startswith("TASKMANAGER_BACKUP_SCRATCH_URL: the password is one that everybody knows")
    # What is no address at all, the verb says that reads it.
    assert violations(TASKMANAGER_BACKUP_SCRATCH_URL="http://[") == []
