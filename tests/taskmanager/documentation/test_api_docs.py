"""The documentation's pages: whole without a network, safe in a browser, and gone where they are switched off."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import pytest_asyncio

from migration_gate.gate import Mode
from taskmanager.app import create_app
from taskmanager.documentation import api_docs
from taskmanager.settings import Docs, Settings
from tests.processes import ROOT, run

# Nobody answers there: the pages need no database.
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
PAGES = ("/docs", "/redoc")
ORIGIN = "http://service"


def client_of(settings: Settings) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(settings)), base_url=ORIGIN)


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(Settings(database_url=NOWHERE, schema_gate=Mode.OFF)) as client:
        yield client


class Page(HTMLParser):
    """What a page loads by itself, what it links to, and whether anything in it is inline."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._open = tag
        for name, value in attributes:
            if name == "src" or (name == "href" and tag == "link"):
                self.loaded.append(value or "")
            elif name == "href":
                self.links.append(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        if self._open in {"script", "style"} and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def loaded_by(path: str, media_type: str, text: str) -> list[str]:
    """Addresses that a browser loads because of this file, as they stand there."""
    if media_type == "text/html":
        return Page(text).loaded
    if media_type == "text/css":
        return re.findall(r"""url\(\s*["']?([^"')]+)""", text) + re.findall(r"""@import\s+["']([^"']+)""", text)
    if media_type == "text/javascript":
        # Those of our own scripts, and whatever looks like a picture, a script, a style or a font.
        own = re.findall(r'"([a-z.]+\.json)"', text) if path.endswith("-start.js") else []
        outside = r"""["'`](https?://[^"'`\s]+\.(?:js|css|svg|png|gif|ico|jpg|woff2?|ttf))["'`]"""
        return own + re.findall(outside, text)
    return []


@pytest.mark.parametrize("page", PAGES)
async def test_all_that_a_page_loads_comes_from_this_service(client: httpx.AsyncClient, page: str) -> None:
    found: dict[str, str] = {}
    waiting = [page]
    while waiting:
        path = waiting.pop()
        answer = await client.get(path)
        assert answer.status_code == 200, path
        found[path] = answer.headers["content-type"].split(";")[0]
        # A script's addresses are those of the page that runs it.
        base = page if found[path] == "text/javascript" else path
        for reference in loaded_by(path, found[path], answer.text):
            if reference.startswith("data:"):
                continue
            address = urljoin(ORIGIN + base, reference)
            assert address.startswith(ORIGIN + "/"), f"{path} loads {reference}"
            if urlsplit(address).path not in found:
                waiting.append(urlsplit(address).path)

    assert "/openapi.json" in found
    assert "/docs/favicon.png" in found
    assert set(found) <= api_docs.PATHS
    assert sorted(found.values()).count("text/javascript") == 2


async def test_no_script_names_a_place_outside_to_load_a_picture_from(client: httpx.AsyncClient) -> None:
    assert "cdn.redoc.ly" not in (await client.get("/docs/redoc.standalone.js")).text


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_works_under_the_path_of_a_proxy_too(client: httpx.AsyncClient, page: str) -> None:
    for reference in Page((await client.get(page)).text).loaded:
        assert not reference.startswith("/")
        assert urljoin(f"https://example.com/tasks-api{page}", reference).startswith(
            "https://example.com/tasks-api/docs/"
        )


@pytest.mark.parametrize("page", PAGES)
async def test_a_page_runs_nothing_that_stands_in_it(client: httpx.AsyncClient, page: str) -> None:
    answer = await client.get(page)

    assert Page(answer.text).inline == []
    policies = answer.headers.get_list("content-security-policy")
    assert len(policies) == 1
    directives = dict(directive.strip().split(" ", 1) for directive in policies[0].split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["connect-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in policies[0]
    assert "http" not in policies[0]
    for name, value in {
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
    }.items():
        assert answer.headers.get_list(name) == [value]


@pytest.mark.parametrize("path", sorted(api_docs.PATHS - {api_docs.OPENAPI_PATH}))
async def test_a_browser_keeps_a_file_and_asks_whether_it_has_changed(client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    assert first.headers["cache-control"] == "no-cache"

    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]

    head = await client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize("path", sorted(api_docs.PATHS))
async def test_switched_off_there_is_nothing(path: str) -> None:
    async with client_of(Settings(database_url=NOWHERE, docs=Docs.OFF)) as client:
        answer = await client.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize("path", ["/docs/", "/docs/nothing.js", "/docs/..%2f..%2fpyproject.toml", "/docs/__init__.py"])
async def test_nothing_else_of_the_folder_is_served(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


READ_LATER = """
import sys
from migration_gate.gate import Mode
from taskmanager.documentation import api_docs
from taskmanager.app import create_app
from taskmanager.settings import Settings
create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
print("fastapi_offline" in sys.modules, api_docs._content.cache_info().currsize)
"""


def test_a_start_reads_none_of_the_files() -> None:
    done = run(sys.executable, "-c", READ_LATER, env={"PYTHONPATH": str(ROOT)})
    assert done.stdout.split() == ["False", "0"], done.stderr


async def test_every_reference_of_the_description_leads_somewhere(client: httpx.AsyncClient) -> None:
    """ReDoc shows nothing at all for the sake of one that does not."""
    description = (await client.get(api_docs.OPENAPI_PATH)).json()

    for reference in set(re.findall(r'"\$ref": ?"([^"]+)"', json.dumps(description))):
        place = description
        for name in reference.removeprefix("#/").split("/"):
            assert name in place, reference
            place = place[name]
