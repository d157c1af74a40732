"""docker-compose.yml: what it brings up for development, and what no change may take from it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from stack.monitoring import monitoring
from tests.compose.compose_files import BASE, REPLICAS, VERSIONS, Json, config, merged, parsed
from tests.compose.invariants import faults
from tests.processes import ROOT, run

BRIEF = "postgresql://user:password@db:5432/taskmanager"


def test_it_keeps_every_rule() -> None:
    assert faults(parsed()) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_both_generations_of_compose_read_it_and_keep_every_rule(version: str) -> None:
    assert faults(merged(version, BASE)) == []


@pytest.mark.parametrize("version", VERSIONS)
def test_so_do_the_replicas(version: str) -> None:
    assert faults(merged(version, BASE, REPLICAS)) == []


def _set(service: str, key: str, value: object) -> Callable[[Json], None]:
    def change(compose: Json) -> None:
        compose["services"][service][key] = value

    return change


def _drop(service: str, key: str) -> Callable[[Json], None]:
    return lambda compose: compose["services"][service].pop(key)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("app", "ports", ["8000:8000"]), "app: 8000:8000 is published beyond this machine"),
        (_set("db", "ports", ["0.0.0.0:5432:5432"]), "db: 0.0.0.0:5432:5432 is published beyond this machine"),
        (_set("grafana", "image", "grafana/grafana"), "grafana: grafana/grafana names no version"),
        (_set("db", "image", "postgres:latest"), "db: postgres:latest names no version"),
        (_drop("app", "mem_limit"), "app: no mem_limit"),
        (_set("db", "cpus", 2), "db: a machine with one processor refuses more than one"),
        (_set("app", "logging", {"driver": "json-file", "options": {}}), "app: its log grows"),
        (_set("app", "cap_drop", []), "app: keeps capabilities"),
        (_set("app", "cap_add", ["NET_ADMIN"]), "app: takes capabilities that nobody wrote down"),
        (_drop("incidents", "security_opt"), "incidents: a program in it may gain privileges"),
        (_set("backup", "volumes", ["/var/run/docker.sock:/s"]), "backup: has the machine"),
        (_set("prometheus", "read_only", False), "prometheus: may write beside its code"),
        (_set("migrate", "restart", "always"), "migrate: restart is always, not on-failure:3"),
        (_set("app", "restart", "no"), "app: restart is no, not unless-stopped"),
        (_drop("db", "healthcheck"), "db: nobody asks how it is"),
        (_set("app", "healthcheck", {"test": ["NONE"]}), "app: its health is not asked for"),
        (
            _set("app", "depends_on", {"migrate": {"condition": "service_completed_successfully"}}),
            "app: waits for ['service_completed_successfully']",
        ),
        (_set("app", "environment", {"DATABASE_URL": "${DATABASE_URL}"}), "app: DATABASE_URL is taken from a variable"),
        (_set("app", "env_file", [".env"]), "app: takes variables from a file"),
    ],
)
def test_a_rule_that_is_broken_is_told(change: Callable[[Json], None], told: str) -> None:
    compose = parsed()
    change(compose)
    assert faults(compose) == [told]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_env_file_for_this_machine_changes_nothing(version: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / BASE, tmp_path)
    without = config(version, BASE, folder=tmp_path, environment={})
    lines = ("DATABASE_URL=postgresql://user:password@localhost:5432/taskmanager", "TASKMANAGER_ENV=production")
    (tmp_path / ".env").write_text("\n".join([*lines, "TASKMANAGER_MIGRATE=on_start", ""]))
    beside = config(version, BASE, folder=tmp_path, environment={})

    assert without.returncode == beside.returncode == 0, without.stderr + beside.stderr
    assert without.stdout == beside.stdout
    assert "localhost:5432" not in beside.stdout


def test_development_is_said_aloud_with_the_names_of_the_brief() -> None:
    services = parsed()["services"]
    app = services["app"]["environment"]

    assert (app["TASKMANAGER_ENV"], app["TASKMANAGER_AUTH"], app["TASKMANAGER_MIGRATE"]) == (
        "development",
        "none",
        "never",
    )
    for name in ("app", "migrate", "backup"):
        assert services[name]["environment"]["DATABASE_URL"] == BRIEF
        assert services[name]["environment"]["TASKMANAGER_ENV"] == "development"
    assert services["db"]["environment"] == {
        "POSTGRES_USER": "user",
        "POSTGRES_PASSWORD": "password",
        "POSTGRES_DB": "taskmanager",
    }
    assert services["app"]["container_name"] == "taskmanager-api"
    assert [name for name, service in services.items() if "container_name" in service] == ["app"]
    assert services["app"]["build"]["context"] == "."


def test_who_runs_our_image_names_it_alike_and_comes_after_who_builds_it() -> None:
    services = parsed()["services"]
    images = {name: service["image"] for name, service in services.items() if "taskmanager" in service["image"]}

    assert next(iter(images)) == "app", "1.29 builds in this order and would try to pull"
    assert set(images) == {"app", "migrate", "incidents", "backup"}
    assert set(images.values()) == {"${TASKMANAGER_IMAGE:-taskmanager-api:latest}"}


def test_each_volume_is_declared_and_used_and_each_file_that_is_mounted_is_there_and_not_written() -> None:
    compose = parsed()
    named: set[str] = set()
    for name, service in compose["services"].items():
        for volume in service.get("volumes", ()):
            source = re.sub(r"^\$\{\w+:-(.*?)\}", r"\1", volume).partition(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name} mounts {source}"
                assert volume.endswith(":ro"), f"{name} may write {source}"
            else:
                named.add(source)
    assert named == compose["volumes"].keys()


def test_prometheus_has_the_flags_by_which_the_alerts_were_proven() -> None:
    command = parsed()["services"]["prometheus"]["command"]

    assert f"--storage.tsdb.retention.time={monitoring.RETENTION_TIME}" in command
    assert f"--storage.tsdb.retention.size={monitoring.RETENTION_SIZE}" in command
    assert f"--rules.alert.resend-delay={monitoring.RESEND_DELAY}" in command
    assert monitoring.LOG_LEVEL in command


def test_grafana_has_the_folders_that_its_provisioning_asks_for() -> None:
    readme = (ROOT / "ops" / "grafana" / "README.md").read_text()
    asked = {
        f"./{source}:{target}:ro" for source, target in re.findall(r"^\| `([^`]+)` \| `(/[^`]+)` \|$", readme, re.M)
    }

    assert len(asked) == 4
    assert asked <= set(parsed()["services"]["grafana"]["volumes"])


@pytest.mark.parametrize("ends", [[0], [3], [78], [75, 0], [75, 75, 1]], ids=str)
def test_the_migration_is_repeated_on_status_75_alone(ends: list[int], tmp_path: Path) -> None:
    """The line of shell itself, with a start.sh that ends as it is told."""
    command = parsed()["services"]["migrate"]["command"]
    script = tmp_path / "start.sh"
    script.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/runs\nset -- {" ".join(map(str, ends))}\n')
    with script.open("a") as more:
        more.write(f"shift $(($(wc -l < {tmp_path}/runs) - 1))\nexit $1\n")
    pause = tmp_path / "sleep"
    pause.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/pauses\n')
    for file in (script, pause):
        file.chmod(0o755)
    # Compose takes two dollar signs for one.
    line = command[2].replace("$$", "$").replace("/app/start.sh", str(script))
    done = run(*command[:2], line, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})

    assert done.returncode == ends[-1], done.stderr
    assert (tmp_path / "runs").read_text().split() == ["migrate"] * len(ends)
    assert (tmp_path / "pauses").exists() == (len(ends) > 1)


def test_nothing_secret_is_in_a_compose_file() -> None:
    words = re.findall(r"[A-Za-z0-9_/+-]{32,}", "\n".join((ROOT / name).read_text() for name in (BASE, REPLICAS)))
    allowed = {"development-alone-development-alone-development-alone", "service_completed_successfully"}
    suspicious = [word for word in words if re.search(r"\d", word) and "/" not in word]
    assert set(suspicious) <= allowed


def test_the_yaml_has_no_key_twice() -> None:
    """PyYAML and compose take the last one and say nothing."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> Json:
        keys = [key.value for key, _ in node.value if key.value != "<<"]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}: {keys}"
        loader.flatten_mapping(node)
        return loader.construct_mapping(node)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for file in (ROOT / "docker").glob("compose.*.yml"):
        yaml.load(file.read_text(), Strict)  # noqa: S506  a safe loader
    yaml.load((ROOT / BASE).read_text(), Strict)  # noqa: S506
