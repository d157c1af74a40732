"""The post-mortem's parts: both languages, series, sources that fail, and words that people wrote."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmanager.incidents.entries import Alert, Entry, Kind, time_text
from taskmanager.incidents.history import fold
from taskmanager.incidents.postmortem import alertmanager
from taskmanager.incidents.postmortem.facts import Addresses, gather
from taskmanager.incidents.postmortem.language import language, typeset_french
from taskmanager.incidents.postmortem.markdown import plain
from taskmanager.incidents.postmortem.prometheus import Series, time_of
from taskmanager.incidents.postmortem.timeline import Asked, Origin, Window
from taskmanager.incidents.postmortem.writing import write
from tests.processes import ROOT, free_port
from tests.taskmanager.incidents.monitoring import Prometheus

T0 = datetime(2026, 11, 27, 21, 8, 50, tzinfo=UTC)
LABELS = {"alertname": "MigrationFailed", "severity": "critical", "service": "taskmanager", "env": "test"}
ALERT = Alert("ab", "migration_failed", LABELS, {}, T0)
BEFORE = timedelta(minutes=15)


def incident(*more: Entry, alert: Alert = ALERT) -> dict[str, Any]:
    opened = Entry(Kind.OPENED, (alert.starts_at or T0) + timedelta(seconds=2), "alertmanager", 1, alert)
    return fold([opened, *more]).incidents[1].with_entries()


def entry(kind: Kind, seconds: float, who: str = "ada", text: str = "") -> Entry:
    return Entry(kind, T0 + timedelta(seconds=seconds), who, 1, ALERT, text=text)


RESOLVED = incident(
    entry(Kind.ACKNOWLEDGED, 62), entry(Kind.NOTE, 300, text="rows"), entry(Kind.RESOLVED, 722, "alertmanager")
)


def test_both_languages_have_the_same_sentences_with_the_same_values() -> None:
    english, french = language("en"), language("fr")
    for ours, theirs in (
        (english.words, french.words),
        (english.events, french.events),
        (english.causes, french.causes),
    ):
        assert ours.keys() == theirs.keys()
        for key, sentence in ours.items():
            assert _fields(sentence) == _fields(theirs[key]), key
            assert sentence.strip()
    for sentences in (english.causes, french.causes):
        assert all(sentence.endswith(".") for sentence in sentences.values())


def _fields(sentence: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(sentence) if field}


def test_every_code_that_has_a_runbook_and_stops_traffic_or_warns_has_a_cause() -> None:
    """`ahead_compatible` is what a rollout looks like, and no alert; the watchdog is one that is no incident."""
    runbooks = {file.stem for file in (ROOT / "docs" / "runbooks").glob("*.md")} - {"ahead_compatible"}

    assert runbooks - {"README", "watchdog"} <= language("en").causes.keys()


def test_french_is_typeset() -> None:
    assert typeset_french("l'état : « prêt » ; quoi ? 5 % en 3 s") == (
        "l\u2019état\u00a0: «\u00a0prêt\u00a0»\u202f; quoi\u202f? 5\u00a0% en 3\u00a0s"
    )
    for sentences in (language("fr").words, language("fr").events, language("fr").causes):
        for key, sentence in sentences.items():
            assert not re.search(r"'| [;?!»]|« ", sentence), key
            assert not re.search(r" :", sentence), key


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (0.042, "42 ms", "42\u00a0ms"),
        (1.44, "1.4 s", "1,4\u00a0s"),
        (45, "45 s", "45\u00a0s"),
        (725, "12 min 05 s", "12\u00a0min 05\u00a0s"),
        (11100, "3 h 05 min", "3\u00a0h 05\u00a0min"),
        (187200, "2 d 04 h", "2\u00a0j 04\u00a0h"),
        (None, "not known", "inconnu"),
    ],
)
def test_durations_are_written_as_people_do(seconds: float | None, english: str, french: str) -> None:
    assert language("en").duration(seconds) == english
    assert language("fr").duration(seconds) == french


def test_dates_and_numbers_too() -> None:
    first = datetime(2026, 8, 1, tzinfo=UTC)
    assert (language("en").date(first), language("fr").date(first)) == ("1 August 2026", "1er août 2026")
    assert (language("en").number(12345), language("fr").number(12345)) == ("12,345", "12\u202f345")
    assert (language("en").percent(0.0271), language("fr").percent(0.0271)) == ("2.7%", "2,7\u00a0%")


def test_without_any_source_the_journal_alone_tells_and_the_document_says_so() -> None:
    text = write(RESOLVED, [], Addresses(), "en", BEFORE)

    assert text.startswith("# Incident 1: MigrationFailed, 27 November 2026\n")
    assert "| Time to detect | not known |" in text
    assert "| Time to acknowledge | 1 min 00 s |" in text
    assert "| Time to resolve | 12 min 00 s |" in text
    assert "it lasted 12 min 02 s." in text
    assert text.count("was not asked.") == 4
    assert "Nothing in the timeline was measured by Prometheus." in text
    assert "ada" not in text, "a post-mortem names nobody"


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        ([(Kind.ACKNOWLEDGED, 62), (Kind.RESOLVED, 100), (Kind.REOPENED, 150), (Kind.ACKNOWLEDGED, 400)], "1 min 00 s"),
        ([(Kind.ACKNOWLEDGED, 62), (Kind.RESOLVED, 100), (Kind.REOPENED, 150)], "1 min 00 s"),
        ([(Kind.RESOLVED, 100), (Kind.REOPENED, 150), (Kind.ACKNOWLEDGED, 180)], "30 s"),
        ([(Kind.RESOLVED, 100), (Kind.REOPENED, 150)], "not known"),
    ],
)
def test_the_first_acknowledgement_is_timed_from_the_opening_or_reopening_before_it(
    happened: list[tuple[Kind, float]], told: str
) -> None:
    """As the metric counts it; what was done after a later reopening makes nobody slow at the first one."""
    text = write(incident(*(entry(kind, seconds) for kind, seconds in happened)), [], Addresses(), "en", BEFORE)

    assert f"| Time to acknowledge | {told} |" in text


def test_an_incident_that_is_open_is_told_as_open() -> None:
    text = write(incident(), [], Addresses(), "en", BEFORE)

    assert "was still open at" in text
    assert "| Time to resolve | not known |" in text


def test_every_source_that_does_not_answer_is_named_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no alembic.ini, and so no ledger to ask for
    nobody = f"http://127.0.0.1:{free_port()}"
    facts = gather(RESOLVED, [], Addresses(nobody, nobody, nobody, ledger=True), BEFORE)

    asked = {source.origin: (source.asked, bool(source.reason)) for source in facts.sources}
    assert asked == {
        Origin.JOURNAL: (Asked.ANSWERED, False),
        Origin.PROMETHEUS: (Asked.UNREACHABLE, True),
        Origin.ALERTMANAGER: (Asked.UNREACHABLE, True),
        Origin.LEDGER: (Asked.UNREACHABLE, True),
        Origin.SERVICE: (Asked.UNREACHABLE, True),
    }
    assert len(facts.events) == 5


def test_deployments_in_the_window_are_in_the_timeline_and_may_have_mended_it() -> None:
    def deployed(seconds: float, version: str) -> dict[str, Any]:
        at = T0 + timedelta(seconds=seconds)
        return Entry(Kind.DEPLOYMENT, at, "ada", facts={"version": version, "commit": "9f3"}).as_json()

    deployments = [deployed(-9000, "1.2.0"), deployed(-60, "1.3.0"), deployed(600, "1.3.1"), deployed(9000, "1.4.0")]
    text = write(RESOLVED, deployments, Addresses(), "en", BEFORE)

    assert "Deployment recorded: 1.3.0, 9f3" in text
    mended = text.partition("## What mended it")[2].partition("##")[0]
    assert "Deployment recorded: 1.3.1, 9f3" in mended
    assert "1.3.0" not in mended, "it was before"
    assert "1.2.0" not in text
    assert "1.4.0" not in text


def test_a_resolution_by_hand_with_words_may_have_mended_it() -> None:
    text = write(incident(entry(Kind.RESOLVED, 100, text="space freed")), [], Addresses(), "fr", BEFORE)

    mended = text.partition("## Ce qui y a mis fin")[2].partition("##")[0]
    assert "résolu à la main\u00a0: «\u00a0space freed\u00a0»" in mended


def test_a_code_that_nobody_knows_is_said_to_be_none() -> None:
    unknown = Alert("ab", "flux_capacitor", LABELS | {"alertname": "FluxCapacitor"}, {}, T0)
    text = write(incident(alert=unknown), [], Addresses(), "en", BEFORE)

    assert "`flux_capacitor`, is none that this release knows a cause for." in text
    assert "runbooks/flux_capacitor.md" not in text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_words_of_people_mean_nothing_but_themselves_in_markdown(text: str) -> None:
    cell = plain(text)

    assert "\n" not in cell
    assert not set(re.sub(r"\\.", "", cell)) & set("|<>[]`*_\\")


def test_a_note_is_neither_link_nor_image_nor_html() -> None:
    evil = "![x](http://evil.example/x.png) | <script> {alert} [a](javascript:b)"
    text = write(incident(entry(Kind.NOTE, 9, text=evil)), [], Addresses(), "en", BEFORE)

    row = next(line for line in text.splitlines() if "evil.example" in line)
    assert not re.search(r"(?<!\\)[\[\]<>]", row)
    assert len(re.split(r"(?<!\\)\|", row)) == 5
    assert "{alert}" in row, "a note is no template"


def _series(*values: float | None, labels: dict[str, str] | None = None) -> Series:
    start = T0.timestamp()
    samples = ((start + place, value) for place, value in enumerate(values) if value is not None)
    return Series(labels or {}, tuple(samples))


WINDOW = Window(T0, T0 + timedelta(seconds=100), 1)


def _growth(*values: float | None, since: float = 0, until: float = 100) -> float:
    return _series(*values).growth(WINDOW, T0 + timedelta(seconds=since), T0 + timedelta(seconds=until))


def test_a_counters_growth_counts_its_birth_and_its_restarts() -> None:
    assert _growth(5, 7, 7, 10) == 5, "what it had before anybody looked does not count"
    assert _growth(None, None, 3, 4) == 4, "born while it was looked at"
    assert _growth(5, 7, 2, 3) == 5, "a smaller value is a new process"
    assert _growth(5, 7, 9, 20, since=2, until=2.5) == 2
    assert _growth() == 0


def test_a_series_is_there_in_runs_and_changes() -> None:
    series = _series(1, 1, None, None, 0, 0, 1)

    def after(seconds: float) -> datetime:
        return T0 + timedelta(seconds=seconds)

    assert series.runs(1) == [(after(0), after(1)), (after(4), after(6))]
    assert list(series.changes()) == [(after(4), 1, 0), (after(6), 0, 1)]
    assert time_of(0) == datetime(1970, 1, 1, tzinfo=UTC)


SILENCE = {
    "startsAt": time_text(T0),
    "endsAt": time_text(T0 + timedelta(seconds=50)),
    "status": {"state": "expired"},
    "createdBy": "canary@example.com",
    "comment": "canary",
}


@pytest.mark.parametrize(
    ("matchers", "covers"),
    [
        ([("alertname", "MigrationFailed", False, True)], True),
        ([("alertname", "Migration.*", True, True)], True),
        ([("alertname", "MigrationFailed", False, True), ("env", "test", False, False)], False),
        ([("owner", "canary@example.com", False, False)], True),
        ([("alertname", "(?P<", True, True)], False),
    ],
)
def test_a_silence_is_told_apart_by_whether_it_covers_the_alert_and_without_its_author(
    matchers: list[tuple[str, str, bool, bool]], covers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [
        {"name": name, "value": value, "isRegex": is_regex, "isEqual": is_equal}
        for name, value, is_regex, is_equal in matchers
    ]
    answers = {"/api/v2/silences": [SILENCE | {"matchers": told}], "/api/v2/alerts": []}
    monkeypatch.setattr(alertmanager, "_ask", lambda url, path: answers[path])
    began, ended = alertmanager.events("http://x", RESOLVED, WINDOW)

    whose = "this" if covers else "others"
    assert (began.key, ended.key) == (f"silence_of_{whose}_began", f"silence_of_{whose}_ended")
    assert "canary" not in repr((began, ended))


ALWAYS = [{"alert": "MigrationFailed", "expr": "vector(1) == 1", "labels": {"severity": "critical"}}]


def test_a_prometheus_that_refuses_one_question_still_answers_the_others(tmp_path: Path) -> None:
    with Prometheus(tmp_path / "prometheus", {}, ALWAYS, None, "--query.max-samples=5000") as prometheus:
        facts = gather(RESOLVED, [], Addresses(prometheus.url), timedelta(minutes=1))

    (source,) = [source for source in facts.sources if source.origin is Origin.PROMETHEUS]
    assert source.asked is Asked.IN_PART
    assert "too many samples" in source.reason
    # The one about all requests needs the most.
    assert facts.impact is None


def _burning(expression: str, long: str, **labels: str) -> dict[str, Any]:
    return {
        "alert": "ErrorBudgetBurnFast",
        "expr": expression,
        "labels": {"code": "error_budget_burn", "long": long} | labels,
    }


def _of_burn(**labels: str) -> dict[str, Any]:
    kept = {"alertname": "ErrorBudgetBurnFast", "service": "taskmanager", "env": "test", "code": "error_budget_burn"}
    return incident(alert=Alert("ab", "error_budget_burn", kept | labels, {}, datetime.now(UTC)))


# Two rules of one name: the condition of the first has not held, that of the second has.
TWO_OF_A_NAME = [
    _burning("vector(1) == 2", "1h"),
    _burning("vector(1) == 1", "6h", state="{{ $labels.state }}"),
]


def test_of_rules_of_one_name_the_one_whose_labels_are_the_incidents_tells_when_it_began(tmp_path: Path) -> None:
    with Prometheus(tmp_path / "prometheus", {}, TWO_OF_A_NAME, None) as prometheus:
        courses = {
            long: gather(_of_burn(long=long, state="x"), [], Addresses(prometheus.url), BEFORE) for long in ("1h", "6h")
        }

    began = {long: facts.began is not None for long, facts in courses.items()}
    assert began == {"1h": False, "6h": True}
    assert not any(facts.rules_that_fit > 1 for facts in courses.values())


@pytest.mark.parametrize(("lang", "told"), [("en", "2 rules named ErrorBudgetBurnFast"), ("fr", "2 règles")])
def test_where_several_rules_of_one_name_fit_no_time_is_stated_and_it_is_said(
    lang: str, told: str, tmp_path: Path
) -> None:
    with Prometheus(tmp_path / "prometheus", {}, TWO_OF_A_NAME, None) as prometheus:
        text = write(_of_burn(), [], Addresses(prometheus.url), lang, BEFORE)

    assert told in text
    assert not re.search(r"The condition of ErrorBudget|La condition de ErrorBudget", text)
    assert re.search(r"\| (Time to detect|Délai de détection) \| (not known|inconnu) \|", text)
