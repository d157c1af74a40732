"""What is accepted comes back as it was, whatever it is written in."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests import plain_http
from tests.hostile.conftest import Target

TEXTS = {
    "right to left": "\u202eabc\u202c مهمة \u200f(1)\u200e",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 ☠️",
    "combining": "a" + "\u0301\u0323" * 40,
    "decomposed": "cafe\u0301",
    "composed": "caf\u00e9",
    "no width": "a\u200b\u200c\u200d\u2060b",
    "a byte order mark": "\ufeffx",
    "noncharacters": "x\ufffe\uffff\U0010ffff\ufdd0",
    "private use": "\ue000x\U000f0000",
    "control characters": "x\x01\x02\x1b[31mred\x7f\x80\x9f",
    "line ends": "a\nb\r\nc\rd\te\u2028f\u2029g\x85h\x0bi\x0cj",
    "SQL": "'; DROP TABLE tasks; --",
    "quotes": "a\"b\\c'd`e\\u0041\\n",
    "templates": "${7*7} {{7*7}} %s %n $1 {0} #{x} <%= x %>",
    "markup": "<script>alert('x')</script>&amp;&#x41;",
    "languages": "任務 과제 งาน काम задача Δουλειά ἔργον ԱԲ",
    "turkish": "\u0130STANBUL \u0131i",
    "ligatures": "ﬁ ŒÆ ß ẞ ǆ",
    "other digits": "١٢٣ १२३ ① ² ⅷ",
    "tag characters": "x\U000e0041\U000e0042",
    "blanks within": "a\u00a0b\u2003c\u3000d",
    "like a cursor mark": ',{"id":1,"x":"',
    "like an array": '{"a,b",NULL,\\}',
    "null": "NULL",
    "like a query": "a&b=c+d%20e#f;g?h",
    "halves of pairs in order": "\U0001f680\U0001d49c\U00020000",
}


@pytest.fixture
def client(target: Target) -> httpx.Client:
    return plain_http.Client(base_url=target.service.url, timeout=20)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_comes_back_from_every_operation_as_it_was(client: httpx.Client, text: str) -> None:
    content = {"title": f"[{text}]", "description": f"{text}\n{text}", "tags": [f"[{text[:48]}]"]}
    with client:
        created = client.post("/tasks", json=content, headers={"Idempotency-Key": f'"{text.encode().hex()[:200]}"'})
        assert created.status_code == 201, created.text
        task = created.json()
        path = created.headers["location"]
        assert {name: task[name] for name in content} == content
        assert client.get(path).json() == task
        assert client.post("/tasks", json=content, headers={
            "Idempotency-Key": f'"{text.encode().hex()[:200]}"'
        }).json() == task  # fmt: skip

        changed = {"title": f"({text})", "description": text, "tags": [text[:40] + "1", text[:40] + "2"]}
        patched = client.patch(path, json=changed, headers={"If-Match": created.headers["etag"]}).json()
        assert {name: patched[name] for name in changed} == {
            "title": f"({text})", "description": text, "tags": [(text[:40] + n).strip() for n in "12"]
        }  # fmt: skip
        assert client.put(path, json=content).json()["title"] == content["title"]

        # With many neighbours, so that the tag goes through a Link header and back.
        for number in range(3):
            client.post("/tasks", json=content | {"title": f"{number}"})
        found, address = [], f"/tasks?{httpx.QueryParams({'tag': content['tags'][0], 'limit': '1'})}"
        while address:
            page = client.get(address)
            assert page.status_code == 200, page.text
            found += page.json()
            address = page.links.get("next", {}).get("url", "")
            if address:
                assert parse_qs(urlsplit(address).query)["tag"] == content["tags"]
        assert len(found) == 4
        assert {task["tags"][0] for task in found} == {content["tags"][0]}
        assert client.get("/tasks", params={"limit": 200}).json()[0]["title"] == "2"


WORDS = [
    "cafe\u0301",
    "caf\u00e9",
    "任務",
    "과제",
    "งาน",
    "काम",
    "задача",
    "مهمة",
    "١٢٣",
    "ἔργον",
    "x\U0001d49c",
    "ÉTÉ",
    "Straße",
]


@pytest.mark.parametrize("word", WORDS)
def test_a_word_of_any_language_is_found_by_itself(client: httpx.Client, word: str) -> None:
    with client:
        made = client.post("/tasks", json={"title": f"before {word} after"}).json()["id"]
        for spelled in (word, word.lower(), word.upper() if word != "Straße" else word):
            found = client.get("/tasks", params={"q": spelled})
            assert found.status_code == 200, found.text
            assert made in [task["id"] for task in found.json()], spelled


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("<urgent> call back", "urgent"),
        ("mail somebody@example.com now", "example"),
        ("see https://example.com/budget/2026", "budget"),
        ("a/b/invoice", "invoice"),
        ("snake_case.py", "snake"),
        ("<b>bold</b>", "bold</b"),
        ("« urgent\u00a0»", "urgent"),
        ("l\u2019été\u2026", "été"),
        ("déjà\u2014vu", "vu"),
        ("\u300c任務\u300d。", "任務"),
        ("\U0001f98afox", "fox"),
        ("call\u0001back", "call"),
    ],
)
def test_a_word_is_found_whatever_stands_around_it(client: httpx.Client, text: str, word: str) -> None:
    with client:
        made = client.post("/tasks", json={"title": text}).json()["id"]
        assert made in [task["id"] for task in client.get("/tasks", params={"q": word}).json()]


# Each made PostgreSQL's default text parser read the rest of the text again at every word.
COSTLY = ["1@a", "1a@", "a_", "/~", "1_", "./", "<!--", "a@b.", "a-", "a.b/c", "http://", "&#1", "é-", "1e+"]


@pytest.mark.parametrize("pattern", COSTLY)
def test_a_description_of_full_length_can_be_stored_whatever_it_holds(client: httpx.Client, pattern: str) -> None:
    description = (pattern * 10_000)[:10_000]
    with client:
        created = client.post("/tasks", json={"title": "costly", "description": description})
        assert created.status_code == 201, created.text
        assert created.json()["description"] == description
        client.delete(created.headers["location"])
