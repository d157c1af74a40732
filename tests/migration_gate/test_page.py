"""The page that people see in the application's place."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from migration_gate.observed import BrokenStatement, Running
from migration_gate.page import PAGE_HEADERS, page, refresh_interval_s
from migration_gate.page_texts import ENGLISH, FRENCH, LANGUAGES
from migration_gate.states import RULES, State
from migration_gate.status import SchemaStatus, judge, unreachable
from migration_gate.watch import Verdict
from tests.migration_gate.verdict_cases import CASES, LINE, Case, database, graph

NOW = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
RUNNING = Running("migration-gate web-1:4711", NOW - timedelta(seconds=47), planned=3, done=1, revision="beef")
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Document(HTMLParser):
    """The elements and the text of a page; every element must be closed."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(body.decode())
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def attributes(self, tag: str) -> dict[str, str | None]:
        (found,) = (attributes for name, attributes in self.elements if name == tag)
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(f" {data}")


def _verdict(status: SchemaStatus, **known: object) -> Verdict:
    return Verdict(status, None, 1.0, since=NOW - timedelta(minutes=3), **known)  # type: ignore[arg-type]


def _shown(verdict: Verdict, language: str = "en") -> Document:
    return Document(page(verdict, language, NOW))


def test_it_tells_what_disagrees_since_when_and_what_to_run() -> None:
    text = _shown(_verdict(judge(LINE, database("f00d")))).text

    assert "The database schema is behind the code" in text
    assert "The code needs 0abc" in text
    assert "The database is at f00d" in text
    assert "Missing revisions, in order beef 0abc" in text
    assert "To mend it, run alembic upgrade head" in text
    assert "In this state since 12:57 UTC , for 3 min." in text
    assert "every 5 seconds" in text
    assert "behind" in text.split()


def test_it_tells_who_migrates_and_how_far() -> None:
    shown = _shown(_verdict(judge(LINE, database("f00d")), running=RUNNING))

    assert shown.attributes("progress") == {"aria-labelledby": "work", "value": "1", "max": "3"}
    assert "A migration is at work 1 of 3 applied 1 of 3 applied migration-gate web-1:4711, for 47 s" in shown.text
    assert "beef under way" in shown.text
    assert "alembic upgrade head" not in shown.text
    assert "every 2 seconds" in shown.text


def test_a_run_of_which_nobody_knows_how_long_it_is_has_a_bar_without_a_value() -> None:
    running = Running("migration-gate web-1:4711", NOW, planned=0, done=0)

    shown = _shown(_verdict(judge(LINE, database()), running=running))

    assert "value" not in shown.attributes("progress")


def test_it_asks_again_sooner_while_a_bar_moves() -> None:
    status = judge(LINE, database("f00d"))

    assert refresh_interval_s(_verdict(status, running=RUNNING)) < refresh_interval_s(_verdict(status))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_verdict_has_a_page_that_names_neither_the_database_nor_the_role(case: Case, language: str) -> None:
    status = judge(case.expected, case.observed)
    shown = _shown(_verdict(status), language)

    assert shown.attributes("html") == {"lang": language}
    assert LANGUAGES[language].titles[status.state] in shown.text
    assert "library" not in shown.text
    assert "reader" not in shown.text


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_words_in_french(state: State) -> None:
    rule = RULES[state]
    assert FRENCH.titles[state]
    assert FRENCH.titles[state] != rule.title
    assert bool(FRENCH.causes[state]) == bool(rule.cause)
    assert bool(FRENCH.solutions[state]) == bool(rule.solution)
    assert not re.search(r" [:;]", FRENCH.causes[state] + FRENCH.solutions[state])
    for command in re.findall(r"(?:alembic|migration-gate) (?:[a-z]+ ?)+", rule.solution):
        assert command.split()[1] in FRENCH.solutions[state]


def test_both_languages_fill_in_the_same_places() -> None:
    for name, text in vars(ENGLISH).items():
        if isinstance(text, str):
            assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", getattr(FRENCH, name)))


def test_what_a_state_says_beyond_its_usual_words_stays_english_on_a_french_page() -> None:
    status = unreachable(LINE, "nothing listens", "start PostgreSQL")

    shown = _shown(_verdict(status), "fr")

    assert shown.attributes("span") == {"lang": "en"}
    assert "Start PostgreSQL." in shown.text
    assert "Vérifiez que PostgreSQL tourne" in _shown(_verdict(unreachable(LINE, "nothing listens")), "fr").text


def test_a_database_that_was_never_read_is_not_said_to_be_at_no_revision() -> None:
    text = _shown(_verdict(unreachable(LINE, "nothing listens"))).text

    assert "no revision" not in text
    assert "Missing" not in text
    assert "nothing listens" not in text


def test_a_verdict_that_is_kept_while_the_database_is_away_says_so() -> None:
    status = judge(LINE, database("f00d"))
    away = Verdict(status, "no answer", 1.0, since=NOW)

    assert "does not answer at this moment" in _shown(away).text
    assert "does not answer at this moment" not in _shown(_verdict(status)).text


def test_a_broken_statement_is_named_and_what_postgresql_said_is_not() -> None:
    broken = (BrokenStatement("table:book", "42703", 'column "title" of relation "book" does not exist'),)

    text = _shown(_verdict(judge(LINE, database("0abc", broken_statements=broken)))).text

    assert "Statements that cannot run table:book" in text
    assert "column" not in text


def test_of_many_revisions_the_first_and_the_last_are_named() -> None:
    ids = [f"r{number:02}" for number in range(40)]
    line = graph({id_: (ids[n - 1],) if n else () for n, id_ in enumerate(ids)}, ids[-1])

    text = _shown(_verdict(judge(line, database("r00")))).text

    assert "r01 r02 r03 r04 r05 r06 r07 and 31 more r39" in text


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x onerror=1>', "&lt;b&gt;", "'{0}%s"])
def test_whatever_a_database_holds_is_text(hostile: str) -> None:
    running = Running(hostile, NOW, 3, 1, hostile)
    broken = (BrokenStatement(hostile, "42703", hostile),)
    line = graph({hostile: ()}, hostile)
    status = judge(line, database("f00d", broken_statements=broken))

    for verdict in (_verdict(status), _verdict(status, running=running), _verdict(unreachable(line, "", hostile))):
        shown = _shown(verdict)
        assert {tag for tag, _ in shown.elements} <= {
            *("html", "head", "meta", "title", "style", "body", "main", "section", "footer", "h1", "h2", "p", "i"),
            *("dl", "div", "dt", "dd", "ol", "li", "code", "pre", "span", "svg", "path", "progress", "time"),
        }
        assert hostile in "".join(shown.words)


def test_it_holds_no_script_and_loads_nothing_and_its_policy_allows_its_style_alone() -> None:
    body = page(_verdict(judge(LINE, database("f00d"))), "en", NOW).decode()
    style = re.search(r"<style>(.*?)</style>", body, re.DOTALL)
    assert style is not None

    policy = dict(PAGE_HEADERS)[b"content-security-policy"].decode()

    digest = b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert not re.search(r"<script|<link|<img|<iframe|\bsrc=|\bhref=|\bstyle=|\bon\w+=|url\(|@import", body)


@pytest.mark.parametrize(
    ("passed", "told"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59, seconds=59), "59 min"),
        (timedelta(hours=23, minutes=5), "23 h 5 min"),
        (timedelta(days=2, hours=3), "2 d 3 h"),
    ],
)
def test_durations_are_told_in_two_units_at_most(passed: timedelta, told: str) -> None:
    verdict = Verdict(judge(LINE, database("f00d")), None, 1.0, since=NOW - passed)

    assert f"for {told}." in _shown(verdict).text


def test_a_state_of_yesterday_is_told_with_its_date() -> None:
    verdict = Verdict(judge(LINE, database("f00d")), None, 1.0, since=NOW - timedelta(days=1))

    assert "since 2026-11-20 13:00 UTC" in _shown(verdict).text
