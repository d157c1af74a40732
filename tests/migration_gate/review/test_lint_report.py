"""What lint prints, for people, machines and GitHub, its overrides, and its exit status as a process."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from migration_gate.review.findings import Code, Finding, Level
from migration_gate.review.lint import Review, known_rules
from migration_gate.review.lint_report import as_github, as_json, as_text
from migration_gate.review.squawk_rules import DECISIONS, OFF
from migration_gate.revisions_lock import write
from tests.migration_gate.review.linted import MAIN, add, cli, found, released, review, rules
from tests.migration_gate.scratch import TITLE_INDEX, Project

INDEX = 'op.create_index("i", "shelf", ["label"])'
CHECK = 'op.execute("ALTER TABLE book ADD CONSTRAINT c CHECK (id > 0) NOT VALID")'


@pytest.fixture
def history(project: Project) -> Project:
    """Three revisions, released."""
    return released(project)


def _review(*findings: Finding) -> Review:
    return Review("main", "c0ffee" * 7, Path("/repo"), ("1e9d",), findings, ())


def test_github_escapes_what_would_end_a_command() -> None:
    finding = Finding(
        "a-rule", Level.ERROR, "100% of\r\nit: a, b", "1e9d", "/repo/ve:rs,ions/50%.py", 7, advice="Do: c, d"
    )

    assert as_github(_review(finding)) == (
        "::error file=ve%3Ars%2Cions/50%25.py,line=7,title=a-rule::100%25 of%0D%0Ait: a, b%0ADo: c, d"
    )


def test_github_names_no_line_where_there_is_no_file() -> None:
    finding = Finding("broken-graph", Level.WARNING, "It is broken.", rewrite=(Code("so", "x = 1\n"),))

    assert as_github(_review(finding)) == "::warning title=broken-graph::It is broken.%0Aso:%0Ax = 1"


def test_json_has_the_documented_shape() -> None:
    finding = Finding("r", Level.ERROR, "m", "1e9d", "/repo/v/a.py", 3, "SELECT 1", "do", (Code("t", "c"),))

    assert json.loads(as_json(_review(finding))) == {
        "format": 1,
        "since": {"ref": "main", "commit": "c0ffee" * 7},
        "revisions": ["1e9d"],
        "findings": [
            {
                "rule": "r",
                "level": "error",
                "revision": "1e9d",
                "file": "v/a.py",
                "line": 3,
                "message": "m",
                "statement": "SELECT 1",
                "advice": "do",
                "rewrite": [{"title": "t", "code": "c"}],
            }
        ],
        "allowed": [],
        "summary": {"errors": 1, "warnings": 0, "allowed": 0},
    }


def test_text_says_what_where_why_and_what_instead(history: Project) -> None:
    add(history, INDEX)

    text = as_text(review(history, "main"))

    assert text.startswith("error  require-concurrent-index-creation  migrations/versions/1e9d.py:")
    assert "  (revision 1e9d)\n" in text
    assert "every INSERT, UPDATE and DELETE on shelf waits" in text
    assert "    | CREATE INDEX i ON shelf (label)\n" in text
    assert 'op.create_index("i", "shelf", ["label"], postgresql_concurrently=True)' in text
    assert text.splitlines()[-1].startswith("1 new revision since main (")
    assert text.endswith("): 1 error")
    assert "\033" not in text


def test_the_same_rewrite_is_printed_once() -> None:
    finding = Finding("r", Level.ERROR, "m", rewrite=(Code("t", "code here\n"),))

    text = as_text(_review(finding, finding))

    assert text.count("code here") == 1
    assert "# t (as above)" in text


def test_an_override_with_a_reason_allows_a_statement_and_is_counted(history: Project) -> None:
    for upgrade in (
        f"# gate: allow require-concurrent-index-creation because shelf has ten rows\n{INDEX}",
        f"{INDEX}  # gate: allow require-concurrent-index-creation because shelf has ten rows",
        f"# gate: allow require-concurrent-index-creation because ten rows\n# and nobody writes them.\n{INDEX}",
        (
            'op.create_index(\n    "i",\n    # gate: allow require-concurrent-index-creation because ten rows\n'
            '    "shelf",\n    ["label"],\n)'
        ),
    ):
        add(history, upgrade)
        linted = review(history, "main")
        assert linted.findings == (), upgrade
        assert rules(list(linted.allowed)) == ["require-concurrent-index-creation"]
        assert as_text(linted).endswith("1 allowed by comments")


def test_an_override_at_the_left_margin_speaks_for_the_file(history: Project) -> None:
    top = "# gate: allow require-concurrent-index-creation because both tables are small"
    upgrade = INDEX + '\nop.create_index("j", "book", ["id"])'

    assert found(history, upgrade, top=top) == []


def test_an_override_speaks_for_its_statement_and_its_rule_alone(history: Project) -> None:
    comment = "# gate: allow require-concurrent-index-creation because small\n"
    elsewhere = found(history, f'{comment}{INDEX}\nop.create_index("j", "book", ["id"])')
    other_rule = found(history, f"{comment.replace('creation', 'deletion')}{INDEX}")

    assert rules(elsewhere) == ["require-concurrent-index-creation"]
    assert "ON book" in elsewhere[0].statement
    assert sorted(rules(other_rule)) == ["require-concurrent-index-creation", "unused-override"]


@pytest.mark.parametrize("comment", ["# gate: allow require-concurrent-index-creation", "# gate: allow because small"])
def test_an_override_without_a_reason_or_a_rule_is_an_error(history: Project, comment: str) -> None:
    findings = found(history, f"{comment}\n{INDEX}")

    assert sorted(rules(findings)) == ["override-without-reason", "require-concurrent-index-creation"]


def test_an_override_of_a_rule_that_does_not_exist_is_an_error(history: Project) -> None:
    findings = found(history, "# gate: allow require-concurent-index because small\n" + INDEX)

    assert "override-of-unknown-rule" in rules(findings)


def test_a_released_override_is_not_judged_again(history: Project) -> None:
    add(history, "# gate: allow require-concurrent-index-creation because small\nop.execute('SELECT 1')")
    assert rules(list(review(history, "main").findings)) == ["unused-override"]
    released(history)

    assert review(history).findings == ()


def test_exit_status_5_with_findings_0_without_and_strict(history: Project) -> None:
    green = cli(history, "--since", "main")
    assert (green.returncode, green.stderr) == (0, "lint: rendering the SQL of 3 revisions, 0 of them new ...\n")
    assert green.stdout.startswith("no new revisions since main (")

    add(history, CHECK)
    warned = cli(history, "--since", "main")
    assert warned.returncode == 0
    assert "1 warning" in warned.stdout
    assert cli(history, "--since", "main", "--strict").returncode == 5

    add(history, INDEX)
    assert cli(history, "--since", "main").returncode == 5


def test_stdout_is_the_document_alone_whatever_env_py_prints(history: Project) -> None:
    history.write_env("print('hello from env.py')\n" + (history.migrations / "env.py").read_text())
    add(history, INDEX)

    done = cli(history, "--since", "main", "--format", "json")

    assert done.returncode == 5
    assert json.loads(done.stdout)["findings"][0]["file"] == "migrations/versions/1e9d.py"


def test_github_prints_annotations_on_stdout_and_the_count_on_stderr(history: Project) -> None:
    path = add(history, INDEX)

    done = cli(history, "--since", "main", "--format", "github")

    line = 1 + path.read_text().splitlines().index(f"    {INDEX}")
    where = f"::error file=migrations/versions/1e9d.py,line={line},title=require-concurrent-index-creation::The index"
    assert done.stdout.startswith(where)
    assert done.stdout.count("\n") == 1
    assert done.stderr.endswith("): 1 error\n")


def test_no_database_is_needed_or_reached(history: Project) -> None:
    add(history, INDEX)

    done = cli(history, "--since", "main", MIGRATION_DATABASE_URL="", DATABASE_URL="")

    assert done.returncode == 5


@pytest.mark.parametrize(
    "arguments", [(), ("--since",), ("--since", "main", "--all"), ("--all", "--format", "yaml")], ids=" ".join
)
def test_a_wrong_command_line_exits_2(project: Project, arguments: tuple[str, ...]) -> None:
    assert cli(project, *arguments).returncode == 2


def test_an_error_that_is_no_finding_exits_1_and_tells_the_way_out(project: Project) -> None:
    done = cli(project, "--since", "main")

    assert done.returncode == 1
    assert "is not in a git repository" in done.stderr
    assert "Solution: migration-gate lint --all" in done.stderr


def test_a_pg_version_that_squawk_does_not_know_is_an_error(history: Project) -> None:
    add(history, INDEX)

    done = cli(history, "--since", "main", "--pg-version", "new")

    assert done.returncode == 1
    assert "squawk failed" in done.stderr


def test_a_server_s_version_changes_what_is_dangerous(history: Project) -> None:
    add(history, 'op.add_column("book", sa.Column("pages", sa.BigInteger(), server_default="0", nullable=False))')

    old = json.loads(cli(history, "--since", "main", "--format", "json", "--pg-version", "10").stdout)
    new = json.loads(cli(history, "--since", "main", "--format", "json", "--pg-version", "16").stdout)

    assert [each["rule"] for each in old["findings"]] == ["adding-field-with-default"]
    assert new["findings"] == []


def test_without_squawk_the_extra_is_named(history: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    add(history, INDEX)
    git = tmp_path / "git"
    git.symlink_to(Path(str(next(p for p in (Path(d, "git") for d in os.environ["PATH"].split(":")) if p.exists()))))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(Exception, match="squawk is not installed") as error:
        review(history, "main")
    assert "migration-gate[review]" in str(error.value)


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_on_a_terminal_unless_no_color_is_set(
    history: Project, variables: dict[str, str], coloured: bool
) -> None:
    add(history, INDEX)
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | history.environment(variables)
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "lint", "--since", "main"],
        cwd=history.folder,
        env=environment,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # Linux: the other side was closed
            break
        if not piece:
            break
        said += piece
    os.close(ours)

    assert process.wait(timeout=30) == 5
    assert (b"\033[31merror\033[0m" in said) is coloured


def test_every_rule_has_a_kebab_case_name_and_every_off_a_reason(project: Project) -> None:
    listed = cli(project, "--rules").stdout

    assert all(name == name.lower() and " " not in name and "_" not in name for name in known_rules())
    assert not DECISIONS.keys() & OFF.keys()
    for name in known_rules():
        assert name in listed
    assert "require-statement-timeout: a limit on" in listed


def test_the_rules_that_are_decided_on_are_those_of_squawk(project: Project, tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1;\n")
    squawk = Path(sys.executable).parent / "squawk"
    for name in {*DECISIONS, *OFF} - {"syntax-error"}:
        done = subprocess.run([squawk, f"--exclude={name}", "a.sql"], cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == 0, name


def test_what_a_squawk_toml_says_does_not_count(history: Project) -> None:
    (history.folder / ".squawk.toml").write_text('excluded_rules = ["require-concurrent-index-creation"]\n')

    assert rules(found(history, INDEX)) == ["require-concurrent-index-creation"]


def test_the_rewrite_of_a_revision_after_the_first_names_its_parent(history: Project) -> None:
    findings = found(history, 'op.alter_column("shelf", "label", nullable=False)')

    assert f'gate_minimum_code = "{TITLE_INDEX}"' in findings[0].rewrite[0].code
    write(history.config)
