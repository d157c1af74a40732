"""The overlay for production: no start without an image that is named, and no default of the base file left in it."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.compose.compose_files import (
    BASE,
    PRODUCTION,
    PRODUCTION_REPLICAS,
    RELEASE,
    REPLICAS,
    VERSIONS,
    Json,
    config,
    merged,
)
from tests.compose.invariants import faults

SINGLE = (BASE, PRODUCTION)
REPLICATED = (BASE, PRODUCTION, REPLICAS, PRODUCTION_REPLICAS)

# Values of the base file that everybody knows.
KNOWN = re.compile(r"password|admin|:user@|development", re.IGNORECASE)
# What is a name or a place, and holds none.
HARMLESS = {"GF_SECURITY_ADMIN_USER", "TASKMANAGER_DISK_FOLDER"}


def known_values(compose: Json) -> list[str]:
    """Variables that hold what everybody knows; files are named by paths, which may say `password`."""
    return [
        f"{name}: {variable}={value}"
        for name, service in compose["services"].items()
        for variable, value in (service.get("environment") or {}).items()
        if variable not in HARMLESS and not f"{value}".startswith("/run/secrets/") and KNOWN.search(f"{value}")
    ]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("files", [SINGLE, REPLICATED], ids=["single", "replicas"])
def test_every_rule_is_kept_and_nothing_that_everybody_knows_is_left(version: str, files: tuple[str, ...]) -> None:
    compose = merged(version, *files)
    assert faults(compose) == []
    assert known_values(compose) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_the_base_file_by_itself_is_full_of_it(version: str) -> None:
    """The look that finds nothing above finds what is there."""
    found = known_values(merged(version, BASE))
    assert "db: POSTGRES_PASSWORD=password" in found
    assert "grafana: GF_SECURITY_ADMIN_PASSWORD=admin" in found
    assert "postgres-exporter: DATA_SOURCE_PASS=password" in found
    assert len([line for line in found if "DATABASE_URL=postgresql://user:password@" in line]) == 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("files", [SINGLE, REPLICATED], ids=["single", "replicas"])
def test_without_the_name_of_a_release_nothing_is_started(version: str, files: tuple[str, ...]) -> None:
    done = config(version, *files, environment={})
    assert done.returncode != 0
    assert "names the released image, such as registry.example.com/taskmanager-api:1.4.0" in done.stderr


@pytest.mark.parametrize("version", VERSIONS)
def test_everything_of_ours_runs_that_release_in_production_with_keys(version: str) -> None:
    services = merged(version, *REPLICATED)["services"]
    serving = {f"app-{number}" for number in range(1, 5)} | {"app"}
    ours = {name: service for name, service in services.items() if "taskmanager" in service["image"]}

    assert ours.keys() == serving | {"migrate", "incidents", "backup"}
    for name, service in ours.items():
        assert service["image"] == RELEASE["TASKMANAGER_IMAGE"], name
        assert service["environment"]["TASKMANAGER_ENV"] == "production", name
        assert not service["environment"].get("DATABASE_URL"), name
    for name in serving:
        environment = services[name]["environment"]
        assert environment["TASKMANAGER_AUTH"] == "api_key", name
        assert environment["DATABASE_URL_FILE"] == "/run/secrets/database_url", name
        assert "MIGRATION_DATABASE_URL_FILE" not in environment, f"{name} could change the schema"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_key_for_development_is_mounted_nowhere_where_it_counts(version: str) -> None:
    services = merged(version, *SINGLE)["services"]
    for name in ("incidents", "alertmanager"):
        [source] = [source for source, target in _mounts(services[name]) if target == "/run/secrets/incidents_key"]
        assert "/docker/secrets/incidents_key" in source, f"{name}: {source}"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("files", [SINGLE, REPLICATED], ids=["single", "replicas"])
def test_no_data_of_development_are_taken_over(version: str, files: tuple[str, ...]) -> None:
    """Grafana keeps the password of its first start, PostgreSQL its superuser's, Alertmanager its silences."""
    of_development = _kept(merged(version, BASE))
    assert {"db", "grafana", "backup", "incidents", "prometheus", "alertmanager"} <= of_development.keys()

    of_production = _kept(merged(version, *files))

    assert of_production.keys() == of_development.keys()
    for name, places in of_production.items():
        assert places.keys() == of_development[name].keys(), name
        assert set(places.values()).isdisjoint(of_development[name].values()), name


@pytest.mark.parametrize("version", VERSIONS)
def test_what_has_a_known_password_and_no_other_way_ends_at_once(version: str) -> None:
    """Where its profile is asked for."""
    service = merged(version, *SINGLE)["services"]["bugsink"]
    program, *arguments = service["entrypoint"]
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 78
    assert "bugsink: not in production" in done.stderr


def _kept(compose: Json) -> dict[str, dict[str, str]]:
    """By service the volumes that the engine keeps, by their place."""
    kept = {
        name: {target: source for source, target in _mounts(service) if not source.startswith((".", "/"))}
        for name, service in compose["services"].items()
        if service.get("volumes")
    }
    return {name: places for name, places in kept.items() if places}


def _mounts(service: Json) -> list[tuple[str, str]]:
    volumes = service["volumes"]
    return [
        (volume["source"], volume["target"]) if isinstance(volume, dict) else tuple(volume.split(":")[:2])
        for volume in volumes
    ]
