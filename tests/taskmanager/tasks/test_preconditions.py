"""ETag, If-Match and If-None-Match (RFC 9110, section 13)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskmanager.problems import MalformedHeader
from taskmanager.tasks.preconditions import LONGEST_LIST, entity_tag, is_known, versions_to_match
from tests.taskmanager.problem_documents import problem_of

versions = st.integers(1, 2**63 - 1)
blanks = st.text(" \t", max_size=3)
# RFC 9110, section 8.8.3: etagc.
opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=8)
tags = st.tuples(st.booleans(), opaque | versions.map(str))


@st.composite
def lists(draw: st.DrawFn) -> tuple[str, list[tuple[bool, str]]]:
    """A list of entity tags with everything that the grammar lets stand between them, and the tags."""
    parsed = draw(st.lists(tags, max_size=6))
    text = draw(st.sampled_from(["", " ", ", ,", ","])) if not parsed else ""
    for place, (weak, tag) in enumerate(parsed):
        comma = draw(st.sampled_from([",", ", ,", ",,\t"])) if place else draw(st.sampled_from(["", ","]))
        text += f'{comma}{draw(blanks)}{"W/" if weak else ""}"{tag}"{draw(blanks)}'
    return text + draw(st.sampled_from(["", ",", " , "])), parsed


@given(versions)
def test_a_tag_is_read_back_as_its_version(version: int) -> None:
    text = entity_tag(version).decode()

    assert versions_to_match(text) == [version]
    assert is_known(text, version)
    assert is_known(f"W/{text}", version)


@given(lists(), versions)
def test_a_list_means_the_versions_of_our_form_in_it(case: tuple[str, list[tuple[bool, str]]], version: int) -> None:
    text, parsed = case

    def ours(tag: str) -> bool:
        return tag.isascii() and tag.isdigit() and tag[0] != "0" and int(tag) < 2**63

    strong = [int(tag) for weak, tag in parsed if not weak and ours(tag)]
    assert versions_to_match(text) == strong
    for known in (version, *(int(tag) for _, tag in parsed if ours(tag))):
        assert is_known(text, known) == (str(known) in [tag for _, tag in parsed])


any_header = st.text(st.characters(max_codepoint=0xFF)) | st.text(st.sampled_from('"W/,1 *\\\t\x00\x7fé'))


@given(any_header)
@example("," * 100_000)
@example('"' * 65_536)
@example('W/"1",' * 10_000)
@example('"' + "x" * 65_536)
@example(" " * 65_536)
@example('"1"' + " " * 8_000 + '"2"')
@example("\ud800")
def test_whatever_a_header_holds_it_is_a_list_or_refused(header: str) -> None:
    for read in (lambda: versions_to_match(header), lambda: is_known(header, 1)):
        try:
            value: Any = read()
        except MalformedHeader:
            continue
        assert value is None or isinstance(value, bool) or all(0 < version < 2**63 for version in value)
        assert len(header) <= LONGEST_LIST or header.strip(" \t") == "*"


@pytest.mark.parametrize(
    "header", ["1", 'w/"1"', 'W/ "1"', '"1" "2"', '"1"; q=1', '"1', '1"', "'1'", '"1\x7f"', '"a b"', '*, "1"', "**"]
)
def test_what_is_no_list_of_entity_tags_is_refused(header: str) -> None:
    with pytest.raises(MalformedHeader, match=r"^If-Match must be"):
        versions_to_match(header)
    with pytest.raises(MalformedHeader, match=r"^If-None-Match must be"):
        is_known(header, 1)


@pytest.mark.parametrize(
    "header", ['"01"', '"0"', '"-1"', '"1.0"', '""', '"abc"', f'"{2**63}"', '"\u0661"', '"²"', "", ","]
)
def test_a_tag_that_is_not_ours_matches_nothing(header: str) -> None:
    header = header.encode().decode("latin-1")
    assert versions_to_match(header) == []
    assert not is_known(header, 1)


async def a_task(client: httpx.AsyncClient, versions: int = 1) -> dict[str, Any]:
    """The task 1, which has had this number of versions."""
    response = await client.post("/tasks", json={"title": "t"})
    for _ in range(versions - 1):
        response = await client.put("/tasks/1", json={"title": "t"})
    task: dict[str, Any] = response.json()
    return task


@pytest.mark.parametrize("header", ['"3"', 'W/"3"', '"1", "3"', '"x" , W/"3",', "*", " * "])
async def test_a_version_that_the_client_has_is_not_sent_again(client: httpx.AsyncClient, header: str) -> None:
    await a_task(client, 3)

    response = await client.get("/tasks/1", headers={"If-None-Match": header})

    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", '"3"')
    assert "content-type" not in response.headers


@pytest.mark.parametrize("header", ['"2"', 'W/"1"', '"33"', '"x"', '""', ""])
async def test_another_version_is_sent_whole(client: httpx.AsyncClient, header: str) -> None:
    task = await a_task(client, 3)

    response = await client.get("/tasks/1", headers={"If-None-Match": header})

    assert (response.status_code, response.json(), response.headers["etag"]) == (200, task, '"3"')


async def write(client: httpx.AsyncClient, method: str, if_match: str | None) -> httpx.Response:
    body = {"json": {"title": "written"}} if method != "DELETE" else {}
    headers = {} if if_match is None else {"If-Match": if_match.encode("latin-1")}
    return await client.request(method, "/tasks/1", headers=headers, **body)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("if_match", [None, '"3"', '"1","3"', '"x", "3"', "*"])
async def test_a_write_under_a_condition_that_holds_is_done(
    client: httpx.AsyncClient, method: str, if_match: str | None
) -> None:
    await a_task(client, 3)

    response = await write(client, method, if_match)

    assert response.status_code == (204 if method == "DELETE" else 200)
    if method == "DELETE":
        problem_of(await client.get("/tasks/1"), 404)
    else:
        assert response.headers["etag"] == '"4"'


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("if_match", ['"2"', 'W/"3"', '"4", "2"', '"x"', '"03"', f'"{2**64}"', "", '"\xe9"'])
async def test_a_write_under_a_condition_that_does_not_hold_changes_nothing(
    client: httpx.AsyncClient, method: str, if_match: str
) -> None:
    task = await a_task(client, 3)

    problem_of(await write(client, method, if_match), 412, "precondition_failed")

    response = await client.get("/tasks/1")
    assert (response.json(), response.headers["etag"]) == (task, '"3"')


async def test_an_empty_patch_has_its_condition_too(client: httpx.AsyncClient) -> None:
    await a_task(client, 3)

    response = await client.patch("/tasks/1", json={}, headers={"If-Match": '"2"'})
    problem_of(response, 412, "precondition_failed")
    response = await client.patch("/tasks/1", json={}, headers={"If-Match": '"3"'})
    assert (response.status_code, response.headers["etag"]) == (200, '"3"')


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("if_match", [None, "*", '"1"'])
async def test_a_task_that_is_not_there_is_not_found_whatever_the_condition(
    client: httpx.AsyncClient, method: str, if_match: str | None
) -> None:
    # RFC 9110, section 13.2.1: what would not have succeeded without the condition is answered without it.
    problem_of(await write(client, method, if_match), 404, "not_found")
    response = await client.get("/tasks/1", headers={"If-None-Match": if_match or "*"})
    problem_of(response, 404, "not_found")


@pytest.mark.parametrize("value", [b"3", b"\xff\xfe", b'"3', b"'3'", b'"1"' * 9, b'"1",' * 10_000])
async def test_a_condition_that_cannot_be_read_is_refused_and_nothing_is_done(
    client: httpx.AsyncClient, value: bytes
) -> None:
    await a_task(client, 3)

    for method in ("PUT", "PATCH", "DELETE"):
        problem = problem_of(await write(client, method, value.decode("latin-1")), 400, "malformed_header")
        assert problem["detail"].startswith("If-Match ")
    response = await client.get("/tasks/1", headers=[(b"If-None-Match", value)])
    assert problem_of(response, 400, "malformed_header")["detail"].startswith("If-None-Match ")
    assert (await client.get("/tasks/1")).headers["etag"] == '"3"'


async def test_the_lines_of_a_list_are_one_list(client: httpx.AsyncClient) -> None:
    await a_task(client, 3)

    lines = [("If-None-Match", '"2"'), ("If-None-Match", '"3"')]
    assert (await client.get("/tasks/1", headers=lines)).status_code == 304
    lines = [("If-Match", '"2"'), ("If-Match", '"3"')]
    assert (await client.put("/tasks/1", json={"title": "t"}, headers=lines)).status_code == 200
