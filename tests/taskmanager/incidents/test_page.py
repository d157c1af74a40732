"""docs/incidents.md and its French twin, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskmanager.incidents import cli, client, serving, variables
from taskmanager.incidents.journal import Journal
from taskmanager.incidents.metrics import new_registry
from taskmanager.incidents.receiver import Receiver
from taskmanager.incidents.webhook import KEPT_LABELS
from tests.processes import ROOT, run
from tests.taskmanager.incidents.receivers import COMMAND, Receivers, alert

PAGES = (ROOT / "docs" / "incidents.md", ROOT / "docs" / "fr" / "incidents.md")
each_page = pytest.mark.parametrize("page", PAGES, ids=["en", "fr"])


@pytest.fixture
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@each_page
def test_every_metric_of_the_receivers_own_is_on_the_page_and_no_other(text: str, tmp_path: Path) -> None:
    registry = new_registry(Receiver(Journal(tmp_path / "journal.jsonl")))
    ours = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in registry.collect()
        if metric.name.startswith("taskmanager_")
    }

    assert set(re.findall(r"`(taskmanager_incident\w+)", text)) == ours


@each_page
def test_every_verb_and_option_of_the_receiver_is_on_the_page(text: str) -> None:
    verbs = re.search(r"\{([\w,]+)\}|positional arguments:\n  VERB\n((?:    .*\n)+)", run(*COMMAND, "--help").stdout)
    assert verbs is not None
    for verb in re.findall(r"^    (\w+)", verbs[2], re.MULTILINE):
        assert re.search(rf"`{verb}[ `]|incidents {verb} ", text), verb
    options = set(re.findall(r"  (--[a-z-]+)", run(*COMMAND, "serve", "--help").stdout))
    told = set(re.findall(r"^\| `(--[a-z-]+)` ", text.partition("\n## ")[2].partition("\n## ")[0], re.MULTILINE))
    assert options == told


@each_page
def test_what_is_kept_of_an_alert_is_told_in_full(text: str) -> None:
    (told,) = re.findall(r"`(alertname [\w ]+)`", text)

    assert tuple(told.split()) == KEPT_LABELS


@each_page
def test_exit_statuses_and_variables_are_told(text: str) -> None:
    statuses = {client.FAILED, client.NO_SUCH_INCIDENT, client.ALREADY_SO, client.NO_ANSWER, client.NOT_ALLOWED}
    for status in statuses | {serving.UNUSABLE_SETTINGS, serving.JOURNAL_IN_USE}:
        assert re.search(rf"\b{status} \w", text), status
        assert re.search(rf"^  .*\b{status}  ", cli._EXAMPLES.partition("exit status:")[2], re.MULTILINE)
    names = [name for name in vars(variables).values() if str(name).startswith("TASKMANAGER_INCIDENTS_")]
    assert names
    for name in names:
        assert f"`{name}`" in text or f"{name}=" in text


def test_the_listing_on_the_pages_is_what_the_command_prints(receive: Receivers) -> None:
    receiver = receive()
    receiver.notify(alert(code="migration_failed", env="production"))
    header, row = receiver.command("list").stdout.splitlines()

    for page in PAGES:
        shown = re.search(r"incidents list\n(ID .*)\n(3 .*)\n", page.read_text(encoding="utf-8"))
        assert shown is not None
        assert shown[1].split() == header.split()
        assert re.sub(r"\d", "", shown[2]).split()[4:] == re.sub(r"\d", "", row).split()[4:]


def test_both_pages_have_the_same_parts() -> None:
    english, french = (page.read_text(encoding="utf-8") for page in PAGES)

    assert len(re.findall(r"^## ", english, re.MULTILINE)) == len(re.findall(r"^## ", french, re.MULTILINE))
    assert len(re.findall(r"^\|", english, re.MULTILINE)) == len(re.findall(r"^\|", french, re.MULTILINE))
    in_blocks = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
    assert [len(block.splitlines()) for block in in_blocks.findall(english)] == [
        len(block.splitlines()) for block in in_blocks.findall(french)
    ]
