"""The receivers that the environment adds, and what is said of an environment that names half of one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.alert_variables import VARIABLES
from stack.errors import StackError
from stack.monitoring.receivers import render
from tests.monitoring_programs import tool
from tests.ops.live_alertmanager import amtool
from tests.processes import ROOT

EMAIL = {"ALERT_EMAIL_TO": "a@example.com, b@example.com", "ALERT_EMAIL_FROM": "x@example.com", "SMTP_HOST": "mail"}
ALL = EMAIL | {
    "SMTP_PORT": "25",
    "SMTP_USER": "me",
    "SMTP_PASSWORD_FILE": "/run/secrets/smtp",
    "SMTP_TLS": "off",
    "ALERT_SLACK_URL": "https://slack.example/services/secret",
    "ALERT_WEBHOOK_URL": "https://hooks.example/secret",
    "ALERT_INCIDENTS_URL": "http://127.0.0.1:9095/alerts",
    "ALERT_INCIDENTS_KEY_FILE": "/run/secrets/incidents",
    "ALERT_LINKS_URL": "https://git.example/blob/main",
    "ALERT_DASHBOARDS_URL": "https://grafana.example/",
}


def rendered(variables: Mapping[str, str]) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(render(variables))
    return read


def on_call(variables: Mapping[str, str]) -> dict[str, Any]:
    return next(receiver for receiver in rendered(variables)["receivers"] if receiver["name"] == "on-call")


def faults(variables: Mapping[str, str]) -> list[str]:
    with pytest.raises(StackError) as caught:
        render(variables)
    return str(caught.value).splitlines()


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return subprocess.run(
        [sys.executable, "-m", "stack", "alertmanager", "render", *arguments],
        env=kept | {"TASKMANAGER_ENV_FILE": ""} | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_variables_only_the_templates_path_differs_from_the_file() -> None:
    base = yaml.safe_load((ROOT / "ops/alertmanager/alertmanager.yml").read_text())
    assert rendered({}) == base | {"templates": [f"{ROOT}/ops/alertmanager/templates/*.tmpl"]}


def test_amtool_accepts_what_all_variables_make(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(render(ALL))
    done = amtool("check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_mail_goes_to_everybody_named_over_tls_unless_it_is_put_off() -> None:
    [mail] = on_call(EMAIL)["email_configs"]
    assert (mail["to"], mail["from"], mail["smarthost"]) == (EMAIL["ALERT_EMAIL_TO"], "x@example.com", "mail:587")
    assert (mail["require_tls"], mail["send_resolved"]) == (True, True)
    assert "auth_username" not in mail
    [mail] = on_call(ALL)["email_configs"]
    assert (mail["smarthost"], mail["require_tls"]) == ("mail:25", False)
    assert (mail["auth_username"], mail["auth_password_file"]) == ("me", "/run/secrets/smtp")
    [mail] = on_call(EMAIL | {"SMTP_HOST": "::1"})["email_configs"]
    assert mail["smarthost"] == "[::1]:587"


def test_slacks_address_comes_from_a_variable_or_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert on_call(ALL)["slack_configs"][0]["api_url"] == ALL["ALERT_SLACK_URL"]
    [slack] = on_call({"ALERT_SLACK_URL_FILE": "slack"})["slack_configs"]
    assert slack["api_url_file"] == f"{tmp_path / 'slack'}"
    assert "api_url" not in slack


def test_the_incident_receiver_is_asked_with_its_key_everywhere_and_other_webhooks_are_not() -> None:
    for receiver in rendered(ALL)["receivers"]:
        own, *others = receiver["webhook_configs"]
        assert own["url"] == "http://127.0.0.1:9095/alerts"
        assert own["http_config"] == {"authorization": {"credentials_file": "/run/secrets/incidents"}}
        assert [other["url"] for other in others] == ([ALL["ALERT_WEBHOOK_URL"]] if others else [])
        assert not any("http_config" in other for other in others)
    assert len(on_call(ALL)["webhook_configs"]) == 2


@pytest.mark.parametrize(
    ("variables", "complaints"),
    [
        (
            {"ALERT_EMAIL_TO": "a@example.com"},
            [
                "ALERT_EMAIL_TO is set, and ALERT_EMAIL_FROM is not: set both",
                "ALERT_EMAIL_TO is set, and SMTP_HOST is not: set both",
            ],
        ),
        (
            {"ALERT_EMAIL_FROM": "a@example.com"},
            ["ALERT_EMAIL_FROM is set, and ALERT_EMAIL_TO is not: set both"],
        ),
        (EMAIL | {"SMTP_USER": "me"}, ["SMTP_USER is set, and SMTP_PASSWORD_FILE is not: set both"]),
        (EMAIL | {"SMTP_PASSWORD_FILE": "/f"}, ["SMTP_PASSWORD_FILE is set, and SMTP_USER is not: set both"]),
        (EMAIL | {"SMTP_PORT": "smtp"}, ["SMTP_PORT is 'smtp': a number from 1 to 65535 is needed"]),
        (EMAIL | {"SMTP_TLS": "maybe"}, ["SMTP_TLS is 'maybe': required and off are known"]),
        (
            EMAIL | {"ALERT_EMAIL_TO": "a@example.com,{{ .Labels }}"},
            ["ALERT_EMAIL_TO holds something else than addresses (somebody@example.com)"],
        ),
        (
            {"ALERT_SLACK_URL": "https://slack.example/s", "ALERT_SLACK_URL_FILE": "/f"},
            ["ALERT_SLACK_URL and ALERT_SLACK_URL_FILE are both set: unset one"],
        ),
    ],
)
def test_half_a_configuration_is_told_with_what_to_set(variables: dict[str, str], complaints: list[str]) -> None:
    assert faults(variables) == complaints


@pytest.mark.parametrize(
    "url", ["slack.example/secret", "ftp://secret", "http://", "http://a/{{secret}}", "http://a b"]
)
@pytest.mark.parametrize("variable", [name for name in VARIABLES if name.endswith("_URL")])
def test_an_address_that_is_none_is_told_and_not_repeated(variable: str, url: str) -> None:
    others = {} if variable == "ALERT_SLACK_URL" else {"ALERT_SLACK_URL": "https://slack.example/s"}
    complaints = faults(others | {variable: url})
    assert complaints == [f"{variable} is no address: http://… or https://…, without spaces, quotes and braces"]


def test_all_faults_are_told_at_once() -> None:
    assert len(faults(EMAIL | {"SMTP_PORT": "0", "SMTP_TLS": "maybe", "ALERT_WEBHOOK_URL": "x"})) == 3


def test_the_command_prints_the_whole_configuration() -> None:
    done = run(**ALL)
    assert (done.returncode, done.stderr) == (0, "")
    assert yaml.safe_load(done.stdout) == rendered(ALL)


def test_the_command_writes_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    done = run("--output", str(file), "--templates", "/etc/alertmanager/templates/*.tmpl", **ALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert file.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(file.read_text()) == rendered(ALL) | {"templates": ["/etc/alertmanager/templates/*.tmpl"]}


def test_the_command_ends_with_each_fault_on_a_line() -> None:
    done = run(ALERT_EMAIL_TO="a@example.com", ALERT_WEBHOOK_URL="x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"error: {fault}" for fault in faults({"ALERT_EMAIL_TO": "a@example.com", "ALERT_WEBHOOK_URL": "x"})
    ]


def test_the_check_is_amtools_and_prints_no_secret(tmp_path: Path) -> None:
    tool("amtool")
    for name in ("smtp", "incidents"):
        (tmp_path / name).write_text("secret of a file")
    files = {
        "SMTP_PASSWORD_FILE": f"{tmp_path / 'smtp'}",
        "ALERT_INCIDENTS_KEY_FILE": f"{tmp_path / 'incidents'}",
    }
    done = run("--check", **(ALL | files))
    assert done.returncode == 0, done.stderr
    assert "SUCCESS" in done.stderr
    assert "secret" not in done.stdout + done.stderr
    (tmp_path / "smtp").write_text("secret of a file\n")
    done = run("--check", **(ALL | files))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: SMTP_PASSWORD_FILE: {tmp_path / 'smtp'} ends with a line break, ")
    (tmp_path / "smtp").unlink()
    done = run("--check", **(ALL | files))
    assert done.returncode == 1
    assert done.stderr == f"error: SMTP_PASSWORD_FILE: {tmp_path / 'smtp'} cannot be read: No such file or directory\n"


def test_a_configuration_that_amtool_refuses_is_not_written(tmp_path: Path) -> None:
    tool("amtool")
    file = tmp_path / "alertmanager.yml"
    # A pattern that is none: amtool reads the templates too.
    done = run("--check", "--output", str(file), "--templates", "[")
    assert done.returncode == 1
    assert "FAILED" in done.stderr
    assert not file.exists()


def test_without_amtool_the_check_says_so() -> None:
    done = run("--check", PATH="/nonexistent")
    assert done.returncode == 1
    assert done.stderr == "error: --check needs amtool, which comes with Alertmanager, in PATH\n"


def test_the_help_lists_every_variable() -> None:
    shown = run("--help").stdout
    assert all(f"  {name} " in shown for name in VARIABLES)
