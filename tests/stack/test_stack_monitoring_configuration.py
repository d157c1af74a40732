"""The copy of prometheus.yml for one machine, and the programs that are found on it."""

import json
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stack.errors import StackError
from stack.folders import PROJECT_ROOT
from stack.monitoring import ProgramsMissing, find_programs
from stack.monitoring.prometheus_configuration import Addresses, derive_configuration
from tests.monitoring_programs import tool

ORIGINAL = PROJECT_ROOT / "prometheus.yml"
HERE = Addresses(
    taskmanager=["127.0.0.1:8001", "127.0.0.1:8002"],
    incidents="127.0.0.1:19095",
    prometheus="127.0.0.1:19090",
    alertmanager="127.0.0.1:19093",
    backup="127.0.0.1:19096",
)

# A value of a YAML file, by the keys and positions that lead to it.
Leaves = dict[tuple[str | int, ...], object]


def leaves(value: object, *way: str | int) -> Leaves:
    if isinstance(value, dict):
        return {path: leaf for key, inner in value.items() for path, leaf in leaves(inner, *way, key).items()}
    if isinstance(value, list):
        return {path: leaf for number, inner in enumerate(value) for path, leaf in leaves(inner, *way, number).items()}
    return {way: value}


def of_containers_alone(way: tuple[str | int, ...]) -> bool:
    """Whether it is a part of a job of a program that only containers run."""
    return way[:1] == ("scrape_configs",) and way[1] == job("postgres-exporter")


def difference(key_file: Path | None = None) -> dict[tuple[str | int, ...], tuple[object, object]]:
    """What differs between the original and its copy: the way to it, and both values, None where there is none."""
    original = leaves(yaml.safe_load(ORIGINAL.read_text()))
    original = {way: value for way, value in original.items() if not of_containers_alone(way)}
    copy = leaves(yaml.safe_load(derive_configuration(ORIGINAL, HERE, key_file)))
    ways = original.keys() | copy.keys()
    return {way: (original.get(way), copy.get(way)) for way in ways if original.get(way) != copy.get(way)}


def job(name: str) -> int:
    names = [job["job_name"] for job in yaml.safe_load(ORIGINAL.read_text())["scrape_configs"]]
    return names.index(name)


def target(name: str, number: int = 0) -> tuple[str | int, ...]:
    return ("scrape_configs", job(name), "static_configs", 0, "targets", number)


ADDRESSES_AND_PATHS = {
    ("rule_files", 0): ("ops/prometheus/rules/*.yml", f"{PROJECT_ROOT}/ops/prometheus/rules/*.yml"),
    ("alerting", "alertmanagers", 0, "static_configs", 0, "targets", 0): ("alertmanager:9093", "127.0.0.1:19093"),
    target("taskmanager"): ("app:8000", "127.0.0.1:8001"),
    target("taskmanager", 1): (None, "127.0.0.1:8002"),
    target("incidents"): ("incidents:9095", "127.0.0.1:19095"),
    # The key of the containers' receiver.
    ("scrape_configs", job("incidents"), "authorization", "credentials_file"): ("ops/development/incidents_key", None),
    target("prometheus"): ("localhost:9090", "127.0.0.1:19090"),
    target("alertmanager"): ("alertmanager:9093", "127.0.0.1:19093"),
    target("backup"): ("backup:9096", "127.0.0.1:19096"),
}


def test_the_copy_differs_in_addresses_paths_and_the_containers_key_alone() -> None:
    assert difference() == ADDRESSES_AND_PATHS


def test_a_key_for_the_metrics_is_sent_to_the_service_alone(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    added = ("scrape_configs", job("taskmanager"), "authorization", "credentials_file")
    assert difference(key_file) == ADDRESSES_AND_PATHS | {added: (None, str(key_file))}


def test_the_copy_has_no_job_of_what_does_not_run_here() -> None:
    jobs = ["taskmanager", "incidents", "prometheus", "alertmanager"]
    assert names_of_jobs(ORIGINAL.read_text()) == [*jobs, "backup", "postgres-exporter"]
    assert names_of_jobs(derive_configuration(ORIGINAL, HERE)) == [*jobs, "backup"]
    assert names_of_jobs(derive_configuration(ORIGINAL, replace(HERE, backup=None))) == jobs


def names_of_jobs(text: str) -> list[str]:
    return [job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]]


def test_a_job_that_somebody_adds_stays_as_it_is(tmp_path: Path) -> None:
    configuration = yaml.safe_load(ORIGINAL.read_text())
    own = {"job_name": "own", "static_configs": [{"targets": ["machine:9100"]}]}
    configuration["scrape_configs"].append(own)
    changed = tmp_path / "prometheus.yml"
    changed.write_text(yaml.safe_dump(configuration))
    assert yaml.safe_load(derive_configuration(changed, HERE))["scrape_configs"][-1] == own


@pytest.mark.parametrize("content", ["[", "[]", "global: {}", "rule_files: []\nalerting: 3\n"])
def test_what_is_no_configuration_is_named(tmp_path: Path, content: str) -> None:
    broken = tmp_path / "prometheus.yml"
    broken.write_text(content)
    with pytest.raises(StackError, match=r"^/.*prometheus\.yml is not the configuration it was: "):
        derive_configuration(broken, HERE)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^/.*nothing\.yml cannot be read: No such file"):
        derive_configuration(tmp_path / "nothing.yml", HERE)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], None]:
    """Puts a program that only tells a version into tmp_path."""

    def put(name: str, version: str) -> None:
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\necho {json.dumps(version)}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return put


def test_both_programs_are_found_alertmanager_under_debians_name_too(
    tmp_path: Path, program: Callable[[str, str], None]
) -> None:
    program("prometheus", "prometheus, version 3.1.0 (branch: HEAD)")
    program("prometheus-alertmanager", "alertmanager, version 0.25.0 (branch: debian/sid)")
    found = find_programs(str(tmp_path))
    assert (found.prometheus, found.prometheus_version) == (tmp_path / "prometheus", "3.1.0")
    assert (found.alertmanager, found.alertmanager_version) == (tmp_path / "prometheus-alertmanager", "0.25.0")


def test_all_that_is_missing_is_told_at_once_and_how_it_is_had(tmp_path: Path) -> None:
    with pytest.raises(ProgramsMissing) as caught:
        find_programs(str(tmp_path))
    assert caught.value.reason == "there is no prometheus in PATH and there is no alertmanager in PATH"
    for words in ("apt-get install", "systemctl disable --now prometheus", "brew install", "download page"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("told", "complaint"),
    [
        ("prometheus, version 2.41.9 (branch: HEAD)", "is too old: 2.41.9, and 2.42 is needed"),
        ("Prometheus the film, 2012", "is no prometheus: it does not tell the version of one"),
    ],
)
def test_a_program_that_will_not_do_counts_as_missing(
    tmp_path: Path, program: Callable[[str, str], None], told: str, complaint: str
) -> None:
    program("prometheus", told)
    program("alertmanager", "alertmanager, version 0.28.1 (branch: HEAD)")
    with pytest.raises(ProgramsMissing) as caught:
        find_programs(str(tmp_path))
    assert caught.value.reason == f"{tmp_path / 'prometheus'} {complaint}"


def test_a_program_that_does_not_run_counts_as_missing(tmp_path: Path, program: Callable[[str, str], None]) -> None:
    program("alertmanager", "alertmanager, version 0.28.1 (branch: HEAD)")
    (tmp_path / "prometheus").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "prometheus").chmod(0o755)
    with pytest.raises(ProgramsMissing, match=r"prometheus does not run here \("):
        find_programs(str(tmp_path))


def test_promtool_accepts_the_original_and_its_copy(tmp_path: Path) -> None:
    copy = tmp_path / "prometheus.yml"
    copy.write_text(derive_configuration(ORIGINAL, HERE))
    for file in (ORIGINAL, copy):
        done = subprocess.run([tool("promtool"), "check", "config", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
