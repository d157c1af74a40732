"""The gate's two documents say what the code says, in both languages: states, metrics, parameters, columns, members."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from prometheus_client.metrics_core import Metric

from migration_gate import environment, errors
from migration_gate.cli import INTERRUPTED
from migration_gate.expected import Expected
from migration_gate.gate import OPEN_PATHS, SchemaGate
from migration_gate.metrics import COMMANDS, RESULTS, SchemaCollector
from migration_gate.page_texts import LANGUAGES
from migration_gate.phases import DECLARATIONS, Phase
from migration_gate.states import RULES, State
from migration_gate.status import Finding, unreachable
from migration_gate.watch import Watcher
from tests.databases import Database
from tests.docs import test_links
from tests.docs.gate_commands import commands, fences, parse
from tests.docs.tables import Table, names_in, tables
from tests.migration_gate.scratch import Project, succeed
from tests.processes import ROOT, run

DOCS = ROOT / "docs"
FOLDERS = {"en": DOCS / "gate", "fr": DOCS / "fr" / "gate"}
NAMES = ("adopting.md", "how-it-works.md")
YES = {"en": "yes", "fr": "oui"}
SUFFIXES = {"counter": "_total", "info": "_info", "gauge": ""}

both_languages = pytest.mark.parametrize("language", ["en", "fr"])
each_document = pytest.mark.parametrize(
    "document",
    [folder / name for folder in FOLDERS.values() for name in NAMES],
    ids=lambda path: str(path.relative_to(DOCS)),
)


@both_languages
def test_the_table_of_states_is_the_one_that_the_code_goes_by(language: str) -> None:
    rows = _table(language, "how-it-works.md", "`current`", column=0)
    titles = LANGUAGES[language].titles

    told = [(*names_in(row[0]), _plain(row[1]), row[2] == YES[language], row[3] == YES[language]) for row in rows]
    assert told == [(str(state), _plain(titles[state]), rule.traffic, rule.upgrade) for state, rule in RULES.items()]


@both_languages
def test_every_metric_is_told_with_its_type_and_labels(language: str) -> None:
    rows = _table(language, "adopting.md", "`migration_gate_servable`", column=0)
    families = {family.name + SUFFIXES[family.type]: family for family in _families()}

    assert [names_in(row[0]) for row in rows] == [[name] for name in families]
    for row, family in zip(rows, families.values(), strict=True):
        assert row[1] == family.type
        assert names_in(row[2]) == sorted({label for sample in family.samples for label in sample.labels})
        if language == "en":
            assert row[3] == family.documentation
    text = (FOLDERS[language] / "adopting.md").read_text(encoding="utf-8")
    assert all(f"`{value}`" in text for value in (*COMMANDS, *RESULTS))


@both_languages
def test_every_parameter_is_told_with_its_default(language: str) -> None:
    for function, parameter in ((environment.run, "`lock_deadline_s`"), (SchemaGate.__init__, "`interval_s`")):
        rows = _table(language, "adopting.md", parameter, column=0)
        parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]

        assert [names_in(row[0]) for row in rows] == [[each.name] for each in parameters]
        for row, each in zip(rows, parameters, strict=True):
            if each.name == "open_paths":
                assert set(names_in(row[1])) == OPEN_PATHS
            elif each.default is inspect.Parameter.empty:
                assert row[1] == ""
            else:
                text = row[1].strip("`")
                assert each.default == (text if isinstance(each.default, str) else ast.literal_eval(text))


@both_languages
def test_what_a_migration_file_may_declare_is_told(language: str) -> None:
    rows = _table(language, "adopting.md", "`gate_rerunnable`", column=0)

    assert [name for row in rows for name in names_in(row[0])] == list(DECLARATIONS)
    assert names_in(rows[0][1]) == ["expand", "contract", "data"]
    assert set(names_in(rows[0][1])) == set(Phase)


@both_languages
def test_every_member_of_the_status_is_told(language: str) -> None:
    rows = _table(language, "adopting.md", "`servable`", column=0)
    document = unreachable(Expected.broken(""), "").as_dict()

    assert {name for row in rows for name in names_in(row[0])} == document.keys()
    finding = next(row for row in rows if names_in(row[0]) == ["findings"])
    assert names_in(finding[2]) == [*vars(Finding(State.CURRENT, ""))]


@both_languages
def test_every_exit_status_of_the_code_is_told(language: str) -> None:
    told = {int(row[0]) for row in _table(language, "adopting.md", "75", column=0)}
    of_errors = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }

    assert told == {0, 2, 5, INTERRUPTED} | of_errors | {errors.DatabaseUnreachable("", transient=False).exit_code}


@both_languages
def test_every_code_has_its_line_in_the_list_of_runbooks(language: str) -> None:
    rows = _table(language, "adopting.md", "[`behind`](../runbooks/behind.md)", column=0)

    assert [name for row in rows for name in names_in(row[0])] == [
        *(str(state) for state in State if state is not State.CURRENT),
        "migration_failed",
    ]


@both_languages
def test_every_column_of_the_ledger_is_told(language: str, tmp_path: Path, empty_database: Database) -> None:
    project = Project(tmp_path / "project", empty_database.migrator_url)
    project.write_history()
    succeed(project.alembic("upgrade", "head"))
    rows = _table(language, "how-it-works.md", "`migration_gate_run`", column=0)

    columns = empty_database.execute(
        "SELECT table_name::text, column_name::text FROM information_schema.columns"
        " WHERE table_name LIKE 'migration\\_gate\\_%' ORDER BY table_name, ordinal_position"
    )
    told = sorted((names_in(row[0])[0], number, name) for row in rows for number, name in enumerate(names_in(row[2])))
    assert [(table, name) for table, _, name in told] == columns


@each_document
def test_every_link_leads_somewhere(document: Path) -> None:
    test_links.test_every_link_within_the_repository_leads_somewhere(document)


@pytest.mark.parametrize("document", [DOCS / "gate" / name for name in NAMES], ids=NAMES)
def test_every_command_is_one_that_its_program_takes(document: Path) -> None:
    for words in commands(document.read_text(encoding="utf-8")):
        try:
            parse(words)
        except SystemExit:
            pytest.fail(f"no such command line: {' '.join(words)}", pytrace=False)


@pytest.mark.parametrize("name", NAMES)
def test_both_languages_have_the_same_parts_and_show_the_same(name: str) -> None:
    english, french = ((folder / name).read_text(encoding="utf-8") for folder in FOLDERS.values())

    assert list(fences(english)) == list(fences(french))
    assert _levels(english) == _levels(french)
    assert [len(table) for table in tables(english)] == [len(table) for table in tables(french)]


def test_what_stands_in_a_file_of_configuration_can_be_read() -> None:
    text = (DOCS / "gate" / "adopting.md").read_text(encoding="utf-8")
    documents = [part for block in fences(text, "yaml") for part in yaml.safe_load_all(block)]
    kinds = {part["kind"]: part["spec"] for part in documents if "kind" in part}
    job, deployment = kinds["Job"]["template"]["spec"], kinds["Deployment"]["template"]["spec"]

    assert job["containers"][0]["command"] == ["migration-gate", "upgrade"]
    assert kinds["Deployment"]["selector"]["matchLabels"] == kinds["Deployment"]["template"]["metadata"]["labels"]
    for container in (*job["containers"], *deployment["initContainers"]):
        parse(container["command"])
    for step in next(part for part in documents if "jobs" in part)["jobs"]["migrations"]["steps"]:
        if step.get("run", "").startswith("migration-gate "):
            parse(shlex.split(re.sub(r"\$\{\{.*?\}\}", "main", step["run"])))
    for block in fences(text, "python"):
        compile(block, "adopting.md", "exec")
    for block in fences(text, "toml"):
        tomllib.loads(block)


def test_the_collector_takes_the_gate_as_a_type_checker_sees_it(tmp_path: Path) -> None:
    texts = [(folder / "adopting.md").read_text(encoding="utf-8") for folder in FOLDERS.values()]
    (block,) = {block for text in texts for block in fences(text, "python") if "SchemaCollector" in block}
    (tmp_path / "adopter.py").write_text(block)

    succeed(run(sys.executable, "-m", "mypy", str(tmp_path / "adopter.py"), cwd=ROOT))


@pytest.mark.parametrize("name", ["upgrade.svg", "upgrade.fr.svg"])
def test_the_picture_is_whole_and_needs_nothing_from_elsewhere(name: str) -> None:
    picture = ET.parse(DOCS / "gate" / name).getroot()  # noqa: S314  our own file

    assert picture.get("viewBox")
    assert picture.get("role") == "img"
    assert not [each for each in picture.iter() if any("href" in key for key in each.attrib)]
    assert "prefers-color-scheme: dark" in (DOCS / "gate" / name).read_text(encoding="utf-8")


def _families() -> Iterator[Metric]:
    async def nowhere() -> Any:
        raise AssertionError("nobody asks")

    yield from SchemaCollector(Watcher(Expected.broken(""), nowhere)).collect()


def _table(language: str, name: str, cell: str, *, column: int) -> Table:
    """The rows of the one table that has this cell in this column."""
    text = (FOLDERS[language] / name).read_text(encoding="utf-8")
    found = [rows for _, *rows in tables(text) if any(len(row) > column and row[column] == cell for row in rows)]
    assert len(found) == 1, f"{len(found)} tables have {cell} there"
    return found[0]


def _plain(text: str) -> str:
    return re.sub(r"\s", " ", text)


def _levels(document: str) -> list[int]:
    text = re.sub(r"^ *```.*?^ *```$", "", document, flags=re.MULTILINE | re.DOTALL)
    return [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
