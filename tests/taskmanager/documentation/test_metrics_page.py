"""The page of metrics is the code's, in both languages, and a change of either does not go unseen."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from taskmanager.documentation import metrics_page
from taskmanager.documentation.metric_notes import METRIC_NOTES, UNITS_IN_FRENCH
from tests.docs.tables import names_in, tables
from tests.processes import ROOT

PAGES = {"en": ROOT / "docs" / "metrics.md", "fr": ROOT / "docs" / "fr" / "metrics.md"}


async def test_what_a_scrape_has_is_told_and_nothing_else(client: httpx.AsyncClient) -> None:
    await client.get("/tasks")
    text = (await client.get("/metrics")).text

    scraped = {
        family.name + ("_total" if family.type == "counter" else "") for family in text_string_to_metric_families(text)
    }
    assert scraped == set(METRIC_NOTES)
    for path in PAGES.values():
        told = [names_in(row[0])[0] for table in tables(path.read_text()) for row in table[1:]]
        assert sorted(told) == sorted(scraped)


@pytest.mark.parametrize("language", PAGES)
def test_a_page_that_is_not_the_codes_is_refused(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert metrics_page.main(["--lang", language, "--check", str(PAGES[language])]) == 0

    other = tmp_path / "metrics.md"
    other.write_text(PAGES[language].read_text().replace("gauge", "counter", 1))
    assert metrics_page.main(["--lang", language, "--check", str(other)]) == 1
    assert f"--lang {language} > {other}" in capsys.readouterr().err


def test_units_and_reasons_are_there_in_both_languages() -> None:
    assert {note.unit for note in METRIC_NOTES.values()} == set(UNITS_IN_FRENCH)
    assert all(note.why and note.why_in_french for note in METRIC_NOTES.values())


def test_an_alert_is_told_with_what_its_rule_reads_through_a_recording_rule_too(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(
        "groups:\n"
        "  - name: g\n"
        "    rules:\n"
        "      - {record: 'job:errors:rate', expr: 'rate(errors_total[1m])'}\n"
        "      - {alert: Errors, expr: 'job:errors:rate / rate(all_total[1m]) > 1', labels: {code: c}}\n"
    )

    alerts = metrics_page.alerts_by_metric(tmp_path)

    assert alerts["errors_total"] == alerts["all_total"] == ["Errors"]
    assert "c" not in alerts
