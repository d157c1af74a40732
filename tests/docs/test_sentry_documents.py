"""docs/sentry.md says what the code does, in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from migration_gate.states import RULES, State
from taskmanager.observability.fault_limit import ALL_AT_ONCE, ALL_EVERY_S, AT_ONCE, EVERY_S
from tests.docs.tables import Table, names_in, tables
from tests.processes import ROOT

ENGLISH, FRENCH = ROOT / "docs" / "sentry.md", ROOT / "docs" / "fr" / "sentry.md"

each_document = pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=["english", "french"])


def of_codes(document: Path) -> Table:
    return next(table for table in tables(document.read_text(encoding="utf-8")) if table[0][0] == "code")[1:]


@each_document
def test_every_code_that_is_reported_is_told_and_no_other(document: Path) -> None:
    told = [name for row in of_codes(document) for name in names_in(row[0])]

    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "taskmanager").rglob("*.py"))
    not_of_the_schema = {"internal_error", "database_unavailable", "migration_failed", "crashed"}
    assert all(f'"{code}"' in source for code in not_of_the_schema)
    assert sorted(told) == sorted(not_of_the_schema | {state.value for state in State if not RULES[state].traffic})


@each_document
def test_the_alerts_that_it_names_are_there(document: Path) -> None:
    rules = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in (ROOT / "ops/prometheus/rules").glob("*.yml")]
    alerts = {rule["alert"] for file in rules for group in file["groups"] for rule in group["rules"] if "alert" in rule}

    assert {name for row in of_codes(document) for name in names_in(row[2])} <= alerts


@each_document
def test_the_bounds_are_those_of_the_code(document: Path) -> None:
    text = " ".join(document.read_text(encoding="utf-8").split())
    (told,) = re.findall(
        r"(\d+) (?:events are sent at once and then|événements partent aussitôt, puis) (\d+) (?:a|par) minute"
        r".*? (\d+) (?:at once, then|aussitôt, puis) (\d+) (?:a|par) second",
        text,
    )

    assert [int(number) for number in told] == [AT_ONCE, 60 / EVERY_S, ALL_AT_ONCE, 1 / ALL_EVERY_S]


def test_both_languages_say_the_same_of_each_code() -> None:
    assert [(row[0], row[2]) for row in of_codes(ENGLISH)] == [(row[0], row[2]) for row in of_codes(FRENCH)]
