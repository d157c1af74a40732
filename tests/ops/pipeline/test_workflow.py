"""The workflow and `make ci` run the same steps, and the workflow gives nobody more than is needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.pipeline.steps import CONTAINERS, PARTS, REST, STEPS
from tests.processes import ROOT

FILE = ROOT / ".github" / "workflows" / "pipeline.yml"
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
JOBS: dict[str, dict[str, Any]] = WORKFLOW["jobs"]
# YAML takes the word `on` for true.
TRIGGERS: dict[str, Any] = WORKFLOW[True]


def steps_run(job: dict[str, Any]) -> list[str]:
    """The steps of the list that a job runs, a matrix written out."""
    found = []
    for step in job["steps"]:
        for name in re.findall(r"make ci ONLY=(\S+)", step.get("run", "")):
            if name == '"$STEP"':
                assert step["env"]["STEP"] == "${{ matrix.step }}"
                found += job["strategy"]["matrix"]["step"]
            else:
                found.append(name)
    return found


def test_every_step_is_run_by_exactly_one_job_and_no_job_runs_another() -> None:
    run = [name for job in JOBS.values() for name in steps_run(job)]

    assert sorted(run) == sorted(step.name for step in STEPS)


def test_no_job_does_by_itself_what_is_a_steps_work() -> None:
    ours = re.compile(r"\b(pytest|mypy|ruff|bandit|pip-audit|kingfisher|zizmor|grype|docker (build|push|tag))\b")
    lines = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]

    assert [line for line in lines if ours.search(line)] == []


def test_the_six_stages_follow_each_other() -> None:
    assert "build" in JOBS["scan-image"]["needs"]
    assert set(JOBS["push"]["needs"]) == {"build", "test", "containers", "scan", "scan-image"}
    assert JOBS["deploy"]["needs"] == "push"
    assert JOBS["monitor"]["needs"] == "deploy"


def test_what_could_not_look_fails_the_workflow() -> None:
    assert WORKFLOW["env"]["REQUIRE_ALL"] == "1"
    assert not any("continue-on-error" in part for job in JOBS.values() for part in [job, *job["steps"]])


def test_secrets_are_read_in_the_jobs_that_need_them_and_in_no_others() -> None:
    holders = {name for name, job in JOBS.items() if "secrets." in str(job)}

    assert holders == {"push", "deploy", "monitor"}
    assert {name: JOBS[name]["environment"] for name in holders} == {
        "push": "registry",
        "deploy": "production",
        "monitor": "monitoring",
    }


def test_a_pull_request_meets_no_secret() -> None:
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(TRIGGERS)
    assert "github.event_name == 'push'" in JOBS["push"]["if"]
    assert "startsWith(github.ref, 'refs/tags/v')" in JOBS["push"]["if"]
    assert "workflow_dispatch" in JOBS["deploy"]["if"]
    assert "needs.deploy.result == 'success'" in JOBS["monitor"]["if"]


def test_every_job_may_read_and_only_the_one_that_signs_may_more() -> None:
    assert WORKFLOW["permissions"] == {}
    more = {
        name: job["permissions"] for name, job in JOBS.items() if job["permissions"] not in ({}, {"contents": "read"})
    }

    assert more == {"push": {"contents": "read", "id-token": "write", "attestations": "write"}}


def test_every_checkout_forgets_its_token_and_every_job_has_a_limit() -> None:
    checkouts = [
        step for job in JOBS.values() for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")
    ]

    assert len(checkouts) >= 8
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert all(0 < job["timeout-minutes"] <= 90 for job in JOBS.values())


def test_a_release_is_never_cancelled_and_two_never_deploy_at_once() -> None:
    assert WORKFLOW["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert JOBS["deploy"]["concurrency"] == {"group": "deploy-production", "cancel-in-progress": False}


@pytest.mark.parametrize(("job", "variable"), [("not-pushed", "IMAGE_REPOSITORY"), ("not-deployed", "DEPLOY_HOST")])
def test_what_is_not_set_up_says_so_instead_of_being_passed_over(job: str, variable: str) -> None:
    (step,) = JOBS[job]["steps"]

    assert f"vars.{variable} == ''" in JOBS[job]["if"]
    assert "::warning title=" in step["run"]
    assert f"the variable {variable} is not set" in step["run"]
    assert "GITHUB_STEP_SUMMARY" in step["run"]


def test_what_is_deployed_is_named_by_the_digest_that_was_pushed() -> None:
    (deploying,) = [step for step in JOBS["deploy"]["steps"] if "make ci" in step.get("run", "")]

    assert deploying["env"]["DEPLOY_IMAGE"] == "${{ inputs.image || needs.push.outputs.image }}"
    assert JOBS["push"]["outputs"]["image"] == "${{ steps.push.outputs.image }}"


def test_the_parts_of_the_tests_are_folders_that_there_are_and_the_last_part_is_the_rest() -> None:
    named = [folder for folders in PARTS.values() for folder in folders]
    (rest,) = [step for step in STEPS if step.name == REST]
    (command,) = rest.commands(Path())

    assert all((ROOT / folder).is_dir() for folder in named)
    assert len(named) == len(set(named))
    assert command[:2] == ("make", "test")
    assert set(re.findall(r"--ignore=(\S+)", command[2])) == {*named, CONTAINERS}


def test_updates_wait_before_they_are_offered() -> None:
    updates = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))["updates"]

    assert {each["package-ecosystem"] for each in updates} == {"github-actions", "docker", "docker-compose", "pip"}
    assert all(each["cooldown"]["default-days"] >= 7 for each in updates)


@pytest.mark.parametrize("page", ["docs/pipeline.md", "docs/fr/pipeline.md"])
def test_the_pages_explain_every_step_and_every_setting_of_the_workflow(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    settings = set(re.findall(r"(?:vars|secrets)\.(\w+)", FILE.read_text(encoding="utf-8")))

    assert [step.name for step in STEPS if f"`{step.name}`" not in text] == []
    assert [setting for setting in settings if f"`{setting}`" not in text] == []
    assert settings
