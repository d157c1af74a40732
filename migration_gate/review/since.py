"""What was released already: the migration files at the commit where this branch left a git reference.

Only git's own commands are asked, and none that writes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from migration_gate.errors import MigrationGateError
from migration_gate.review.migration_file import MigrationFile, read_migration


@dataclass(frozen=True)
class Since:
    """The released migrations by revision id, each with the path it had, relative to the repository's `root`."""

    ref: str
    commit: str
    root: Path
    released: Mapping[str, tuple[str, MigrationFile]]


def git_root(folder: Path) -> Path | None:
    """The root of the repository that a folder is in, or None where it is in none or git is missing."""
    try:
        return Path(_git(folder, "rev-parse", "--show-toplevel").strip())
    except MigrationGateError:
        return None


def released_since(ref: str, folders: Iterable[Path]) -> Since:
    """What the commit that `ref` and HEAD have in common holds in the folders of migrations.

    Raises
    ------
    MigrationGateError: no git, no repository, no such reference, or no common commit (in a shallow clone, say).
    """
    folders = [folder.resolve() for folder in folders]
    root = Path(_git(folders[0], "rev-parse", "--show-toplevel").strip()).resolve()
    tip = _resolve(root, ref)
    base = _merge_base(root, ref, tip)
    released: dict[str, tuple[str, MigrationFile]] = {}
    for folder in folders:
        if not folder.is_relative_to(root):
            continue  # migrations that an installed package brings are released with that package
        inside = folder.relative_to(root).as_posix()
        listed = _git(root, "ls-tree", "-r", "-z", "--name-only", base, "--", f"{inside}/")
        for path in listed.split("\0"):
            if path.endswith(".py"):
                file = read_migration(_git(root, "show", f"{base}:{path}"))
                if file.revision is not None:
                    released[file.revision] = (path, file)
    return Since(ref, base, root, released)


def _resolve(root: Path, ref: str) -> str:
    try:
        return _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}").strip()
    except MigrationGateError:
        fetch = "; this clone is shallow: git fetch --unshallow" if _is_shallow(root) else ""
        raise MigrationGateError(
            f"git does not know {ref!r} in {root}.",
            solution=f"name a branch, tag or commit that `git rev-parse` finds (git fetch origin {ref}){fetch}",
        ) from None


def _merge_base(root: Path, ref: str, tip: str) -> str:
    try:
        head = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").strip()
    except MigrationGateError:
        raise MigrationGateError(
            f"{root} has no commit yet, so nothing was released.", solution="migration-gate lint --all"
        ) from None
    try:
        return _git(root, "merge-base", tip, head).strip()
    except MigrationGateError:
        if _is_shallow(root):
            raise MigrationGateError(
                f"This clone is shallow and does not reach back to where HEAD left {ref}.",
                solution="git fetch --unshallow   (GitHub Actions: actions/checkout with fetch-depth: 0)",
            ) from None
        raise MigrationGateError(
            f"HEAD and {ref} have no commit in common.", solution="name the branch that this one was cut from"
        ) from None


def _is_shallow(root: Path) -> bool:
    return _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"


def _environment() -> dict[str, str]:
    """Words that can be compared, and the folder's own repository: a git hook names another place for it."""
    named_by_hooks = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"}
    return {name: value for name, value in os.environ.items() if name not in named_by_hooks} | {"LC_ALL": "C"}


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=False, env=_environment()
        )
    except FileNotFoundError:
        raise MigrationGateError(
            "git is not installed, and --since asks it what was released.", solution="migration-gate lint --all"
        ) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        if "not a git repository" in said:
            raise MigrationGateError(
                f"{folder} is not in a git repository, so nobody can tell what was released.",
                solution="migration-gate lint --all",
            )
        if "dubious ownership" in said:
            raise MigrationGateError(
                f"git refuses to read {folder}: {said}",
                solution=f"git config --global --add safe.directory {folder}",
            )
        raise MigrationGateError(f"git {arguments[0]} failed in {folder}: {said or done.returncode}")
    return done.stdout.decode(errors="replace")
