"""The documents can be read with a screen reader and without colours: rendered to HTML, they pass axe-core, and what it
cannot see of Markdown is looked at here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.browser import Browser
from tests.docs.documents import DOCUMENTS
from tests.processes import ROOT

# Link texts that tell nothing where links are read out by themselves.
TELL_NOTHING = {"here", "this", "link", "more", "click here", "ici", "ceci", "lien", "cliquez ici", "en savoir plus"}

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def language_of(document: Path) -> str:
    return "fr" if "fr" in document.relative_to(ROOT).parts or document.name.endswith(".fr.md") else "en"


def rendered(text: str, language: str) -> str:
    """The document as a page of its own, as a host of repositories shows it."""
    body = MarkdownIt("commonmark").enable("table").render(text)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    assert title is not None
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"><title>{title[1]}</title></head>'
        f"<body><main>{body}</main></body></html>"
    )


def faults_of(browser: Browser, html: str, folder: Path) -> list[str]:
    file = folder / "document.html"
    file.write_text(html, encoding="utf-8")
    browser.open(file.as_uri())
    return browser.axe()


@each_document
def test_a_document_passes_axe_core(document: Path, browser: Browser, tmp_path: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert faults_of(browser, rendered(text, language_of(document)), tmp_path) == []


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('# T\n\n<img src="picture.svg">\n', "image-alt"),
        ("# T\n\n[](https://example.com)\n", "link-name"),
        ("# T\n\n#### Four\n", "heading-order"),
    ],
)
def test_axe_core_finds_what_is_wrong(text: str, rule: str, browser: Browser, tmp_path: Path) -> None:
    found = faults_of(browser, rendered(text, "en"), tmp_path)

    assert any(line.startswith(rule) for line in found), found


@each_document
def test_one_title_and_no_level_is_left_out(document: Path) -> None:
    levels = [int(token.tag[1]) for token in MarkdownIt().parse(document.read_text()) if token.type == "heading_open"]

    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


@each_document
def test_pictures_and_links_tell_what_they_are(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    alternatives = re.findall(r"!\[([^\]]*)\]\(", text)
    links = re.findall(r"(?<!!)\[([^\]]+)\]\(", text)

    assert all(len(alternative.strip()) > 10 for alternative in alternatives)
    assert not [link for link in links if link.strip().lower() in TELL_NOTHING]
