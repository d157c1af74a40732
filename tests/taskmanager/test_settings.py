"""Settings: where each value comes from, and what is said of one that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from migration_gate.gate import Mode
from taskmanager.incidents import variables as incidents_variables
from taskmanager.settings import (
    Auth,
    Docs,
    Environment,
    LogFormat,
    Migrate,
    Settings,
    SettingsError,
    load_settings,
    variable_of,
)
from taskmanager.settings_sources import FILE_SUFFIX

FROM_ENVIRONMENT = "postgresql://app:pw@environment/db"
FROM_FILE = "postgresql://app:pw@file/db"
FROM_LOCAL = "postgresql://app:pw@local/db"
PASSWORD = "pass-canary-4711"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, **variables: str) -> None:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))


def refusal(variables: Mapping[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(variables)
    return str(raised.value)


def test_unset_they_mean_development_and_change_nothing(folder: Path) -> None:
    settings = load_settings({})

    assert settings == Settings()
    assert settings.model_dump() == {
        "database_url": None,
        "migration_database_url": None,
        "env": Environment.DEVELOPMENT,
        "migrate": Migrate.NEVER,
        "schema_gate": Mode.ENFORCE,
        "log_format": LogFormat.AUTO,
        "log_level": "info",
        "pool_size": 10,
        "max_in_flight": 64,
        "auth": None,
        "keys": None,
        "keys_file": None,
        "cors_origins": (),
        "docs": None,
        "commit": None,
        "disk_folder": None,
        "backup_folder": None,
        "backup_scratch_url": None,
        "sentry_dsn": None,
    }
    assert (settings.auth_mode, settings.docs_served, settings.violations()) == (Auth.NONE, True, [])


EACH_SETTING: list[tuple[str, str, str, object]] = [
    ("DATABASE_URL", FROM_ENVIRONMENT, "database_url", FROM_ENVIRONMENT),
    ("MIGRATION_DATABASE_URL", FROM_ENVIRONMENT, "migration_database_url", FROM_ENVIRONMENT),
    ("TASKMANAGER_ENV", "production", "env", Environment.PRODUCTION),
    ("TASKMANAGER_MIGRATE", "on_start", "migrate", Migrate.ON_START),
    ("TASKMANAGER_SCHEMA_GATE", "warn", "schema_gate", Mode.WARN),
    ("TASKMANAGER_SCHEMA_GATE", "off", "schema_gate", Mode.OFF),
    ("TASKMANAGER_LOG_FORMAT", "json", "log_format", LogFormat.JSON),
    ("TASKMANAGER_LOG_FORMAT", "console", "log_format", LogFormat.CONSOLE),
    ("TASKMANAGER_LOG_LEVEL", "debug", "log_level", "debug"),
    ("TASKMANAGER_POOL_SIZE", "1000", "pool_size", 1000),
    ("TASKMANAGER_MAX_IN_FLIGHT", "1", "max_in_flight", 1),
    ("TASKMANAGER_AUTH", "api_key", "auth", Auth.API_KEY),
    ("TASKMANAGER_AUTH", "None", "auth", Auth.NONE),
    ("TASKMANAGER_KEYS", "Any Text", "keys", "Any Text"),
    ("TASKMANAGER_KEYS_FILE", "/Mounted/keys", "keys_file", Path("/Mounted/keys")),
    ("TASKMANAGER_DISK_FOLDER", "/Mounted/data", "disk_folder", Path("/Mounted/data")),
    ("TASKMANAGER_CORS_ORIGINS", "https://A.example, http://b:8080", "cors_origins",
     ("https://a.example", "http://b:8080")),
    ("TASKMANAGER_CORS_ORIGINS", "*", "cors_origins", ("*",)),
    ("TASKMANAGER_DOCS", "off", "docs", Docs.OFF),
    ("TASKMANAGER_COMMIT", "0a1b2c3", "commit", "0a1b2c3"),
    ("TASKMANAGER_BACKUP_FOLDER", "/Mounted/backups", "backup_folder", Path("/Mounted/backups")),
    ("TASKMANAGER_BACKUP_SCRATCH_URL", FROM_ENVIRONMENT, "backup_scratch_url", FROM_ENVIRONMENT),
    ("SENTRY_DSN", "https://Key@Sentry.example/Path/42", "sentry_dsn", "https://Key@Sentry.example/Path/42"),
]  # fmt: skip


@pytest.mark.parametrize(("variable", "value", "field", "meaning"), EACH_SETTING)
def test_each_setting_has_its_variable(folder: Path, variable: str, value: str, field: str, meaning: object) -> None:
    assert getattr(load_settings({variable: value}), field) == meaning
    write(folder, ".env", **{variable: value})
    assert getattr(load_settings({}), field) == meaning


def test_every_setting_is_tried_above() -> None:
    assert {field for _, _, field, _ in EACH_SETTING} == set(Settings.model_fields)


def test_a_variable_wins_over_the_file_and_an_empty_one_does_not(folder: Path) -> None:
    write(folder, ".env", TASKMANAGER_POOL_SIZE="3", TASKMANAGER_LOG_LEVEL="debug")

    settings = load_settings({"TASKMANAGER_POOL_SIZE": "4", "TASKMANAGER_LOG_LEVEL": ""})

    assert (settings.pool_size, settings.log_level) == (4, "debug")


def test_the_two_addresses_come_from_one_place_together(folder: Path) -> None:
    write(folder, ".env", DATABASE_URL=FROM_FILE, MIGRATION_DATABASE_URL=FROM_FILE)
    write(folder, ".data/service.env", DATABASE_URL=FROM_LOCAL, MIGRATION_DATABASE_URL=FROM_LOCAL)

    settings = load_settings({"DATABASE_URL": FROM_ENVIRONMENT})
    assert (settings.database_url, settings.migration_database_url) == (FROM_ENVIRONMENT, None)
    assert settings.migration_url() == FROM_ENVIRONMENT
    settings = load_settings({"MIGRATION_DATABASE_URL": FROM_ENVIRONMENT})
    assert (settings.database_url, settings.migration_url()) == (None, FROM_ENVIRONMENT)
    settings = load_settings({"DATABASE_URL": ""})
    assert (settings.database_url, settings.migration_database_url) == (FROM_FILE, FROM_FILE)


def test_the_address_of_the_local_postgresql_comes_last(folder: Path) -> None:
    write(folder, ".data/service.env", DATABASE_URL=FROM_LOCAL)

    assert load_settings({}).database_url == FROM_LOCAL
    write(folder, ".env", DATABASE_URL=FROM_FILE)
    assert load_settings({}).database_url == FROM_FILE


def test_another_file_is_read_where_it_is_named_and_none_where_the_name_is_empty(folder: Path) -> None:
    write(folder, ".env", TASKMANAGER_POOL_SIZE="3")
    write(folder, ".data/service.env", DATABASE_URL=FROM_LOCAL)
    write(folder, "other.env", TASKMANAGER_POOL_SIZE="5")

    assert load_settings({"TASKMANAGER_ENV_FILE": "other.env"}).pool_size == 5
    assert load_settings({"TASKMANAGER_ENV_FILE": ""}) == Settings()


def test_a_named_file_that_is_not_there_is_an_error_and_not_ignored() -> None:
    with pytest.raises(SettingsError, match=r"TASKMANAGER_ENV_FILE: there is no file nowhere/at\.env"):
        load_settings({"TASKMANAGER_ENV_FILE": "nowhere/at.env"})


@pytest.mark.parametrize(
    "name", ["TASKMANAGER_SCHEMAGATE", "TASKMANAGER_", "TASKMANAGER_POOL", "TASKMANAGER_DATABASE_URL",
             "TASKMANAGER_MIGRATION_DATABASE_URL"]
)  # fmt: skip
def test_a_setting_that_is_not_there_is_refused_with_the_list_of_those_that_are(folder: Path, name: str) -> None:
    told = refusal({name: FROM_ENVIRONMENT})

    assert told.startswith(f"{name}: no such setting; there are ")
    for known in ("ENV", "MIGRATE", "SCHEMA_GATE", "LOG_FORMAT", "LOG_LEVEL", "POOL_SIZE", "COMMIT"):
        assert f"TASKMANAGER_{known}" in told
    assert "pw" not in told


def test_what_other_programs_of_the_project_read_is_let_pass(folder: Path) -> None:
    assert load_settings({"TASKMANAGER_POSTGRES_BIN": "x", "TASKMANAGER_IMAGE": "x", "OTHER": "x"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ENV", "prod"),
        ("MIGRATE", "yes"),
        ("SCHEMA_GATE", "true"),
        ("LOG_FORMAT", "text"),
        ("LOG_LEVEL", "trace"),
        ("POOL_SIZE", "0"),
        ("POOL_SIZE", "1001"),
        ("POOL_SIZE", "ten"),
        ("POOL_SIZE", "-1"),
        ("MAX_IN_FLIGHT", "0"),
        ("AUTH", "key"),
        ("DOCS", "yes"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "*,https://a.example"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_the_name_of_its_variable(
    folder: Path, name: str, value: str
) -> None:
    assert refusal({f"TASKMANAGER_{name}": value}).startswith(f"TASKMANAGER_{name}: ")


def test_every_fault_is_told_at_once_a_line_each(folder: Path) -> None:
    told = refusal({"TASKMANAGER_ENV": "x", "TASKMANAGER_POOL_SIZE": "x", "TASKMANAGER_X": "x"})

    assert sorted(line.split(":")[0] for line in told.splitlines()) == [
        "TASKMANAGER_ENV",
        "TASKMANAGER_POOL_SIZE",
        "TASKMANAGER_X",
    ]


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{PASSWORD}@host/db",
        f"user:{PASSWORD}@host:5432/db",
        f"//user:{PASSWORD}@host/db",
        f"postgresql:user:{PASSWORD}@host/db",
        f"postgresql://user:{PASSWORD}/x@host:5432/db",
        f"postgresql://user:{PASSWORD}@host:port/db",
        f"postgresql://user:{PASSWORD}@host:99999/db",
        f"postgresql://user:{PASSWORD}@[host/db",
        f"'postgresql://user:{PASSWORD}@host/db'",
        f"host=localhost password={PASSWORD}",
        PASSWORD,
        f"user:{PASSWORD}://x",
    ],
)
@pytest.mark.parametrize("variable", ["DATABASE_URL", "MIGRATION_DATABASE_URL"])
def test_an_address_that_cannot_be_used_is_refused_without_its_password(folder: Path, variable: str, url: str) -> None:
    told = refusal({variable: url})

    assert told.startswith(f"{variable}: ")
    assert PASSWORD not in told


@pytest.mark.parametrize(
    "url",
    [
        "postgres://app:pw@environment/db",
        "postgresql+asyncpg://app:pw@environment/db",
        "postgresql+psycopg://app:pw@environment/db",
        " postgresql://app:pw@environment/db\n",
    ],
)
def test_an_address_may_be_written_for_any_driver(folder: Path, url: str) -> None:
    assert load_settings({"DATABASE_URL": url}).database_url == FROM_ENVIRONMENT


def test_the_text_of_the_settings_holds_no_password(folder: Path) -> None:
    settings = load_settings(
        {"DATABASE_URL": f"postgresql://user:{PASSWORD}@host/db", "TASKMANAGER_KEYS": f"id {PASSWORD}"}
    )

    assert PASSWORD not in repr(settings) + str(settings)


def test_json_is_for_production_unless_it_is_asked_for(folder: Path) -> None:
    assert not load_settings({}).logs_as_json
    assert load_settings({"TASKMANAGER_ENV": "production"}).logs_as_json
    assert load_settings({"TASKMANAGER_LOG_FORMAT": "json"}).logs_as_json
    both = {"TASKMANAGER_ENV": "production", "TASKMANAGER_LOG_FORMAT": "console"}
    assert not load_settings(both).logs_as_json


def test_the_example_names_only_settings_that_are_there(folder: Path) -> None:
    example = (Path(__file__).parents[2] / ".env.example").read_text()
    examples = dict(line[1:].split("=", 1) for line in example.splitlines() if line.startswith("#") and "=" in line)
    in_files = {name + FILE_SUFFIX for name in ("DATABASE_URL", "MIGRATION_DATABASE_URL", "SENTRY_DSN")}
    of_the_receiver = {
        incidents_variables.ALERTMANAGER,
        incidents_variables.KEY,
        incidents_variables.KEY_FILE,
        incidents_variables.URL,
        incidents_variables.WEBHOOK_URL,
        incidents_variables.WEBHOOK_URL_FILE,
    }
    # A secret is given by its value or by its file, so that the examples of both cannot stand in one file.
    (folder / ".env").write_text("".join(f"{name}={examples[name]}\n" for name in examples.keys() - in_files))

    settings = load_settings({})

    assert settings.database_url is not None
    assert settings.env is Environment.DEVELOPMENT
    names = {variable_of(name) for name in Settings.model_fields}
    assert examples.keys() == names | in_files | of_the_receiver


def test_values_are_read_in_any_case() -> None:
    settings = load_settings(
        {"TASKMANAGER_ENV_FILE": "", "TASKMANAGER_ENV": "Production", "TASKMANAGER_LOG_LEVEL": "INFO"}
    )

    assert (settings.env, settings.log_level) == ("production", "info")


def test_what_kubernetes_says_of_a_service_named_taskmanager_is_no_setting() -> None:
    variables = {
        "TASKMANAGER_ENV_FILE": "",
        "TASKMANAGER_SERVICE_HOST": "10.0.0.1",
        "TASKMANAGER_SERVICE_PORT": "8000",
        "TASKMANAGER_SERVICE_PORT_HTTP": "8000",
        "TASKMANAGER_PORT": "tcp://10.0.0.1:8000",
        "TASKMANAGER_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "TASKMANAGER_PORT_8000_TCP_ADDR": "10.0.0.1",
    }

    assert load_settings(variables) == Settings()


def test_a_file_that_is_not_utf_8_is_named(folder: Path) -> None:
    (folder / ".env").write_bytes("TASKMANAGER_COMMIT=été".encode("latin-1"))

    with pytest.raises(SettingsError, match=r"^\.env: cannot be read as UTF-8 text"):
        load_settings({})


def test_a_line_that_is_no_setting_is_named_by_its_number(folder: Path) -> None:
    (folder / ".env").write_text("TASKMANAGER_POOL_SIZE=3\n\n\nDATABASE_URL postgres://x\n")

    with pytest.raises(SettingsError, match=r"^\.env, line 4: not of the form NAME=value"):
        load_settings({})


def test_production_asks_for_keys_and_hides_the_documentation_unless_it_is_told_otherwise(folder: Path) -> None:
    settings = load_settings({"TASKMANAGER_ENV": "production"})
    assert (settings.auth_mode, settings.docs_served) == (Auth.API_KEY, False)

    told = {"TASKMANAGER_ENV": "production", "TASKMANAGER_AUTH": "none", "TASKMANAGER_DOCS": "on"}
    settings = load_settings(told)
    assert (settings.auth_mode, settings.docs_served) == (Auth.NONE, True)

    settings = load_settings({"TASKMANAGER_AUTH": "api_key", "TASKMANAGER_DOCS": "off"})
    assert (settings.auth_mode, settings.docs_served) == (Auth.API_KEY, False)


@pytest.mark.parametrize("name", ["TASKMANAGER_SENTRY_DSN", "TASKMANAGER_DATABASE_URL"])
def test_what_has_a_usual_name_has_no_second_one(folder: Path, name: str) -> None:
    assert refusal({name: "https://key@host/1"}).startswith(f"{name}: no such setting")


def test_a_dsn_is_read_from_the_file_and_told_to_nobody(folder: Path) -> None:
    write(folder, ".env", SENTRY_DSN=f"https://{PASSWORD}@host/1")

    settings = load_settings({})

    assert settings.sentry_dsn == f"https://{PASSWORD}@host/1"
    assert PASSWORD not in repr(settings) + str(settings)


def test_opentelemetrys_variables_in_the_file_would_be_lost_and_are_refused(folder: Path) -> None:
    write(folder, ".env", OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318", OTEL_SERVICE_NAME="x")

    assert "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME" in refusal({})
    assert "set them there" in refusal({"OTEL_SERVICE_NAME": "x"})
    load_settings({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SERVICE_NAME": "x"})
