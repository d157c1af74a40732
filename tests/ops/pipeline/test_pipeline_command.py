"""`make check` and `make ci`: what they print, how they end, and that they leave nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from ops.pipeline import judges, report, run
from ops.pipeline.cli import main
from ops.pipeline.command import NOT_FOUND, TIMED_OUT, Completed, execute
from ops.pipeline.outcome import PASSED, Outcome, Result, exit_status, failed, not_run
from ops.pipeline.steps import Stage, Step
from stack.process import wait_until
from tests.processes import ROOT

PASSING = Outcome("one", PASSED, 1.0)
FAILING = Outcome("two", failed("it broke"), 1.0, "line one\nline two")
MISSING = Outcome("three", not_run("it is | not installed"), 0.0)


def a_step(name: str, *script: str) -> Step:
    return Step(name, Stage.SCAN, "for the test", lambda _folder: [("sh", "-c", each) for each in script])


@pytest.mark.parametrize(
    ("outcomes", "status", "required"),
    [
        ([PASSING], 0, 0),
        ([PASSING, FAILING, MISSING], 1, 1),
        ([PASSING, MISSING], 3, 1),
    ],
)
def test_what_was_not_run_is_never_the_status_of_success(outcomes: list[Outcome], status: int, required: int) -> None:
    assert exit_status(outcomes, require_all=False) == status
    assert exit_status(outcomes, require_all=True) == required


@pytest.mark.parametrize(
    ("outcomes", "colour", "says"),
    [
        ([PASSING], "\x1b[32m", "ci: all passed (1 passed"),
        ([PASSING, MISSING], "\x1b[33m", "ci: not a pass (1 passed, 1 not run"),
        ([PASSING, FAILING, MISSING], "\x1b[1;31m", "ci: failed (1 passed, 1 failed, 1 not run"),
    ],
)
def test_only_where_all_passed_the_last_line_is_green(outcomes: list[Outcome], colour: str, says: str) -> None:
    out = report.Console(force_terminal=True, color_system="standard", width=120, highlight=False)
    with out.capture() as captured:
        report.conclude(out, "ci", outcomes, 2.0, require_all=False)

    assert captured.get().startswith(f"{colour}{says}")


def test_the_table_has_every_step_with_its_result_and_reason() -> None:
    out = report.Console(width=100)
    with out.capture() as captured:
        out.print(report.table([PASSING, FAILING, MISSING]))

    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in captured.get().splitlines() if "│" in line]
    assert rows == [
        ["one", "passed", "1.0", ""],
        ["two", "failed", "1.0", "it broke"],
        ["three", "not run", "0.0", "it is | not installed"],
    ]


def test_a_workflows_summary_gets_the_same_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    report.summarize([PASSING, MISSING])

    assert "| one | passed | 1.0 |  |" in summary.read_text()
    assert "| three | not run | 0.0 | it is \\| not installed |" in summary.read_text()


def test_a_step_that_fails_stops_none_of_the_others() -> None:
    steps = [a_step("bad", "echo words; exit 4", "echo never"), a_step("good", "true")]
    said: list[str] = []

    outcomes = list(run.run(steps, begins=lambda _step: None, echo=said.append))

    assert [outcome.verdict.result for outcome in outcomes] == [Result.FAILED, Result.PASSED]
    assert outcomes[0].verdict.why == "sh -c echo words; exit 4 ended with 4"
    assert "words\n" in said
    assert "never\n" not in said


def test_checks_of_which_some_were_not_run_make_a_step_that_was_not_run() -> None:
    incomplete = judges.by_status([Completed(("python",), 3, "", 1.0)])
    missing = judges.by_status([Completed(("hadolint",), NOT_FOUND, "hadolint: No such file or directory", 0.0)])

    assert incomplete.result is Result.NOT_RUN
    assert missing.result is Result.FAILED
    assert "`make install`" in missing.why


def test_a_step_beyond_its_limit_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    note = tmp_path / "pid"

    done = execute(("sh", "-c", f"sleep 600 & echo $! > {note}; wait"), timeout_s=0.5)

    assert done.status == TIMED_OUT
    assert done.last_line == "ended after 0 s, its limit"
    assert wait_until(lambda: not psutil.pid_exists(int(note.read_text())), 10)


def test_ctrl_c_ends_what_runs(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    script = f"""
from ops.pipeline.command import execute
execute(("sh", "-c", "sleep 1; echo $$ > {note}.new; mv {note}.new {note}; exec sleep 600"), timeout_s=600)
"""
    # The second is for whoever starts it: an interruption while subprocess still makes the child reaches nobody.
    process = subprocess.Popen((sys.executable, "-c", script), cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(note.exists, 20)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    finally:
        process.kill()
        process.wait()

    assert wait_until(lambda: not psutil.pid_exists(int(note.read_text())), 10)


def ci(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in {"REQUIRE_ALL", "GH_TOKEN"}}
    return subprocess.run(
        (sys.executable, "-m", "ops.pipeline", *arguments),
        cwd=ROOT,
        env=environment | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_command_says_as_json_what_became_of_each_step() -> None:
    done = ci("ci", "scan-actions", "--json")

    (told,) = json.loads(done.stdout)
    assert done.returncode == 3
    assert (told["name"], told["result"]) == ("scan-actions", "not run")
    assert "not a pass" in done.stderr


def test_where_everything_is_required_a_step_that_was_not_run_fails() -> None:
    done = ci("ci", "scan-actions", REQUIRE_ALL="1")

    assert done.returncode == 1
    assert "ci: failed, since REQUIRE_ALL=1 (1 not run" in done.stdout


def test_make_lets_pass_what_a_machine_lacks_and_says_that_it_is_no_pass() -> None:
    # These tests may be run by `make test ARGS=…`, which hands its variables on to every make below it.
    foreign = {"REQUIRE_ALL", "GH_TOKEN", "ARGS", "MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL"}
    environment: Mapping[str, str] = {k: v for k, v in os.environ.items() if k not in foreign}
    command = ("make", "ci", "ONLY=scan-actions")
    free = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    strict = subprocess.run(
        command, cwd=ROOT, env={**environment, "REQUIRE_ALL": "1"}, capture_output=True, text=True, check=False
    )

    assert free.returncode == 0
    assert "not a pass" in free.stdout
    assert strict.returncode == 2


@pytest.mark.parametrize("verb", ["check", "ci"])
def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "nothing"]) == 2
    assert "nothing" in (error := capsys.readouterr().err)
    assert ("shell" if verb == "check" else "scan-secrets") in error


@pytest.mark.parametrize("verb", ["check", "ci", "pins", "push", "deploy", "watch"])
def test_help_names_the_exit_statuses_and_shows_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([verb, "--help"])

    told = capsys.readouterr().out
    assert "exit status:" in told
    assert f"python -m ops.pipeline {verb}" in told


def test_steps_are_run_in_the_order_of_the_list_and_what_leaves_the_machine_by_name_alone() -> None:
    assert [step.name for step in run.chosen(["scan-code", "check"])] == ["check", "scan-code"]
    by_default = {step.stage for step in run.chosen([])}
    assert by_default == {Stage.BUILD, Stage.TEST, Stage.SCAN}


def test_a_line_is_handed_on_as_soon_as_it_is_said() -> None:
    seen: list[float] = []

    execute(("sh", "-c", "echo first; sleep 0.4"), timeout_s=20, echo=lambda _line: seen.append(time.monotonic()))

    assert time.monotonic() - seen[0] > 0.3
