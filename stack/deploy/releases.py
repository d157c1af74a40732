"""Releases on this machine: a commit of a git repository, checked out in a folder of its own.

DATA/releases/COMMIT              the tree, a clone that shares the repository's objects
DATA/releases/environments/HASH   a virtual environment for requirements other than this launcher's own
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.deploy.errors import Refused, StepFailed
from stack.folders import PROJECT_ROOT, prepare_folder
from stack.log_file import begin_log
from stack.process import GuardedProcess

GIT_SECONDS = 120.0
INSTALL_SECONDS = 600.0
COMMAND_SECONDS = 60.0
REQUIREMENTS = "requirements.txt"
ENVIRONMENTS = "environments"
KEPT_RELEASES = 5
# What another tree's code, or another project's, would be found by.
_OTHERS = ("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Told:
    """What a command said, and its exit status."""

    code: int
    output: str
    errors: str

    def last_words(self, count: int = 5) -> list[str]:
        return [line for line in (self.errors or self.output).splitlines() if line.strip()][-count:]


@dataclass(frozen=True)
class Release:
    """A checkout, and the Python that has what its requirements name."""

    commit: str
    folder: Path
    python: Path

    def command(self, *arguments: str) -> list[str]:
        """`python -m …`; in the release's folder it is the release's own code."""
        return [f"{self.python}", "-m", *arguments]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _OTHERS}
        return {**kept, **variables, "TASKMANAGER_COMMIT": self.commit}

    def ask(self, *arguments: str, variables: Mapping[str, str], timeout: float = COMMAND_SECONDS) -> Told:
        """Runs a short command of the release to its end. Raises StepFailed when it does not end in time."""
        try:
            done = subprocess.run(
                self.command(*arguments),
                cwd=self.folder,
                env=self.environment(variables),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed(f"`{' '.join(arguments)}` of {self.commit[:12]} took more than {timeout:g} s") from None
        return Told(done.returncode, done.stdout, done.stderr)

    def begin(self, *arguments: str, variables: Mapping[str, str], log: Path, grace: float) -> GuardedProcess:
        """Starts a command that ends with this launcher, whatever ends that; what it says is appended to `log`."""
        with log.open("ab") as output:
            return GuardedProcess(
                self.command(*arguments),
                name=f"`{arguments[0]} {arguments[1] if len(arguments) > 1 else ''}`",
                env=self.environment(variables),
                cwd=self.folder,
                grace=grace,
                output=output.fileno(),
            )


class Releases:
    """The checkouts in `data`/releases."""

    def __init__(self, data: Path) -> None:
        self._folder = data.absolute() / "releases"
        # As it is now: that file may be changed under this launcher, whose packages stay what they are.
        self._own_requirements = _read(PROJECT_ROOT / REQUIREMENTS)

    def resolve(self, reference: str, source: Path) -> str:
        """The commit that a reference names in the repository at `source`. Raises Refused."""
        try:
            told = _git(source, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
        except FileNotFoundError:
            raise Refused("git is not installed, and a release is a commit: install git") from None
        if told.code == 0:
            return told.output.strip()
        if _git(source, "rev-parse", "--git-dir").code != 0:
            raise Refused(f"{source} is no git repository, and a release is a commit of one: name one with --source")
        raise Refused(
            f"git knows no {reference!r} in {source}: name a branch, tag or commit that `git rev-parse` finds "
            "(git fetch brings those of others)"
        )

    def checked_out(self, commit: str) -> Release | None:
        """The release, if it lies here already."""
        folder = self._folder / commit
        return Release(commit, folder, self._python(folder)) if (folder / "alembic.ini").is_file() else None

    def check_out(self, commit: str, source: Path) -> Release:
        """The release, made where it is not here yet. Raises StepFailed."""
        if (there := self.checked_out(commit)) is not None and there.python.exists():
            return there
        prepare_folder(self._folder)
        folder = self._folder / commit
        if not (folder / "alembic.ini").is_file():
            # In a folder aside, so that what is here under its name is whole.
            aside = Path(tempfile.mkdtemp(prefix=".making-", dir=self._folder))
            try:
                _must(
                    _git(self._folder, "clone", "--quiet", "--shared", "--no-checkout", "--", f"{source}", f"{aside}")
                )
                _must(_git(aside, "checkout", "--quiet", "--detach", commit))
                if not (aside / "alembic.ini").is_file() or not (aside / "taskmanager").is_dir():
                    raise Refused(f"{commit[:12]} of {source} is no release of this service: it has no alembic.ini")
                shutil.rmtree(folder, ignore_errors=True)
                aside.rename(folder)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        python = self._python(folder)
        if not python.exists():
            self._install(folder / REQUIREMENTS, python)
        return Release(commit, folder, python)

    def forget_all_but(self, commits: list[str]) -> None:
        """Removes old checkouts, the newest few and `commits` excepted, and what none of those needs.

        Not to be called while a release is made.
        """
        if not self._folder.is_dir():
            return
        there = [folder for folder in self._folder.iterdir() if len(folder.name) == 40 and folder.is_dir()]
        newest = sorted(there, key=lambda folder: -folder.stat().st_mtime)[:KEPT_RELEASES]
        kept = [folder for folder in there if folder in newest or folder.name in commits]
        environments = self._folder / ENVIRONMENTS
        needed = {self._python(folder).parent.parent for folder in kept}
        # Dotted names are what a launcher that was killed was making.
        made = [*environments.iterdir()] if environments.is_dir() else []
        left = [*self._folder.glob(".making-*"), *(each for each in made if each not in needed)]
        for folder in [*(each for each in there if each not in kept), *left]:
            shutil.rmtree(folder, ignore_errors=True)

    def _python(self, folder: Path) -> Path:
        """This launcher's own, where the release needs the same packages as the launcher's tree."""
        wanted = _read(folder / REQUIREMENTS)
        if not wanted or wanted == self._own_requirements:
            return Path(sys.executable)
        name = hashlib.sha256(wanted).hexdigest()[:16]
        return self._folder / ENVIRONMENTS / name / "bin" / "python"

    def _install(self, requirements: Path, python: Path) -> None:
        environment = python.parent.parent
        prepare_folder(environment.parent)
        shutil.rmtree(environment, ignore_errors=True)
        aside = environment.with_name(f".{environment.name}")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _must(_run([sys.executable, "-m", "venv", f"{aside}"], INSTALL_SECONDS))
            pip = [f"{aside / 'bin' / 'python'}", "-m", "pip", "install", "--quiet", "--require-hashes"]
            _must(_run([*pip, "-r", f"{requirements}"], INSTALL_SECONDS))
            aside.rename(environment)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def revision_heads(release: Release) -> tuple[str, ...]:
    """The heads of the release's migrations, from its revisions lock. Raises Refused when that cannot be read."""
    import tomllib

    lock = release.folder / "alembic" / "revisions.lock"
    try:
        return tuple(map(str, tomllib.loads(lock.read_text(encoding="utf-8"))["heads"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Refused(f"the revisions lock of {release.commit[:12]} cannot be read: {error}") from error


def read_json(told: Told, what: str) -> object:
    """What a command printed for machines. Raises StepFailed."""
    try:
        return json.loads(told.output)
    except ValueError:
        raise StepFailed(f"{what} told nothing (exit status {told.code})", told.last_words()) from None


def new_log(folder: Path, name: str) -> tuple[Path, int]:
    """A log file in `folder`, and the byte at which what is said from now on begins."""
    prepare_folder(folder)
    log = folder / f"{name}.log"
    return log, begin_log(log)


def _read(file: Path) -> bytes:
    """Nothing, where there is no such file."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _git(folder: Path, *arguments: str) -> Told:
    return _run(["git", "-C", f"{folder}", *arguments], GIT_SECONDS)


def _run(command: list[str], timeout: float) -> Told:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        raise StepFailed(f"`{' '.join(command[:4])} …` took more than {timeout:g} s") from None
    return Told(done.returncode, done.stdout, done.stderr)


def _must(told: Told) -> None:
    if told.code != 0:
        raise StepFailed(f"the release could not be made: {' | '.join(told.last_words(2))}", told.last_words())
