"""Every check finds what it is there for, and is content with the same file without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.pipeline import checks, files
from ops.pipeline.outcome import Result
from tests.ops.pipeline.planted import plant
from tests.processes import ROOT, lacking

COMMIT = "3d3c42e5aac5ba805825da76410c181273ba90b1"

WORKFLOW = f"""\
name: planted
on: push
permissions: {{}}
jobs:
  one:
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    steps:
      - uses: actions/checkout@{COMMIT} # v7.0.1
        with:
          persist-credentials: false
"""

COMPOSE = "services:\n  app:\n    image: example:1.0\n"

RULES = """\
groups:
  - name: planted
    rules:
      - record: planted:up
        expr: max(up)
"""


@dataclass(frozen=True)
class Plant:
    """A file that is well, what is changed in it, and what the check then says."""

    check: str
    path: str
    well: str
    good: str
    bad: str
    says: str


PLANTS = [
    Plant("dockerfiles", "Dockerfile", "FROM example:1.0\n", "example:1.0", "example:latest", "DL3007"),
    Plant("dockerfiles", "docker/Dockerfile.other", "FROM example:1.0\n", ":1.0", "", "DL3006"),
    Plant("shell", "start.sh", '#!/bin/sh\ncd "$1" || exit\n', " || exit", "", "SC2164"),
    Plant("shell", ".ci/run", '#!/usr/bin/env bash\necho "$1"\n', '"$1"', "$1", "SC2086"),
    Plant("code", "taskmanager/one.py", 'NUMBER = int("1")\n', "int", "eval", "B307"),
    Plant("workflows", ".github/workflows/one.yml", WORKFLOW, f"{COMMIT} # v7.0.1", "v7", "unpinned-uses"),
    Plant("workflows", ".github/workflows/one.yml", WORKFLOW, "permissions: {}\n", "", "excessive-permissions"),
    Plant("actions", ".github/workflows/one.yml", WORKFLOW, COMMIT, "v7", "40 hexadecimal digits"),
    Plant("actions", ".github/workflows/one.yml", WORKFLOW, " # v7.0.1", "", "name the commit's release"),
    Plant("actions", ".github/workflows/one.yml", WORKFLOW, "# v7.0.1", "# main", "name the commit's release"),
    Plant("workflow-schema", ".github/workflows/one.yml", WORKFLOW, "    timeout-minutes: 5\n", "", "timeout"),
    Plant("workflow-schema", ".github/workflows/one.yml", WORKFLOW, "runs-on", "runs_on", "runs_on"),
    Plant("compose-schema", "docker-compose.yml", COMPOSE, "image", "imagine", "imagine"),
    Plant("compose-config", "docker-compose.yml", COMPOSE, "1.0\n", "1.0\n    depends_on: [db]\n", "undefined"),
    Plant("rules", "ops/prometheus/rules/one.yml", RULES, "max(up)", "max(up", "parse error"),
    Plant("conflicts", "Makefile", "one: two\n", "one", "<" * 7 + " HEAD\none", "Makefile:1:"),
    Plant("format", "one.py", "ONE = 1\n", "ONE = 1", "ONE=1", "one.py"),
    Plant("style", "one.py", "ONE = 1\n", "1", "undefined_name", "F821"),
]


@pytest.mark.parametrize("planted", PLANTS, ids=lambda planted: f"{planted.check}: {planted.says}")
def test_a_check_finds_the_fault_that_it_is_there_for(
    planted: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    (check,) = checks.chosen([planted.check])
    # With the key that it names, which promtool wants to see.
    configuration = {name: (ROOT / name).read_text() for name in ("prometheus.yml", "ops/development/incidents_key")}
    assert planted.good in planted.well

    plant(tmp_path, configuration | {planted.path: planted.well})
    before = checks.run_one(check)
    if before.verdict.result is Result.NOT_RUN:
        lacking(before.verdict.why, "the check cannot be seen at work without it")
    plant(tmp_path, {planted.path: planted.well.replace(planted.good, planted.bad)})
    after = checks.run_one(check)

    assert before.verdict.result is Result.PASSED, before.output
    assert after.verdict.result is Result.FAILED
    assert planted.says in after.output


def test_an_overlay_is_read_upon_what_it_is_for_and_with_the_variables_that_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROOT", tmp_path)
    (check,) = checks.chosen(["compose-config"])
    if lack := checks.first_lacking(check.needs):
        lacking(lack, "apt-get install docker-compose")
    image = "services:\n  app:\n    image: ${THE_IMAGE:?names it}\n"
    overlays = {"docker/compose.a.yml": image, "docker/compose.b.yml": image, "docker/compose.a.b.yml": image}
    plant(tmp_path, {"docker-compose.yml": COMPOSE, **overlays})

    stacks = [[part for part in command if part.endswith(".yml")] for command in check.commands()]
    assert ["docker-compose.yml"] in stacks
    assert ["docker-compose.yml", "docker/compose.a.yml"] in stacks
    assert ["docker-compose.yml", "docker/compose.a.yml", "docker/compose.b.yml", "docker/compose.a.b.yml"] in stacks
    assert checks.run_one(check).verdict.result is Result.PASSED

    plant(tmp_path, {"docker/compose.a.b.yml": "services:\n  app:\n    tty: 7\n"})
    assert checks.run_one(check).verdict.result is Result.FAILED


def test_a_check_without_its_program_or_its_files_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "ROOT", plant(tmp_path, {}))
    monkeypatch.setenv("PATH", str(tmp_path))

    rules = checks.run_one(checks.chosen(["rules"])[0])
    monkeypatch.undo()
    monkeypatch.setattr(files, "ROOT", tmp_path)
    shell = checks.run_one(checks.chosen(["shell"])[0])

    assert (rules.verdict.result, shell.verdict.result) == (Result.NOT_RUN, Result.NOT_RUN)
    assert "promtool is not installed: apt-get install prometheus" in rules.verdict.why
    assert shell.verdict.why == "there is no such file"


def test_what_the_tests_build_is_all_that_is_left_out() -> None:
    left_out = {path for path in files.kept() if "Dockerfile" in Path(path).name} - set(files.dockerfiles())

    assert left_out
    assert all(path.startswith("tests/") for path in left_out)
    assert ".ci/run" in files.shell_scripts()
