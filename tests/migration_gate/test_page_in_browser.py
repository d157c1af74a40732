"""The page as a person meets it: in a real browser, before a real service and a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.browser import Browser
from tests.databases import Database
from tests.migration_gate.adopters import FASTAPI, Serve, serving
from tests.migration_gate.scratch import BOOK, SHELF, TITLE_INDEX, Project, succeed, until
from tests.processes import Service, run_alembic

ASKS_AGAIN_WITHIN_S = 15.0


@pytest.fixture(scope="module")
def one_browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def browser(one_browser: Browser) -> Browser:
    """A browser as it comes: light, English, with scripts, 1100 by 900 pixels."""
    one_browser.open("about:blank")
    one_browser.scripts(run=True)
    one_browser.emulate()
    one_browser.resize(1100, 900)
    one_browser.requested.clear()
    one_browser.complaints.clear()
    return one_browser


@pytest.fixture
def serve(project: Project, empty_database: Database, tmp_path: Path) -> Iterator[Serve]:
    with serving(project, empty_database.app_url, tmp_path) as serve:
        yield serve


@pytest.fixture
def service(serve: Serve) -> Service:
    """The adopter's service before a database that was never migrated."""
    service: Service = serve(FASTAPI)
    service.wait_for("/books", 503)
    return service


def test_it_tells_what_to_do_and_gives_way_by_itself_without_scripts(
    browser: Browser, service: Service, project: Project
) -> None:
    browser.scripts(run=False)
    browser.open(f"{service.url}/books")
    assert "The database was never migrated" in browser.text
    assert "alembic upgrade head" in browser.text

    succeed(project.alembic("upgrade", BOOK))
    browser.wait_for("document.body.innerText.includes('is behind the code')", ASKS_AGAIN_WITHIN_S)
    assert BOOK in browser.text
    succeed(project.alembic("upgrade", "head"))

    browser.wait_for("""document.body.innerText.includes('["books"]')""", ASKS_AGAIN_WITHIN_S)
    assert browser.evaluate("location.href") == f"{service.url}/books"


def test_the_checker_of_accessibility_finds_what_is_wrong(browser: Browser) -> None:
    browser.open("data:text/html,<p style='color:%23bbb;background:%23fff'>pale</p><meta http-equiv=refresh content=9>")

    found = {line.split()[0] for line in browser.axe()}

    assert {"color-contrast", "meta-refresh", "html-has-lang", "document-title"} <= found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1100, 390, 320])
def test_it_is_accessible_fits_any_width_and_loads_nothing_from_elsewhere(
    browser: Browser, service: Service, scheme: str, width: int
) -> None:
    browser.emulate(scheme=scheme, accept_language="fr" if width == 390 else "en")
    browser.resize(width, 900)

    browser.open(f"{service.url}/books?page=1")

    assert browser.axe() == []
    assert browser.evaluate("document.documentElement.lang") == ("fr" if width == 390 else "en")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert set(browser.requested) == {f"{service.url}/books?page=1"}
    assert [line for line in browser.complaints if "503" not in line] == []
    dark = sum(browser.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")) < 300
    assert dark == (scheme == "dark")


def test_one_click_selects_the_whole_command(browser: Browser, service: Service) -> None:
    browser.open(f"{service.url}/books")
    where = "document.querySelector('pre code').getBoundingClientRect()"
    place = {name: browser.evaluate(f"{where}.{name} + 5") for name in ("x", "y")}

    for kind in ("mousePressed", "mouseReleased"):
        browser.tell("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    assert browser.evaluate("getSelection().toString()") == "alembic upgrade head"


def test_nothing_moves_for_who_wants_no_motion(browser: Browser, service: Service) -> None:
    moving = "document.getAnimations().length"
    browser.open(f"{service.url}/books")
    assert browser.evaluate(moving) > 0

    browser.emulate(motion="reduce")
    browser.open(f"{service.url}/books")

    assert browser.evaluate(moving) == 0


def test_it_shows_a_migration_at_work_and_gives_way_when_that_is_done(
    browser: Browser, serve: Serve, project: Project, empty_database: Database, tmp_path: Path
) -> None:
    project.sql(BOOK, SHELF, "SELECT pg_advisory_xact_lock(4711)")
    project.sql(TITLE_INDEX, BOOK, "CREATE TABLE book (id bigserial PRIMARY KEY, title text NOT NULL)")
    service = serve(FASTAPI)
    with psycopg.connect(empty_database.migrator_url) as holding:
        holding.execute("SELECT pg_advisory_lock(4711)")
        with project.running("alembic", "upgrade", "head") as migrating:
            service.wait_for("/books", 503)
            until(lambda: _waits(empty_database))
            browser.open(f"{service.url}/books")
            browser.wait_for("document.querySelector('progress')?.max === 3", ASKS_AGAIN_WITHIN_S)

            # The page may have been made in the instant between the first revision's end and the next look.
            browser.wait_for("document.querySelector('progress')?.value === 1", ASKS_AGAIN_WITHIN_S)
            assert "1 of 3 applied" in browser.text
            assert f"{BOOK} under way" in browser.text
            assert f":{migrating.pid}" in browser.text
            assert browser.axe() == []
            holding.execute("SELECT pg_advisory_unlock(4711)")
            assert migrating.wait(timeout=60) == 0

    browser.wait_for("""document.body.innerText.includes('["books"]')""", ASKS_AGAIN_WITHIN_S)


def _waits(database: Database) -> bool:
    return database.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == [(1,)]


def test_whoever_opens_the_task_api_in_a_browser_sees_it_too(
    browser: Browser, serve_tasks: Callable[..., Service], empty_database: Database
) -> None:
    service = serve_tasks(empty_database)
    service.wait_for("/tasks", 503)
    until(lambda: service.get("/tasks").json()["code"] == "never_migrated")
    head = service.request("HEAD", "/tasks", headers={"Accept": "text/html"})
    assert head.headers["content-type"] == "text/html; charset=utf-8"
    assert head.headers.get_list("content-security-policy") == [head.headers["content-security-policy"]]
    assert "style-src 'sha256-" in head.headers["content-security-policy"]
    assert head.headers["x-request-id"]
    assert head.content == b""

    browser.open(f"{service.url}/tasks")
    assert "The database was never migrated" in browser.text
    assert browser.axe() == []
    run_alembic("upgrade", "head", env={"MIGRATION_DATABASE_URL": empty_database.migrator_url})

    browser.wait_for("document.body.innerText.trim() === '[]'", ASKS_AGAIN_WITHIN_S)
    assert [line for line in browser.complaints if "503" not in line] == []


@pytest.fixture
def serve_tasks(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def start(database: Database) -> Service:
        services.append(Service({"DATABASE_URL": database.app_url}, tmp_path))
        return services[-1]

    yield start
    for service in services:
        service.stop()
