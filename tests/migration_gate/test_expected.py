"""Reading revisions.lock, and every way in which it can be unreadable."""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_gate.errors import RevisionsLockError
from migration_gate.expected import lineage, read_lock
from migration_gate.revisions_lock import render
from tests.migration_gate.verdict_cases import LINE, MERGED, TWO_HEADS, graph

EMPTY = graph({})
ODD = graph(
    {"release 1.0": (), 'quoted "id"': ("release 1.0",), "tab\tid": ('quoted "id"',), "été": ("tab\tid",)}, "été"
)

_ENTRY = '\n[revision.{id}]\nparents = {parents}\nfile = "a.py"\nchecksum = "sha256:0"\n'


@pytest.mark.parametrize(
    "expected", [LINE, TWO_HEADS, MERGED, EMPTY, ODD], ids=["line", "heads", "merge", "none", "odd"]
)
def test_what_is_written_is_read_back_with_its_order(expected: object, tmp_path: Path) -> None:
    path = tmp_path / "revisions.lock"
    path.write_text(render(expected), encoding="utf-8")  # type: ignore[arg-type]

    read = read_lock(path)

    assert read == expected
    assert list(read.revisions) == list(expected.revisions)  # type: ignore[attr-defined]


def test_a_key_is_quoted_only_where_toml_asks_for_it() -> None:
    assert "\n[revision.f00d]\n" in render(LINE)
    assert '\n[revision."release 1.0"]\n' in render(ODD)


DAMAGE = {
    "a conflict": "format = 1\n<<<<<<< HEAD\nheads = ['a']\n=======\nheads = ['b']\n>>>>>>> other\n",
    "another format": "format = 2\nheads = []\n",
    "no format": "heads = []\n",
    "no heads": "format = 1\n",
    "an unknown head": 'format = 1\nheads = ["beef"]\n' + _ENTRY.format(id="f00d", parents="[]"),
    "an unknown parent": 'format = 1\nheads = ["f00d"]\n' + _ENTRY.format(id="f00d", parents='["beef"]'),
    "no checksum": 'format = 1\nheads = ["f00d"]\n[revision.f00d]\nparents = []\nfile = "a.py"\n',
    "parents that are a number": 'format = 1\nheads = ["f00d"]\n' + _ENTRY.format(id="f00d", parents="7"),
    "a revision that is no table": 'format = 1\nheads = ["f00d"]\nrevision = {f00d = 1}\n',
    "revisions that are no table": 'format = 1\nheads = ["f00d"]\nrevision = "f00d"\n',
    "no TOML": "heads: [f00d]\n",
}


@pytest.mark.parametrize("text", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_lock_names_itself_and_the_command_that_writes_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "revisions.lock"
    path.write_text(text)

    with pytest.raises(RevisionsLockError) as error:
        read_lock(path)

    assert str(path) in str(error.value)
    assert "migration-gate lock" in str(error.value)


def test_a_conflict_left_in_the_lock_is_named_as_the_usual_cause(tmp_path: Path) -> None:
    path = tmp_path / "revisions.lock"
    path.write_text(DAMAGE["a conflict"])

    with pytest.raises(RevisionsLockError, match="merge conflict"):
        read_lock(path)


def test_the_revision_that_the_lock_lacks_is_named(tmp_path: Path) -> None:
    path = tmp_path / "revisions.lock"
    path.write_text(DAMAGE["an unknown parent"])

    with pytest.raises(RevisionsLockError, match="does not hold: beef"):
        read_lock(path)


def test_a_missing_lock_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(RevisionsLockError, match="is missing") as error:
        read_lock(tmp_path / "revisions.lock")

    assert "migration-gate lock" in error.value.solution


def test_a_lock_that_is_not_text_is_an_error_of_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "revisions.lock"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(RevisionsLockError, match="cannot be read"):
        read_lock(path)


def test_what_is_missing_comes_in_the_order_in_which_it_is_applied() -> None:
    assert MERGED.missing_from(["zz"], MERGED.parents) == ("aa", "mm")
    assert MERGED.missing_from([], MERGED.parents) == ("root", "zz", "aa", "mm")
    assert MERGED.missing_from(["mm"], MERGED.parents) == ()


def test_a_revision_without_known_parents_stands_for_itself() -> None:
    assert lineage(["beef", "1111"], LINE.parents) == {"beef", "f00d", "1111"}
