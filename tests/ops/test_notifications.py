"""What arrives in a mailbox, in Slack and at a webhook, from a real Alertmanager."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from stack.monitoring.receivers import render
from tests.notification_sinks import Arrived, Mail, Post, http_sink, mail_sink
from tests.ops.live_alertmanager import ANNOTATIONS, LiveAlertmanager, amtool, live_alertmanager
from tests.processes import ROOT

BEGAN = datetime(2026, 11, 27, 9, 30, tzinfo=UTC)
DOWN = {
    "alertname": "ServiceDown",
    "severity": "critical",
    "service": "taskmanager",
    "env": "production",
    "code": "service_down",
    "instance": "app:8000",
    "user": "somebody_personal",
}
LINKS = (
    "https://git.example/blob/main/docs/runbooks/service_down.md",
    "https://grafana.example/d/taskmanager-incident",
)
TITLE = "critical: ServiceDown in taskmanager (production)"


@dataclass(frozen=True)
class Scene:
    """An Alertmanager that tells all kinds of receivers."""

    alertmanager: LiveAlertmanager
    mails: Arrived[Mail]
    posts: Arrived[Post]

    def to(self, path: str, status: str) -> Post:
        return self.posts.wait_for(lambda post: post.path == path and status.upper() in post.text.upper())

    def mail(self, status: str) -> Mail:
        return self.mails.wait_for(lambda mail: status in mail.message["Subject"])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        mails, posts = stack.enter_context(mail_sink()), stack.enter_context(http_sink())
        http = f"http://127.0.0.1:{posts.port}"
        (tmp_path / "password").write_text("the password")
        (tmp_path / "key").write_text("the receiver's key\n")
        (tmp_path / "slack").write_text(f"{http}/slack\n")
        variables = {
            "ALERT_EMAIL_TO": "first@example.com,second@example.com",
            "ALERT_EMAIL_FROM": "alerts@example.com",
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": f"{mails.port}",
            "SMTP_TLS": "off",
            "SMTP_USER": "me",
            "SMTP_PASSWORD_FILE": f"{tmp_path / 'password'}",
            "ALERT_SLACK_URL_FILE": f"{tmp_path / 'slack'}",
            "ALERT_WEBHOOK_URL": f"{http}/webhook",
            "ALERT_INCIDENTS_URL": f"{http}/incidents",
            "ALERT_INCIDENTS_KEY_FILE": f"{tmp_path / 'key'}",
            "ALERT_LINKS_URL": "https://git.example/blob/main",
            "ALERT_DASHBOARDS_URL": "https://grafana.example/",
        }
        alertmanager = stack.enter_context(live_alertmanager(tmp_path, render(variables)))
        yield Scene(alertmanager, mails, posts)


def test_everybody_is_told_that_an_alert_fires_and_that_it_is_over(scene: Scene) -> None:
    scene.alertmanager.post(DOWN, began=BEGAN)
    for path in ("/incidents", "/webhook"):
        told = scene.to(path, "firing")
        assert told.body["alerts"][0]["labels"] == DOWN
        assert ("the receiver's key" in told.headers.get("Authorization", "")) == (path == "/incidents")
    _is_well_told(scene.mail("FIRING"), "FIRING")
    _is_well_told_to_slack(scene.to("/slack", "firing"), "FIRING")
    scene.alertmanager.post(DOWN, resolved=True, began=BEGAN)
    for path in ("/incidents", "/webhook"):
        assert scene.to(path, "resolved").body["alerts"][0]["status"] == "resolved"
    _is_well_told(scene.mail("RESOLVED"), "RESOLVED")
    _is_well_told_to_slack(scene.to("/slack", "resolved"), "RESOLVED")


def _is_well_told(mail: Mail, status: str) -> None:
    assert mail.sender == "alerts@example.com"
    assert mail.recipients == ("first@example.com", "second@example.com")
    assert mail.credentials == ("me", "the password")
    assert mail.message["Subject"] == f"[{status}] {TITLE}"
    for text in (mail.part("plain"), mail.part("html")):
        _tells(text, status)
    html = mail.part("html")
    assert '<html lang="en">' in html
    assert all(f'<a href="{link}">{link}</a>' in html for link in LINKS)
    # Escaped once, and not as it stands.
    assert "answers &amp; nobody knows &lt;why&gt;." in html
    assert ANNOTATIONS["summary"] in mail.part("plain")
    _is_discreet(mail.source + mail.part("plain") + html)


def _is_well_told_to_slack(post: Post, status: str) -> None:
    [attachment] = post.body["attachments"]
    assert attachment["title"] == f"[{status}] {TITLE}"
    assert attachment.get("title_link", "") == ""
    assert "answers &amp; nobody knows &lt;why&gt;." in attachment["text"]
    _tells(attachment["text"], status)
    _is_discreet(post.text)


def _tells(text: str, status: str) -> None:
    assert f"{status}: " in text
    assert "2026-11-27 09:30:00 UTC" in text
    assert (" until " in text) == (status == "RESOLVED")
    for words in (ANNOTATIONS["description"], "service_down", "app:8000", *LINKS):
        assert words in text


def _is_discreet(text: str) -> None:
    assert "somebody_personal" not in text
    assert "secret_of_the_expression" not in text


def test_an_alert_that_joins_others_on_the_immediate_route_is_not_held_back(scene: Scene) -> None:
    """The usual group would tell of the first after ten seconds, and of the second a minute later."""
    errors = [DOWN | {"alertname": "DatabaseError", "kind": kind} for kind in ("connection", "schema")]
    for error in errors:
        scene.alertmanager.post(error)
        posted = scene.posts.wait_for(
            lambda post, kind=error["kind"]: post.path == "/incidents" and f'"kind":"{kind}"' in post.text,
            within_s=8,
        )
        assert len(posted.body["alerts"]) == 1


def test_the_end_of_a_database_error_is_told_while_its_cause_goes_on(scene: Scene) -> None:
    error, cause = (DOWN | {"alertname": name} for name in ("DatabaseError", "DatabaseUnreachable"))
    scene.alertmanager.post(error)
    scene.posts.wait_for(lambda post: post.path == "/incidents" and "DatabaseError" in post.text)
    scene.alertmanager.post(cause)
    scene.posts.wait_for(lambda post: post.path == "/incidents" and "DatabaseUnreachable" in post.text)
    scene.alertmanager.post(error, resolved=True)
    told = scene.to("/incidents", '"status":"resolved"')
    assert told.body["alerts"][0]["labels"]["alertname"] == "DatabaseError"


def test_the_watchdog_comes_again_and_again_and_to_the_incident_receiver_alone(scene: Scene) -> None:
    scene.alertmanager.post(DOWN | {"alertname": "Watchdog", "severity": "none"})
    first = scene.posts.wait_for(lambda post: "Watchdog" in post.text)
    second = scene.posts.wait_for(lambda post: "Watchdog" in post.text and post.at > first.at)
    assert second.at - first.at < 20
    assert {post.path for post in scene.posts.all} == {"/incidents"}
    assert scene.mails.all == []


def template(name: str, data: object, tmp_path: Path, kind: str = "text", prefix: str = "") -> str:
    file = tmp_path / "data.json"
    file.write_text(json.dumps(data))
    done = amtool(
        *("template", "render", "--template.glob", f"{ROOT}/ops/alertmanager/templates/*.tmpl"),
        *("--template.type", kind, "--template.data", file),
        *("--template.text", f'{prefix}{{{{ template "taskmanager.{name}" . }}}}'),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def group(*alerts: dict[str, object], **common: str) -> dict[str, object]:
    return {"status": "firing", "alerts": alerts, "commonLabels": common, "receiver": "on-call"}


def alert(code: str, status: str = "firing", **annotations: str) -> dict[str, object]:
    times = {"startsAt": "2026-11-27T09:30:00Z", "endsAt": "2026-11-27T09:45:00Z"}
    words = {"summary": f"Summary of {code}."} | annotations
    return {"status": status, "labels": {"code": code}, "annotations": words, **times}


def test_several_alerts_in_one_notification_are_told_apart(tmp_path: Path) -> None:
    both = group(alert("first"), alert("second", "resolved"), env="production")
    assert template("title", both, tmp_path).strip() == "[FIRING] 2 alerts (production)"
    assert template("text", both, tmp_path).strip() == (
        "FIRING: Summary of first.\n\nCode: first\nSince: 2026-11-27 09:30:00 UTC\n\n"
        "RESOLVED: Summary of second.\n\nCode: second\n"
        "Since: 2026-11-27 09:30:00 UTC until 2026-11-27 09:45:00 UTC"
    )
    html = template("html", both, tmp_path, "html")
    assert html.count("<h2>") == 2
    assert html.count('<th scope="row">Code</th>') == 2


def test_a_link_that_is_whole_stays_as_it_is_and_one_without_an_address_too(tmp_path: Path) -> None:
    links = group(
        alert("whole", runbook_url="https://wiki.example/x", dashboard_url="http://boards.example/y"),
        alert("relative", runbook_url="docs/runbooks/relative.md", dashboard_url="/d/board"),
    )
    text = template("text", links, tmp_path) + "\n"
    assert "Runbook: https://wiki.example/x\nDashboard: http://boards.example/y\n" in text
    assert "Runbook: docs/runbooks/relative.md\nDashboard: /d/board\n" in text
    prefix = yaml.safe_load(render({"ALERT_SLACK_URL": "http://s.example", "ALERT_LINKS_URL": "https://git.example/"}))
    defined = prefix["receivers"][1]["slack_configs"][0]["text"].partition("{{ template")[0]
    text = template("text", links, tmp_path, prefix=defined)
    assert "Runbook: https://wiki.example/x\n" in text
    assert "Runbook: https://git.example/docs/runbooks/relative.md\n" in text
