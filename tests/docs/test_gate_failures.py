"""The documents of the failures: every failure has a test, every test that is named exists, every code is real."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from migration_gate import cli
from migration_gate.errors import Rung
from migration_gate.review.lint import known_rules
from migration_gate.review.rehearsal import budget
from migration_gate.states import State
from tests.docs.tables import Table, names_in, tables
from tests.processes import ROOT

ENGLISH = ROOT / "docs" / "gate" / "failures.md"
FRENCH = ROOT / "docs" / "fr" / "gate" / "failures.md"
FAILURES = range(1, 29)

in_both_languages = pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=["english", "french"])


@in_both_languages
def test_every_failure_stands_there_once_in_order(document: Path) -> None:
    numbered, _ = _tables(document)

    assert [int(row[0]) for row in numbered[1:]] == list(FAILURES)


@in_both_languages
def test_every_failure_has_a_test_of_its_number_and_every_test_is_there(document: Path) -> None:
    numbered, others = _tables(document)

    for row in numbered[1:]:
        tests = names_in(row[-1])
        assert tests, row
        assert all(name.startswith(f"test_{int(row[0]):02}_") for name in tests), row
    named = [name for row in (*numbered[1:], *others[1:]) for name in names_in(row[-1])]
    assert sorted(named) == sorted(_written_tests())


@in_both_languages
def test_every_code_is_real(document: Path) -> None:
    real = {*State, *Rung, *known_rules(), *_rehearsal_codes(), *_exit_statuses()}

    for table in _tables(document):
        told = [name for row in table[1:] for name in names_in(row[-3])]
        assert all(names_in(row[-3]) for row in table[1:])
        assert [name for name in told if name not in real] == []


def test_both_languages_tell_the_same_codes_and_tests() -> None:
    told = [
        [(names_in(row[-3]), names_in(row[-1])) for table in _tables(document) for row in table[1:]]
        for document in (ENGLISH, FRENCH)
    ]

    assert told[0] == told[1]


def _tables(document: Path) -> tuple[Table, Table]:
    numbered, others = tables(document.read_text(encoding="utf-8"))
    return numbered, others


def _written_tests() -> list[str]:
    return [
        node.name
        for file in (ROOT / "tests" / "migration_gate" / "failures").glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]


def _exit_statuses() -> set[str]:
    """Those that the command line's help explains."""
    return {f"exit {number}" for number in re.findall(r"^ {2}(\d+) ", cli._EXIT_STATUS, re.MULTILINE)}


def _rehearsal_codes() -> set[str]:
    """What a breach can be: the words in the budget's source that its own document names."""
    words = set(re.findall(r'"([a-z]+_[a-z]+)"', Path(budget.__file__).read_text(encoding="utf-8")))
    return {word for word in words if word in (budget.Breach.__doc__ or "")}
