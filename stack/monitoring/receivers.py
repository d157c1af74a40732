"""Alertmanager's configuration with the receivers that the environment names."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from stack.alert_variables import FILES, VARIABLES
from stack.errors import StackError
from stack.folders import PROJECT_ROOT
from stack.user_settings import UserSettings

BASE = PROJECT_ROOT / "ops/alertmanager/alertmanager.yml"
TEMPLATES = "templates/*.tmpl"
ON_CALL = "on-call"


@dataclass
class _Settings:
    """The variables, and what is wrong with them, a line each."""

    variables: Mapping[str, str]
    faults: list[str] = field(default_factory=list)

    def get(self, name: str) -> str:
        return self.variables.get(name, "").strip()

    def url(self, name: str) -> str:
        """Empty when it is not set. What it holds is not repeated: it may be a secret."""
        value = self.get(name)
        if value and not _is_url(value):
            self.faults.append(f"{name} is no address: http://… or https://…, without spaces, quotes and braces")
        return value

    def file(self, name: str) -> str:
        """An absolute path, since Alertmanager takes one from its own configuration's folder; empty when not set."""
        value = self.get(name)
        return f"{Path(value).absolute()}" if value else ""

    def require(self, because: str, *names: str) -> None:
        self.faults += [f"{because} is set, and {name} is not: set both" for name in names if not self.get(name)]


def _is_url(value: str) -> bool:
    if re.search(r"[\s\"'{}<>]", value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True)
class _Links:
    """Where the runbooks and the dashboards are on the web; empty where nobody has said it."""

    runbooks: str
    dashboards: str

    def template(self, name: str) -> str:
        """What Alertmanager executes: the template of that name, which then knows the links' addresses.

        Their definitions stand in the same text and replace those of the templates' files, so they need no file.
        """
        write = _html_link if name == "html" else str
        # As the annotations continue them: a runbook's is a relative path, a dashboard's begins with a slash.
        bases = {"runbook": self.runbooks and f"{self.runbooks}/", "dashboard": self.dashboards}
        defined = "".join(
            f'{{{{ define "taskmanager.relative_{what}" }}}}{write(f"{base}{{{{ . }}}}")}{{{{ end }}}}'
            for what, base in bases.items()
            if base
        )
        return f'{defined}{{{{ template "taskmanager.{name}" . }}}}'


def _html_link(url: str) -> str:
    escaped = html.escape(url)
    return f'<a href="{escaped}">{escaped}</a>'


def _links(settings: _Settings) -> _Links:
    return _Links(settings.url("ALERT_LINKS_URL").rstrip("/"), settings.url("ALERT_DASHBOARDS_URL").rstrip("/"))


def alert_variables(settings: UserSettings) -> dict[str, str]:
    """Those of VARIABLES that are set."""
    return {name: value for name in VARIABLES if (value := settings.value(name))}


def render(variables: Mapping[str, str], *, base: Path = BASE, templates: str | None = None) -> str:
    """The whole configuration as YAML: `base`, and the receivers that `variables` name (see stack/alert_variables.py).

    `templates` is the pattern of the templates' files as Alertmanager will see them; None for those beside `base`.
    It holds addresses that are secrets: keep it to yourself (mode 0600).

    Raises StackError, with a line for each fault, when the variables contradict one another or lack something, and
    when `base` cannot be read.
    """
    settings = _Settings(variables)
    configuration = _read(base)
    configuration["templates"] = [templates or f"{base.parent.absolute() / TEMPLATES}"]
    incidents = settings.url("ALERT_INCIDENTS_URL")
    key_file = settings.file("ALERT_INCIDENTS_KEY_FILE")
    for receiver in configuration["receivers"]:
        for webhook in receiver["webhook_configs"]:
            webhook["url"] = incidents or webhook["url"]
            if key_file:
                webhook["http_config"] = {"authorization": {"credentials_file": key_file}}
    on_call = next(receiver for receiver in configuration["receivers"] if receiver["name"] == ON_CALL)
    links = _links(settings)
    on_call |= _emails(settings, links) | _slack(settings, links)
    if webhook_url := settings.url("ALERT_WEBHOOK_URL"):
        on_call["webhook_configs"].append({"url": webhook_url, "send_resolved": True})
    if settings.faults:
        raise StackError("\n".join(settings.faults))
    return yaml.safe_dump(configuration, sort_keys=False, allow_unicode=True, width=1000)


def file_faults(variables: Mapping[str, str]) -> list[str]:
    """A line for each file that the variables name and that cannot be used as this machine sees it."""
    faults = []
    for name in FILES:
        if not (path := variables.get(name, "").strip()):
            continue
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            faults.append(f"{name}: {path} cannot be read: {error.strerror}")
            continue
        # Of the other files Alertmanager takes such ends away.
        if name == "SMTP_PASSWORD_FILE" and content != content.rstrip(b"\r\n"):
            faults.append(
                f"{name}: {path} ends with a line break, which Alertmanager would send as a part of the password: "
                "write it without (printf %s)"
            )
    return faults


def _read(base: Path) -> dict[str, Any]:
    try:
        configuration: dict[str, Any] = yaml.safe_load(base.read_text(encoding="utf-8"))
    except OSError as error:
        raise StackError(f"{base} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise StackError(f"{base} is no YAML: {error}") from error
    return configuration


def _emails(settings: _Settings, links: _Links) -> dict[str, object]:
    recipients, sender = settings.get("ALERT_EMAIL_TO"), settings.get("ALERT_EMAIL_FROM")
    if not recipients:
        if sender:
            settings.require("ALERT_EMAIL_FROM", "ALERT_EMAIL_TO")
        return {}
    settings.require("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM", "SMTP_HOST")
    for name in ("ALERT_EMAIL_TO", "ALERT_EMAIL_FROM"):
        if not all(map(_is_mailbox, filter(None, settings.get(name).split(",")))):
            settings.faults.append(f"{name} holds something else than addresses (somebody@example.com)")
    email: dict[str, object] = {
        "to": recipients,
        "from": sender,
        "smarthost": _smarthost(settings),
        "require_tls": _tls_required(settings),
        "send_resolved": True,
        "headers": {"Subject": links.template("title")},
        "html": links.template("html"),
        "text": links.template("text"),
    }
    user, password_file = settings.get("SMTP_USER"), settings.file("SMTP_PASSWORD_FILE")
    if user or password_file:
        settings.require("SMTP_USER" if user else "SMTP_PASSWORD_FILE", "SMTP_USER", "SMTP_PASSWORD_FILE")
        email |= {"auth_username": user, "auth_password_file": password_file}
    return {"email_configs": [email]}


def _is_mailbox(text: str) -> bool:
    return re.fullmatch(r"[^@\s{}<>\"]+@[^@\s{}<>\"]+", text.strip()) is not None


def _smarthost(settings: _Settings) -> str:
    host, port = settings.get("SMTP_HOST"), settings.get("SMTP_PORT") or "587"
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        settings.faults.append(f"SMTP_PORT is {port!r}: a number from 1 to 65535 is needed")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _tls_required(settings: _Settings) -> bool:
    choice = settings.get("SMTP_TLS").lower() or "required"
    if choice not in ("required", "off"):
        settings.faults.append(f"SMTP_TLS is {choice!r}: required and off are known")
    return choice != "off"


def _slack(settings: _Settings, links: _Links) -> dict[str, object]:
    url, file = settings.url("ALERT_SLACK_URL"), settings.file("ALERT_SLACK_URL_FILE")
    if not url and not file:
        return {}
    if url and file:
        settings.faults.append("ALERT_SLACK_URL and ALERT_SLACK_URL_FILE are both set: unset one")
    slack: dict[str, object] = {"api_url_file": file} if file else {"api_url": url}
    return {
        "slack_configs": [
            slack
            | {
                "send_resolved": True,
                "title": links.template("title"),
                # Otherwise Alertmanager's own address, which only this machine can open.
                "title_link": "",
                "fallback": links.template("title"),
                "text": links.template("slack"),
            }
        ]
    }
