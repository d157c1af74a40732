"""Prometheus' own page of the service: what it says of one that is well, broken and mended, and who can read it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser
from tests.ops.scene import CONSOLES, without_rules
from tests.ops.story import PAGES, Seen, Story, page_of, wait
from tests.prometheus_api import PrometheusApi

ENGLISH, FRENCH = PAGES

# Playing the story counts as the first test's time.
pytestmark = pytest.mark.timeout(480)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(params=["well", "broken", "mended"])
def seen(request: pytest.FixtureRequest, story: Story) -> Seen:
    found: Seen = getattr(story, request.param)
    return found


def _open(browser: Browser, page: str, folder: Path) -> str:
    """Open a page as Prometheus sent it; it needs no server to be looked at."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    browser.emulate()
    browser.resize(1100, 900)
    browser.requested.clear()
    browser.complaints.clear()
    browser.open(file.as_uri())
    return file.as_uri()


def _rows(browser: Browser) -> dict[str, list[str]]:
    """The cells of every row by its heading, as people see them."""
    script = "[...document.querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    return {heading.split("\n")[0]: cells for heading, *cells in browser.evaluate(script)}


def test_a_service_that_is_well(browser: Browser, story: Story, tmp_path: Path) -> None:
    _open(browser, story.well.pages[ENGLISH], tmp_path)
    rows = _rows(browser)

    assert browser.evaluate("document.getElementById('verdict').innerText") == "✓ No alert fires"
    assert "No alert is firing." in browser.text
    assert "No alert fired in the last 24 hours." in browser.text
    assert "not known" not in browser.text
    assert rows["Traffic"] == ["allowed", "✓ normal"]
    assert rows["Reachable"][:2] == ["yes", "✓ normal"]
    assert rows["Failed, of all"][:2] == ["0 %", "✓ normal"]
    assert re.fullmatch(r"[\d.]+ ms", rows["95 % are faster than"][0])
    assert "limit 2 s" in rows["95 % are faster than"][2]
    assert re.fullmatch(r"\d+\.\d\d a second", rows["Requests"][0])
    assert re.fullmatch(r"\d+(\.\d\d?)? %", rows["Disk used"][0])
    assert rows["Open"] == ["0", "✓ normal"]


def test_a_service_without_its_database(browser: Browser, story: Story, tmp_path: Path) -> None:
    _open(browser, story.broken.pages[ENGLISH], tmp_path)
    rows = _rows(browser)

    assert "critical alert" in browser.evaluate("document.getElementById('verdict').innerText")
    firing = browser.evaluate("document.querySelector('section').innerText")
    assert "DatabaseUnreachable" in firing
    assert "docs/runbooks/unreachable.md" in firing
    assert "docs/runbooks/database_error.md" in firing
    assert "not ready" in browser.text
    assert "last known" in browser.text
    assert rows["Reachable"][:2] == ["no", "✕ critical"]
    assert rows["Errors within 5 minutes"][1] == "✕ above 0"
    assert rows["Waiting for a lock"][:2] == ["—", "? not known"]
    assert rows["Open"][1] == "✕ above 0"


def test_a_service_that_has_its_database_back(browser: Browser, story: Story, tmp_path: Path) -> None:
    _open(browser, story.mended.pages[ENGLISH], tmp_path)
    rows = _rows(browser)

    assert rows["Reachable"][:2] == ["yes", "✓ normal"]
    assert rows["DatabaseUnreachable unreachable"][-1] == "✓ resolved"
    assert rows["Resolved in 24 hours"][0] != "0"


def test_an_alert_of_one_code_that_is_over_is_resolved_while_another_code_fires(
    browser: Browser, tmp_path: Path
) -> None:
    now = int(time.time())
    suspect = 'ALERTS{alertname="SchemaSuspect",alertstate="firing",severity="warning",service="taskmanager"'
    drifted = [f'{suspect},env="development",code="drifted"}} 1 {now - ago}' for ago in range(7200, 3600, -15)]
    incomplete = [f'{suspect},env="development",code="incomplete"}} 1 {now - ago}' for ago in range(1800, -1, -15)]
    past = "\n".join(("# TYPE ALERTS gauge", *drifted, *incomplete, "# EOF\n"))
    with without_rules(tmp_path, past) as prometheus:
        page = page_of(prometheus, ENGLISH)
    _open(browser, page, tmp_path)
    rows = _rows(browser)

    assert rows["SchemaSuspect drifted"][-1] == "✓ resolved"
    assert rows["SchemaSuspect drifted"][-2].startswith("1 h ")
    assert rows["SchemaSuspect incomplete"][-1] == "✕ firing"


def test_what_is_not_known_is_not_told_as_well(prometheus_without_rules: PrometheusApi) -> None:
    wait(lambda: prometheus_without_rules.now("up"))
    unjudged = page_of(prometheus_without_rules, ENGLISH)
    unheard_of = page_of(prometheus_without_rules, ENGLISH, service="another", env="production")

    assert "Nothing is judged" in unjudged
    assert "Prometheus has no target for this service" in unheard_of
    assert "another, production" in unheard_of
    for page in (unjudged, unheard_of):
        assert "No alert fires" not in page
        assert "not known" in page


def test_what_stands_in_the_address_is_a_name_and_nothing_else(prometheus_without_rules: PrometheusApi) -> None:
    page = page_of(prometheus_without_rules, ENGLISH, service='"}) or vector(1) #<script>alert(1)</script>')

    assert "<script>alert" not in page
    assert "Prometheus has no target for this service" in page


def test_the_same_in_french(browser: Browser, story: Story, tmp_path: Path) -> None:
    _open(browser, story.broken.pages[FRENCH], tmp_path)
    rows = _rows(browser)

    assert browser.evaluate("document.documentElement.lang") == "fr"
    assert "critique" in browser.evaluate("document.getElementById('verdict').innerText")
    assert rows["Joignable"][:2] == ["non", "✕ critique"]
    assert rows["Trafic"] == ["autorisé", "✓ normal"]
    assert re.fullmatch(r"\d+,\d\d par seconde", rows["Requêtes"][0])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390, 320])
def test_it_is_accessible_fits_any_width_and_loads_nothing(
    browser: Browser, seen: Seen, page: str, scheme: str, width: int, tmp_path: Path
) -> None:
    address = _open(browser, seen.pages[page], tmp_path)
    browser.emulate(scheme=scheme)
    browser.resize(width, 900)

    assert browser.axe() == []
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert set(browser.requested) == {address}
    assert browser.complaints == []


def test_every_picture_and_every_sign_is_told_in_words(browser: Browser, seen: Seen, tmp_path: Path) -> None:
    _open(browser, seen.pages[ENGLISH], tmp_path)

    labels = browser.evaluate("[...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))")
    assert labels
    assert all(re.match(r"The last 15 minutes: highest [\d.]+", label) for label in labels)
    coloured = "[...document.querySelectorAll('.good, .warning, .critical, .planned, .unknown')]"
    words = browser.evaluate(f"{coloured}.map(each => each.innerText.replace(/[^a-z]/gi, ''))")
    assert words
    assert all(words)


def test_it_follows_what_happens_by_itself(story: Story) -> None:
    assert story.told_by_itself


def test_both_languages_have_every_word_and_no_other() -> None:
    board = "".join(file.read_text(encoding="utf-8") for file in CONSOLES.glob("*.lib"))
    used = set(re.findall(r'\{\{template "(w\.\w+)"', board))

    for page in PAGES:
        defined = re.findall(r'\{\{define "(w\.\w+)"\}\}', (CONSOLES / page).read_text(encoding="utf-8"))
        assert len(defined) == len(set(defined))
        assert set(defined) == used


def test_french_is_set_as_french_is() -> None:
    text = (CONSOLES / FRENCH).read_text(encoding="utf-8")
    words = " ".join(re.findall(r"\{\{define \"w\.\w+\"\}\}(.*?)\{\{end\}\}", text))

    assert re.findall(r"\w'\w| [:;?!]|\d %", re.sub(r"<[^>]+>|\{\{.*?\}\}", "", words)) == []
