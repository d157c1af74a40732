"""A scratch project in a git repository, and lint run on what was added since its last commit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from migration_gate.review.findings import Code, Finding
from migration_gate.review.lint import Review, lint
from migration_gate.revisions_lock import write
from tests.migration_gate.scratch import TITLE_INDEX, Project

NEW = "1e9d"

# The command line as it will be, without the verbs that need a database.
MAIN = """\
import argparse, sys
from alembic.config import Config
from migration_gate.errors import MigrationGateError
from migration_gate.review import lint_cli
parser = argparse.ArgumentParser(prog="migration-gate")
parser.add_argument("-c", "--config", default="alembic.ini")
lint_cli.add_parser(parser.add_subparsers(required=True))
options = parser.parse_args()
try:
    sys.exit(options.run(options, Config(options.config)))
except MigrationGateError as error:
    print(f"migration-gate: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


def git(folder: Path, *arguments: str) -> str:
    """A git command that is blind to whoever runs the tests."""
    identity = ("-c", "user.name=Reader", "-c", "user.email=reader@example.org", "-c", "commit.gpgsign=false")
    blind = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=folder, env=blind, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def released(project: Project, branch: str = "main") -> Project:
    """Commit what is there as a release."""
    write(project.config)
    if not (project.folder / ".git").exists():
        git(project.folder, "init", "-q", "-b", branch)
        (project.folder / ".gitignore").write_text("__pycache__/\n")
    git(project.folder, "add", ".")
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "Release")
    return project


@contextmanager
def own_modules() -> Iterator[None]:
    """Every project has a module `models`: forget it, and where it was found."""
    path = sys.path[:]
    try:
        yield
    finally:
        sys.path[:] = path
        sys.modules.pop("models", None)


def review(project: Project, since: str | None = "HEAD", **options: str | None) -> Review:
    """Lint the project in this process, its revisions.lock up to date."""
    with own_modules():
        return lint(project.config, since=since, **options)  # type: ignore[arg-type]


def add(
    project: Project,
    upgrade: str,
    downgrade: str = "op.execute('SELECT 1')",
    *,
    top: str = "",
    parent: str = TITLE_INDEX,
) -> Path:
    """Add a revision, with declarations below its ids, and write the lock."""
    path = project.revision(NEW, parent, upgrade, downgrade)
    if top:
        path.write_text(path.read_text().replace("\n\n\ndef upgrade", f"\n{dedent(top)}\n\ndef upgrade"))
    write(project.config)
    return path


def found(project: Project, upgrade: str, downgrade: str = "op.execute('SELECT 1')", *, top: str = "") -> list[Finding]:
    """What lint says of a new revision after the release."""
    add(project, upgrade, downgrade, top=top)
    return list(review(project).findings)


def paste(project: Project, rewrite: tuple[Code, ...], *, parent: str = TITLE_INDEX) -> list[str]:
    """Write each step as a revision in the new one's place; return what lint says of each as a release of its own."""
    (project.migrations / "versions" / f"{NEW}.py").unlink()
    said = []
    for number, step in enumerate(rewrite):
        id_ = NEW if number == 0 else f"step{number}"
        head = f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {id_!r}\ndown_revision = {parent!r}\n\n"
        (project.migrations / "versions" / f"{id_}.py").write_text(head + step.code)
        write(project.config)
        # A downgrade that cannot be is told, and is no fault of the rewrite.
        found_here = [each for each in review(project).findings if each.rule != "irreversible-downgrade"]
        said += [f"{step.title}: {finding.rule} {finding.message}" for finding in found_here]
        released(project)
        parent = id_
    return said


def rules(findings: list[Finding]) -> list[str]:
    return [finding.rule for finding in findings]


def cli(project: Project, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`migration-gate lint …` as a process of its own."""
    command = [sys.executable, "-c", MAIN, "lint", *arguments]
    environment = os.environ | project.environment(variables)
    return subprocess.run(
        command, cwd=project.folder, env=environment, capture_output=True, text=True, timeout=90, check=False
    )
