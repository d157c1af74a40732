"""Each code has its runbook, in two languages that say the same, with commands that exist."""

# ruff: noqa: RUF001  French is set with the typographic apostrophe

from __future__ import annotations

import re
from pathlib import Path

import pytest

from migration_gate.errors import Rung
from migration_gate.states import RULES, State
from tests.docs import test_links
from tests.docs.gate_commands import commands, fences, parse
from tests.docs.runbook_codes import ALERTS, CODES, GATE_CODES
from tests.docs.tables import names_in, tables
from tests.processes import ROOT

ENGLISH = ROOT / "docs" / "runbooks"
FRENCH = ROOT / "docs" / "fr" / "runbooks"
INDEX = "README.md"

HEADINGS = {
    "What it means": "Ce que cela signifie",
    "What users see": "Ce que voient les utilisateurs",
    "Confirm it": "Le confirmer",
    "What caused it": "D’où cela vient",
    "Mend it": "Y remédier",
    "Know that it is mended": "S’assurer que c’est réparé",
    "What not to do": "Ce qu’il ne faut pas faire",
    "Prevent it": "L’éviter",
}

SEVERITIES = {"critical": "critique", "warning": "avertissement", "none": "aucune"}

each_code = pytest.mark.parametrize("code", CODES)
in_both_folders = pytest.mark.parametrize("folder", [ENGLISH, FRENCH], ids=["english", "french"])


def _each(*names: str) -> pytest.MarkDecorator:
    documents = [folder / f"{name}.md" for folder in (ENGLISH, FRENCH) for name in names]
    return pytest.mark.parametrize("document", documents, ids=lambda path: str(path.relative_to(ROOT / "docs")))


def test_there_is_a_runbook_for_each_code_and_for_nothing_else() -> None:
    for folder in (ENGLISH, FRENCH):
        assert sorted(path.name for path in folder.iterdir()) == sorted([*(f"{code}.md" for code in CODES), INDEX])


@in_both_folders
def test_the_index_lists_each_code_with_its_alerts_and_their_severity(folder: Path) -> None:
    index = (folder / INDEX).read_text(encoding="utf-8")
    rows = [row for table in tables(index) for row in table[1:] if row[0].startswith("[`")]

    told = [(names_in(row[0])[0], names_in(row[1]), row[2]) for row in rows]
    assert sorted(told) == sorted((code, *_alerts_told(code, folder)) for code in CODES)
    assert all(row[0] == f"[`{code}`]({code}.md)" and row[3] for row, (code, *_) in zip(rows, told, strict=True))


def _alerts_told(code: str, folder: Path) -> tuple[list[str], str]:
    alerts = ALERTS.get(code, [])
    severities = dict.fromkeys(alert.severity for alert in alerts)
    told = [SEVERITIES[severity] if folder is FRENCH else severity for severity in severities]
    return [alert.name for alert in alerts], ", ".join(told)


@each_code
def test_a_runbook_names_the_alerts_that_lead_to_it(code: str) -> None:
    for folder in (ENGLISH, FRENCH):
        text = (folder / f"{code}.md").read_text(encoding="utf-8")
        for alert in ALERTS.get(code, []):
            severity = SEVERITIES[alert.severity] if folder is FRENCH else alert.severity
            assert re.search(rf"`{alert.name}`[^`]*?\b{severity}", text), f"{alert.name}, {severity}"


def test_both_languages_of_the_index_have_the_same_parts_and_show_the_same() -> None:
    english, french = ((folder / INDEX).read_text(encoding="utf-8") for folder in (ENGLISH, FRENCH))

    assert list(fences(english)) == list(fences(french))
    assert [len(table) for table in tables(english)] == [len(table) for table in tables(french)]
    assert [level for level, _ in _headings(ENGLISH / INDEX)] == [level for level, _ in _headings(FRENCH / INDEX)]


@each_code
def test_both_languages_have_the_same_headings(code: str) -> None:
    english, french = (_headings(folder / f"{code}.md") for folder in (ENGLISH, FRENCH))

    assert [title for level, title in english if level == 2] == list(HEADINGS)
    assert [HEADINGS.get(title, title) for level, title in english if level > 1] == [
        title for level, title in french if level > 1
    ]
    assert english[0][1].startswith(f"`{code}`: ")
    assert french[0][1].startswith(f"`{code}`\u00a0: ")


@each_code
def test_both_languages_show_the_same_commands_and_what_they_print(code: str) -> None:
    english, french = (
        list(fences((folder / f"{code}.md").read_text(encoding="utf-8"))) for folder in (ENGLISH, FRENCH)
    )

    assert english == french


@_each(*CODES, "README")
def test_every_link_leads_somewhere(document: Path) -> None:
    test_links.test_every_link_within_the_repository_leads_somewhere(document)


@_each(*GATE_CODES)
def test_every_command_is_one_that_its_program_takes(document: Path) -> None:
    found = list(commands(document.read_text(encoding="utf-8")))

    assert found
    for words in found:
        try:
            parse(words)
        except SystemExit:
            pytest.fail(f"no such command line: {' '.join(words)}", pytrace=False)


@_each(*(code for code in GATE_CODES if code != "migration_failed"))
def test_what_the_verdict_tells_to_do_is_in_the_runbook(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    told = RULES[State(document.stem)].solution
    named = re.findall(r"(?:alembic|migration-gate)(?: [a-z]+)+|GRANT SELECT|DATABASE_URL|down_revision", told)

    assert named or State(document.stem) in {
        State.AHEAD_COMPATIBLE,
        State.AHEAD_INCOMPATIBLE,
        State.STATEMENT_BROKEN,
    }, told
    for command in named:
        assert command.removesuffix(" and") in text


@each_code
def test_a_runbook_is_short_enough_for_the_night(code: str) -> None:
    for folder in (ENGLISH, FRENCH):
        lines = (folder / f"{code}.md").read_text(encoding="utf-8").splitlines()
        longest = 170 if code == "unreachable" else 125 if code in GATE_CODES else 100
        assert 50 <= len(lines) <= longest


def test_each_rung_has_its_part() -> None:
    for folder in (ENGLISH, FRENCH):
        parts = [title for level, title in _headings(folder / "unreachable.md") if level == 3]
        assert parts == [str(rung) for rung in Rung]


def test_french_is_set_as_french_is() -> None:
    gate = ROOT / "docs" / "fr" / "gate"
    documents = [*FRENCH.iterdir(), gate / "adopting.md", gate / "how-it-works.md"]
    for document in documents:
        prose = re.sub(
            r"^ *```.*?^ *```$|`[^`]*`|\]\([^)]*\)", "", document.read_text(encoding="utf-8"), flags=re.M | re.S
        )
        wrong = re.findall(r"\S* [:;!?»](?!-)|« |[^\s«]'\w", prose)
        assert wrong == [], document


@pytest.mark.parametrize(
    "words",
    [
        ["migration-gate", "ledger", "accept"],
        ["migration-gate", "ledger", "override", "--for", "soon", "--reason", "x"],
        ["migration-gate", "mend"],
        ["alembic", "upgrade"],
        ["alembic", "mend"],
    ],
)
def test_a_command_line_that_no_program_takes_is_seen(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(words)


def test_commands_are_found_wherever_they_stand() -> None:
    document = (
        "Run `alembic stamp a`, or `alembic heads`.\n\n"
        "```sh\nenv -u A migration-gate status && B=1 alembic \\\n    current; ls\n```\n"
        "```console\n$ migration-gate status --json | grep a\nalembic is not typed here\n```\n"
    )

    assert [" ".join(words) for words in commands(document)] == [
        "migration-gate status",
        "alembic current",
        "migration-gate status --json",
        "alembic stamp a",
    ]


def _headings(document: Path) -> list[tuple[int, str]]:
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", text, re.MULTILINE)]
