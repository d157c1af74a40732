"""The proof that a rolling deployment needs: the release before, its own tests, and the schema of this release.

What a linter reads off the SQL is a guess. Here the old code meets the new schema: a worktree of the release before, a
database that this code's migrations made, and the command that tests the old release.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic import command as alembic
from alembic.config import Config
from alembic.script import ScriptDirectory

from migration_gate.compatibility import FAILED, PASSED, Verdict, between_releases
from migration_gate.configuration import NoConfiguration, copy_of, load, name_of
from migration_gate.connection import ADDRESS_ATTRIBUTE, address_if_named
from migration_gate.errors import MigrationGateError
from migration_gate.expected import LOCK_NAME, Expected, read_lock
from migration_gate.postgres.url import sqlalchemy_url
from migration_gate.review.pointed import pointed_at
from migration_gate.review.rendered import described
from migration_gate.review.since import _git, _resolve, git_root
from migration_gate.revision_texts import graph_in_texts
from migration_gate.revisions_lock import expected_from_scripts
from migration_gate.scratch_database import scratch_database
from migration_gate.upgrade import own_errors

Say = Callable[[str], None]

#: What the old release's tests find in their environment beside the addresses of the database.
NEW_TREE = "MIGRATION_GATE_NEW_TREE"

# Of shells and env(1): the command is there and cannot be run, or is not there. Neither says anything of the schema.
_NOT_RUN = frozenset({126, 127})

_TERMINATE_GRACE_S = 5.0


@dataclass(frozen=True)
class Trial:
    """What is to be tried: the release at `reference` (a commit), with the project at `folder` inside its tree."""

    root: Path
    folder: Path
    reference: str
    new: Expected


def trial(config: Config, ref: str) -> Trial:
    """What a reference names.

    Raises
    ------
    MigrationGateError: no git, no repository, no such reference, or broken migrations.
    """
    path = Path(name_of(config)).resolve()
    root = git_root(path.parent)
    if root is None:
        raise MigrationGateError(
            f"{path.parent} is not in a git repository, or git is missing, so there is no release before this one.",
            solution="run it in the project's clone",
        )
    root = root.resolve()
    return Trial(root, path.parent.relative_to(root), _resolve(root, ref), expected_from_scripts(config))


def prove(
    config: Config, tried: Trial, command: str, *, scratch_url: str | None, timeout_s: float, say: Say
) -> Verdict:
    """Run the old release's tests on the new schema, and return what they showed.

    Where they fail they are run on their own schema as well, since a failure there says nothing of the new one. Where
    the two releases have the same revisions, nothing is run.

    Raises
    ------
    MigrationGateError: there is no verdict: the command could not be run, did not end in `timeout_s` seconds or was
        ended by a signal, fails on the old release's own schema as well, the new schema could not be made, or the old
        release knows revisions that this one lacks.
    """
    arguments = _words(command)
    server = scratch_url or address_if_named(config, None)
    if server is None:
        raise MigrationGateError("No server is named for the scratch database.", solution="--scratch-url URL")
    with _worktree(tried) as tree:
        say(f"compatibility: {tried.reference[:12]} is checked out beside this tree")
        previous = _heads_of(tree, tried.folder, Path(name_of(config)).name)
        if unknown := sorted(set(previous) - tried.new.revisions.keys()):
            raise MigrationGateError(
                f"The release before is at {', '.join(unknown)}, which this code does not have.",
                solution="name in --since the release that this one replaces",
            )
        between = between_releases(tried.new, previous, tried.new.heads)
        if not between:
            say("compatibility: no revision lies between the two releases, so there is nothing to try")
            return _verdict(tried, previous, between, PASSED, command)
        with _migrated(config, server, tried.new.heads, say) as address:
            say(f"compatibility: $ {command}")
            status = _run(
                arguments, tree / tried.folder, pointed_at(address, address) | {NEW_TREE: str(tried.root)}, timeout_s
            )
        if status:
            say(f"compatibility: it exited with {status}; the same on the old release's own schema, to compare")
            with _migrated(config, server, previous, say) as address:
                _refuse_tests_that_fail_anyway(
                    _run(arguments, tree / tried.folder, pointed_at(address, address), timeout_s)
                )
    return _verdict(tried, previous, between, FAILED if status else PASSED, command)


def _refuse_tests_that_fail_anyway(status: int) -> None:
    if status:
        raise MigrationGateError(
            f"There is no verdict: on the old release's own schema the command exits with {status} as well.",
            solution="name a command that succeeds in the release before",
        )


def _verdict(tried: Trial, previous: tuple[str, ...], between: tuple[str, ...], result: str, command: str) -> Verdict:
    return Verdict(
        heads=tried.new.heads,
        previous=previous,
        result=result,
        reference=tried.reference,
        command=command,
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        revisions={id_: tried.new.revisions[id_].checksum for id_ in between},
    )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise MigrationGateError(f"The command cannot be read: {error}.", solution="look for a quote") from None
    if not words:
        raise MigrationGateError("The command is empty.", solution='--command "python -m pytest tests/critical"')
    return words


@contextmanager
def _worktree(tried: Trial) -> Iterator[Path]:
    """The release before, in a folder that is gone afterwards, for git as well."""
    with tempfile.TemporaryDirectory(prefix="migration-gate-", ignore_cleanup_errors=True) as parent:
        tree = Path(parent).resolve() / "release-before"
        _git(tried.root, "worktree", "add", "--detach", "--quiet", str(tree), tried.reference)
        try:
            yield tree
        finally:
            # Forced, since its tests leave files there.
            _git(tried.root, "worktree", "remove", "--force", str(tree))


def _heads_of(tree: Path, folder: Path, config_name: str) -> tuple[str, ...]:
    """The heads of a release, from its files or its lock, without running its code."""
    path = sys.path[:]
    try:
        # Alembic takes a script_location that is not absolute from the working directory.
        with contextlib.chdir(tree / folder):
            scripts = ScriptDirectory.from_config(load(config_name))
            migrations = Path(scripts.dir).resolve()
            if not migrations.is_relative_to(tree):
                raise MigrationGateError(
                    f"The release before finds its migrations outside its own tree, in {migrations}.",
                    solution="let script_location be a folder: %(here)s/migrations",
                )
            graph = graph_in_texts(scripts)
    except (NoConfiguration, FileNotFoundError):
        raise MigrationGateError(
            f"The release before has no {folder / config_name}.",
            solution="name in --since a release that has migrations",
        ) from None
    finally:
        sys.path[:] = path
    return (read_lock(migrations / LOCK_NAME) if graph is None else graph).heads


@contextmanager
def _migrated(config: Config, server: str, revisions: tuple[str, ...], say: Say) -> Iterator[str]:
    """The address of a database that this code's migrations brought to `revisions`."""
    if described(config) is None:
        raise MigrationGateError(
            "env.py does not go through migration_gate.environment.run: nobody knows which database it would migrate.",
            solution="let env.py end in migration_gate.environment.run(metadata)",
        )
    with scratch_database(server, "compatibility") as address:
        say(f"compatibility: migrating a scratch database to {', '.join(revisions)}")
        scratch = copy_of(config, {ADDRESS_ATTRIBUTE: sqlalchemy_url(address)})
        with own_errors():
            for revision in revisions:
                alembic.upgrade(scratch, revision)
        yield address


def _run(command: list[str], folder: Path, variables: Mapping[str, str], timeout_s: float) -> int:
    """The exit status of the command, which speaks for itself as it runs."""
    sys.stdout.flush()
    try:
        # A session of its own, so that whatever the tests start ends with them.
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != NEW_TREE} | dict(variables),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise MigrationGateError(
            f"There is no verdict: {command[0]} could not be run: {error.strerror}.",
            solution="name a command that runs in the release before; its folder is the working directory",
        ) from None
    try:
        status = child.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise MigrationGateError(
            f"There is no verdict: the tests of the release before did not end within {timeout_s:g} s.",
            solution="see in what they said where they hang; allow more with --timeout SECONDS",
        ) from None
    finally:
        _end(child)
    if status < 0 or status in _NOT_RUN:
        how = (
            f"was ended by {signal.Signals(-status).name}" if status < 0 else f"exited with {status}: it could not run"
        )
        raise MigrationGateError(
            f"There is no verdict: the command {how}.", solution="run it by hand in the old release"
        )
    return status


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command, where it still runs, and all that it left running."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=_TERMINATE_GRACE_S)
