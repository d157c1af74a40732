"""The page of alerts is the rules', in both languages, and its words give the rules' own numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from ops.prometheus import alerts_page
from ops.prometheus.alert_notes import ALERT_NOTES
from tests.docs.tables import names_in, numbers_in, tables
from tests.processes import ROOT

PAGES = {"en": ROOT / "docs" / "alerts.md", "fr": ROOT / "docs" / "fr" / "alerts.md"}

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def rules_of(alert: str) -> list[dict[str, str]]:
    return [
        rule
        for file in sorted(alerts_page.RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
        if rule.get("alert") == alert
    ]


def numbers_of_the_rules(alert: str) -> set[float]:
    """The numbers of an alert's rules, durations in each unit and shares in percent as well."""
    found: set[float] = set()
    for rule in rules_of(alert):
        text = f"{rule['expr']} {rule.get('for', '')} {rule['labels']}"
        for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd]?)\b", text):
            value = float(number)
            seconds = value * _SECONDS.get(unit, 1)
            found |= {value, round(value * 100, 6), seconds, seconds * 1000, seconds / 60, seconds / 3600}
            # Of what may fail, what must not.
            found.add(round(100 - value * 100, 6))
    return found | {float(number) for rule in rules_of(alert) for number in re.findall(r"increase(\d+)", rule["expr"])}


def test_every_alert_has_its_words_and_every_word_its_alert() -> None:
    names = [alert.name for alert in alerts_page.alerts()]

    assert sorted(names) == sorted(ALERT_NOTES)
    for path in PAGES.values():
        told = [names_in(row[0])[0] for table in tables(path.read_text()) for row in table[1:]]
        assert sorted(told) == sorted(names)


@pytest.mark.parametrize("alert", ALERT_NOTES)
def test_the_words_give_the_numbers_of_the_rules(alert: str) -> None:
    note = ALERT_NOTES[alert]
    known = numbers_of_the_rules(alert)

    english = numbers_in(note.fires)
    assert english == numbers_in(re.sub(r"(\d+)e\b", r"\1", note.fires_in_french)), "the languages differ"
    assert {number for number in english if number not in known} <= {95.0}, known
    assert 95.0 not in english or 95.0 in known


@pytest.mark.parametrize("language", PAGES)
def test_a_page_that_is_not_the_rules_is_refused(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert alerts_page.main(["--lang", language, "--check", str(PAGES[language])]) == 0

    other = tmp_path / "alerts.md"
    other.write_text(PAGES[language].read_text().replace("critical", "warning", 1))
    assert alerts_page.main(["--lang", language, "--check", str(other)]) == 1
    assert f"--lang {language} > {other}" in capsys.readouterr().err


def test_of_several_rules_of_one_name_every_delay_is_told(tmp_path: Path) -> None:
    rule = "{alert: A, expr: 'up == 0', for: %s, labels: {severity: warning, code: c}}"
    (tmp_path / "rules.yml").write_text(f"groups: [{{name: g, rules: [{rule % '1m'}, {rule % '2m'}, {rule % '1m'}]}}]")

    (alert,) = alerts_page.alerts(tmp_path)

    assert alert.waits == ("1m", "2m")
