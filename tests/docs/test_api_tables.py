"""What the tables of the documents say is what the code says: nothing is missing, nothing invented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic_core.core_schema import ErrorType

from migration_gate.states import RULES, State
from taskmanager import app, database, database_connection
from taskmanager.access.key_lines import SCOPES
from taskmanager.incidents import variables as incidents_variables
from taskmanager.problems import ProblemError
from taskmanager.server import http_connection, http_server, refusals
from taskmanager.settings import Settings, variable_of
from taskmanager.tasks.cursor import CursorError
from taskmanager.tasks.listing import ListParameters
from taskmanager.tasks.schemas import (
    DESCRIPTION_LONGEST,
    TAG_LONGEST,
    TAGS_MOST,
    TITLE_LONGEST,
    Priority,
    Status,
    Task,
    TaskContent,
)
from taskmanager.tasks.served_lists import FILTERS, SERVED, Sort
from tests.docs.tables import Table, names_in, numbers_in, tables
from tests.docs.test_api_examples import ENGLISH, FRENCH
from tests.processes import ROOT

in_both_languages = pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=["english", "french"])


@in_both_languages
def test_every_error_code_of_the_service_is_told_and_no_other(document: Path) -> None:
    told = {(int(row[0]), name) for row in _table(document, "code", column=1)[1:] for name in names_in(row[1])}

    assert told == {*_literal_codes(), *_codes_of_exceptions(), *_codes_of_the_gate()}


@in_both_languages
def test_every_code_of_a_fault_of_our_own_is_told_and_the_others_are_pydantics(document: Path) -> None:
    told = {name for row in _table(document, "code", column=0)[1:] for name in names_in(row[0])}

    assert told >= set(_own_fault_codes())
    assert told <= set(_own_fault_codes()) | set(get_args(ErrorType))


@in_both_languages
def test_the_combinations_of_sorts_and_filters_are_those_that_are_served(document: Path) -> None:
    header, *rows = next(table for table in _tables(document) if "`updated_since`" in table[0])
    yes = rows[0][1]
    told = {
        row[0].strip("`").removeprefix("sort="): {
            name for filters, cell in zip(header[1:], row[1:], strict=True) if cell == yes for name in names_in(filters)
        }
        for row in rows
    }

    assert told == {sort.value: {*served, "q", "tag"} for sort, served in SERVED.items()}


@in_both_languages
def test_every_parameter_of_the_list_and_every_sort_is_told(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    filters = _table(document, "`status`", column=0, row=1)
    sorts = _table(document, "`sort`", column=0)

    assert [name for row in filters[1:] for name in names_in(row[0])] == list(FILTERS)
    assert [name for row in sorts[1:] for name in names_in(row[0])] == [sort.value for sort in Sort]
    assert all(f"`{name}`" in text for name in ListParameters.model_fields)


@in_both_languages
def test_every_field_of_a_task_is_told_with_its_limits(document: Path) -> None:
    rows = {name: row for row in _table(document, "`title`", column=0, row=1)[1:] for name in names_in(row[0])}

    assert rows.keys() == Task.model_fields.keys()
    assert list(rows)[: len(TaskContent.model_fields)] == list(TaskContent.model_fields)
    assert numbers_in(rows["title"][1]) == [1, TITLE_LONGEST]
    assert numbers_in(rows["description"][1]) == [DESCRIPTION_LONGEST]
    assert numbers_in(rows["tags"][1])[:3] == [TAGS_MOST, 1, TAG_LONGEST]
    assert names_in(rows["status"][1]) == [status.value for status in Status]
    assert names_in(rows["priority"][1]) == [priority.value for priority in Priority]


@in_both_languages
def test_the_scopes_are_those_of_the_keys(document: Path) -> None:
    assert [names_in(row[0]) for row in _table(document, "`tasks:read`", column=0, row=1)[1:]] == [
        [scope] for scope in SCOPES
    ]


@in_both_languages
def test_the_limits_are_those_of_the_code(document: Path) -> None:
    rows = _table(document, f"`TASKMANAGER_MAX_IN_FLIGHT`, {Settings().max_in_flight}", column=1, row=-1)[1:]

    assert [number for row in rows for number in numbers_in(row[1])] == [
        app.LARGEST_BODY_BYTES / 1024,
        refusals.LARGEST_HEAD_BYTES / 1024,
        http_connection.READ_TIMEOUT_S,
        http_connection.WRITE_TIMEOUT_S,
        http_server.KEEP_ALIVE_S,
        int(database_connection.SESSION["statement_timeout"]) / 1000,
        database.ANSWER_WITHIN_S,
        Settings().max_in_flight,
    ]


@pytest.mark.parametrize("document", [ROOT / "README.md", ROOT / "README.fr.md"], ids=["english", "french"])
def test_every_setting_is_told_with_its_default_first(document: Path) -> None:
    rows = _table(document, "`DATABASE_URL`", column=0, row=1)[3:]
    told = {name: row for row in rows for name in names_in(row[0])}
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    fields = {name: field for name, field in Settings.model_fields.items() if not name.endswith("database_url")}

    of_the_receiver = {name for name in told if name.startswith("TASKMANAGER_INCIDENTS_")}
    in_files = {"DATABASE_URL_FILE", "MIGRATION_DATABASE_URL_FILE", "SENTRY_DSN_FILE"}
    assert told.keys() - of_the_receiver == {variable_of(name) for name in fields} | in_files
    assert of_the_receiver == {
        incidents_variables.KEY,
        incidents_variables.KEY_FILE,
        incidents_variables.URL,
        incidents_variables.ALERTMANAGER,
        incidents_variables.WEBHOOK_URL,
        incidents_variables.WEBHOOK_URL_FILE,
    }
    assert all(f"#{variable}=" in example for variable in told)
    for name, field in fields.items():
        if field.default:
            default = getattr(field.default, "value", field.default)
            assert names_in(told[variable_of(name)][1])[0] == str(default)


def _tables(document: Path) -> Iterator[Table]:
    return tables(document.read_text(encoding="utf-8"))


def _table(document: Path, cell: str, *, column: int, row: int = 0) -> Table:
    """The table that has this cell there."""
    found = [table for table in _tables(document) if len(table[row]) > column and table[row][column] == cell]
    assert len(found) == 1, f"{len(found)} tables have {cell} there"
    return found[0]


def _sources() -> Iterator[ast.AST]:
    for file in sorted((ROOT / "taskmanager").rglob("*.py")):
        if "incidents" in file.relative_to(ROOT).parts:  # a process of its own, whose HTTP docs/incidents.md tells of
            continue
        yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def _literal_codes() -> Iterator[tuple[int, str]]:
    """`answer(request, 400, "malformed_json", …)` and its like, and the tables from a status to its code."""
    for node in _sources():
        if isinstance(node, ast.Call):
            for one, other in zip(node.args, node.args[1:], strict=False):
                match one, other:
                    case ast.Constant(value=int(status)), ast.Constant(value=str(code)) if status >= 400:
                        yield status, code
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "_CODES" for to in node.targets):
            assert isinstance(node.value, ast.Dict)
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                first = value.elts[0] if isinstance(value, ast.Tuple) else value
                assert isinstance(key, ast.Attribute)
                assert isinstance(first, ast.Constant)
                yield int(HTTPStatus[key.attr]), str(first.value)


def _codes_of_exceptions() -> Iterator[tuple[int, str]]:
    for kind in _subclasses(ProblemError):
        if "code" in vars(kind):
            yield int(kind.status), kind.code


def _codes_of_the_gate() -> Iterator[tuple[int, str]]:
    # Where tables were never recorded, a broken statement forbids traffic and does not rename the state. In the others
    # that allow traffic it is the state.
    return ((503, state.value) for state in State if state is State.UNVERSIONED or not RULES[state].traffic)


def _own_fault_codes() -> Iterator[str]:
    kinds: list[type[CursorError]] = [CursorError, *_subclasses(CursorError)]
    yield from (kind.code for kind in kinds)
    for node in _sources():
        match node:
            case ast.Call(func=ast.Name(id="PydanticCustomError"), args=[ast.Constant(value=str(code)), *_]):
                yield code
            case ast.Dict(keys=[ast.Constant(value="type"), *_], values=[ast.Constant(value=str(code)), *_]) if any(
                isinstance(key, ast.Constant) and key.value == "loc" for key in node.keys
            ):
                yield code


def _subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from _subclasses(below)
