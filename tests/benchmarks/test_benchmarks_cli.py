"""The command line, and what the lock files may hold."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import cli, environments
from benchmarks.contestants import SERVERS, TITLES, clean_environment
from benchmarks.failures import Missing
from benchmarks.results import Result
from tests.benchmarks import measured
from tests.processes import ROOT


def test_help_shows_examples_and_every_section() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert 'make bench ARGS="--only throughput --rounds 1"' in told
    assert all(f"  {section} " in told for section in cli.SECTIONS)


@pytest.mark.parametrize("arguments", [["--contestants", "rails"], ["--rounds", "0"], ["--only", "nothing"]])
def test_a_wrong_argument_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)

    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.fixture
def run_without_measuring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Result:
    """The command line around a result that is there already, writing into a folder of the test."""
    result = measured.result()
    monkeypatch.setattr(cli, "_run", lambda *_: result)
    monkeypatch.setattr(cli, "RESULTS", tmp_path)
    monkeypatch.setattr(cli, "PARTIAL", tmp_path / "partial")
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    return result


@pytest.mark.usefixtures("run_without_measuring")
def test_a_full_run_writes_the_figures_that_are_quoted(tmp_path: Path) -> None:
    assert cli.main([]) == 0

    assert json.loads((tmp_path / "result.json").read_text())["targets"]
    assert (tmp_path / "throughput.svg").read_text().startswith("<svg ")


@pytest.mark.usefixtures("run_without_measuring")
@pytest.mark.parametrize("arguments", [["--quick"], ["--only", "overload"], ["--contestants", "taskmanager,brief"]])
def test_a_narrowed_run_leaves_them_alone(arguments: list[str], tmp_path: Path) -> None:
    assert cli.main(arguments) == 0

    assert [path.name for path in tmp_path.iterdir()] == ["partial"]


def test_a_void_figure_is_an_exit_status_of_one(run_without_measuring: Result) -> None:
    assert run_without_measuring.outcomes is not None
    run_without_measuring.outcomes["brief"].void = "it lied"

    assert cli.main([]) == 1


def test_a_failed_section_is_an_exit_status_of_one(run_without_measuring: Result) -> None:
    run_without_measuring.failed["overload"] = "the server ended by itself"

    assert cli.main([]) == 1


def test_what_is_missing_is_told_and_is_no_failure(
    run_without_measuring: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_without_measuring.outcomes is not None
    run_without_measuring.outcomes["fastify"].missing = str(Missing("node", "apt-get install nodejs"))

    assert cli.main([]) == 0
    assert "MISSING fastify: node is missing: apt-get install nodejs" in capsys.readouterr().out


def test_no_setting_of_whoever_runs_it_reaches_a_contestant(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "TASKMANAGER_LOG_LEVEL",
        "DATABASE_URL",
        "PGSSLMODE",
        "UVICORN_WORKERS",
        "NODE_OPTIONS",
        "OTEL_TRACES_SAMPLER",
    ):
        monkeypatch.setenv(name, "x")

    assert "x" not in clean_environment().values()
    assert "PATH" in clean_environment()


def test_every_contestant_has_a_folder_or_is_ours() -> None:
    peers = {path.name for path in environments.PEERS.iterdir() if path.is_dir()}

    assert peers == set(SERVERS) - {"taskmanager"}
    assert set(SERVERS) < set(TITLES)


def test_lock_files_pin_by_hash_and_name_no_index() -> None:
    requirements = environments.REQUIREMENTS.read_text()
    node = json.loads((environments.FASTIFY / "package-lock.json").read_text())["packages"]

    assert "make requirements" in requirements.splitlines()[1]
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", requirements)
    assert requirements.count("==") <= requirements.count("--hash=")
    assert not [name for name, package in node.items() if "resolved" in package]
    assert all("integrity" in package for name, package in node.items() if name)


def test_the_peers_run_on_the_versions_that_the_service_runs_on() -> None:
    ours = dict(environments._PINNED.findall((ROOT / "requirements.txt").read_text()))
    peers = environments.python_versions()

    shared = {"fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "asyncpg", "sqlalchemy", "alembic"}
    assert {name: peers[name] for name in shared} == {name: ours[name] for name in shared}
