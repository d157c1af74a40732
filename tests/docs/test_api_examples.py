"""Every example of the API's documents does what it says, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.databases import Database
from tests.docs.fenced import Command, NotRunnable, Program, examples, prints
from tests.docs.terminal import reader
from tests.processes import ROOT

ENGLISH = ROOT / "docs" / "API.md"
FRENCH = ROOT / "docs" / "fr" / "API.md"


@pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=["english", "french"])
def test_every_example_prints_what_the_document_says(
    document: Path, migrated_database: Database, tmp_path: Path
) -> None:
    programs: set[str] = set()
    with reader(migrated_database, tmp_path) as reading:
        for example in examples(document.read_text(encoding="utf-8")):
            if isinstance(example, Program):
                programs.add(example.name)
                reading.keep(example)
                continue
            printed = reading.type(example)
            if not prints(reading.with_port(example.expected), printed):
                pytest.fail(_difference(document, example, printed), pytrace=False)
    assert reading.programs_run == programs, "a program that no command runs"
    assert {name.replace(".mjs", ".py") for name in programs} <= programs, "a machine without Node has no other way"


def test_both_languages_give_the_same_commands_and_programs() -> None:
    english, french = (
        [_without_comments(example) for example in examples(document.read_text(encoding="utf-8"))]
        for document in (ENGLISH, FRENCH)
    )
    assert english == french


def test_an_ellipsis_stands_for_what_differs_and_nothing_else_does() -> None:
    assert prints('{"id": 1, "at": "…"}', '{"id": 1, "at": "now"}\r\n')
    assert prints("first\n…\nlast", "first\nlast")
    assert prints("first\n…\nlast", "first\n2\n3\nlast\n")
    assert prints("", "\n")
    assert not prints("", "something")
    assert not prints("…a", "b\na")
    assert not prints("first", "first\nsecond")
    assert not prints("1.0", "1x0")


def test_a_command_goes_on_behind_a_backslash_and_ends_before_what_it_prints() -> None:
    document = "text\n\n```console\n$ printf a \\\n    b\nab\n$ true\n```\n"

    assert list(examples(document)) == [Command(4, "printf a \\\n    b", "ab"), Command(7, "true", "")]


@pytest.mark.parametrize(
    "block", ["```json\n{}\n```", "```\nls\n```", "```console\nls\n```", "```python\nprint()\n```"]
)
def test_a_block_that_no_runner_takes_is_refused(block: str) -> None:
    with pytest.raises(NotRunnable, match=r"line [23]: "):
        list(examples(f"\n{block}\n"))


@pytest.mark.parametrize("fence", ["~~~console\n$ ls\n~~~", "```console\n$ ls", "> ```console\n> $ ls\n> ```"])
def test_a_fence_of_another_form_is_refused(fence: str) -> None:
    with pytest.raises(NotRunnable, match="fence"):
        list(examples(f"{fence}\n"))


def test_a_block_in_a_list_item_is_taken_without_its_indentation() -> None:
    assert list(examples("1. So:\n\n   ```console\n   $ echo a\n   a\n   ```\n")) == [Command(4, "echo a", "a")]


def test_where_there_is_no_node_the_python_program_of_the_same_name_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with reader(Database("", "", "", ""), tmp_path) as reading:
        reading.keep(Program(1, "walk.mjs", "// walk.mjs\nconsole.log('node');\n"))
        reading.keep(Program(5, "walk.py", "# walk.py\nprint('python')\n"))

        assert reading.type(Command(9, "node walk.mjs", "")) == "python\n"
        assert reading.programs_run == {"walk.mjs"}


def _without_comments(example: Command | Program) -> str:
    return re.sub(r"(^|\s+)(#|//) .*$", "", example.text, flags=re.MULTILINE)


def _difference(document: Path, command: Command, printed: str) -> str:
    place = f"{document.relative_to(ROOT)}:{command.line}"
    return f"{place}: $ {command.text}\n--- documented\n{command.expected}\n--- printed\n{printed}"
