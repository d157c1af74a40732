"""Where backups lie: a folder in which each is a folder of its own, that is there whole or not at all.

    taskmanager-20261128T045052Z/
        manifest.json    what is known of it
        database.dump    pg_dump's custom format
        roles.sql        the roles that it needs, without passwords

One that is being made has another name until its files are on the disk; one that is being deleted has lost its name
before its first file goes.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from taskmanager.backup.errors import BackupError, NotThatBackup, reason
from taskmanager.backup.manifest import File, Manifest, read_manifest

MANIFEST, DUMP, ROLES = "manifest.json", "database.dump", "roles.sql"
_PARTIAL, _DELETED = ".partial-", ".deleted-"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*-\d{8}T\d{6}Z(?:-\d+)?")
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Backup:
    """One that is whole, as far as its name says; `check_files` says the rest."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def dump(self) -> Path:
        return self.path / DUMP


class BackupFolder:
    """The backups in `path`, made where it is missing, for this user alone: they hold every row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Raises BackupError where it cannot be made."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise BackupError(
                f"the folder {self.path} cannot be made: {reason(error)}", solution="name another with --folder"
            ) from None

    def backups(self) -> list[Backup]:
        """Newest first. What cannot be read is left out here, and told by `damaged`."""
        found = []
        for path in self._named():
            try:
                found.append(_read(path))
            except NotThatBackup:
                continue
        return sorted(found, key=lambda backup: (backup.manifest.made_at, backup.name), reverse=True)

    def damaged(self) -> list[str]:
        """A sentence for each folder that has a backup's name and no manifest that can be read."""
        sentences = []
        for path in self._named():
            try:
                _read(path)
            except NotThatBackup as error:
                sentences.append(error.message)
        return sentences

    def find(self, name: str) -> Backup:
        """By its name, by its path, or `latest`, which is the newest that was verified.

        Raises
        ------
        NotThatBackup: there is none, or its manifest cannot be read; or `latest` could be that of several databases.
        """
        if name == "latest":
            return self._latest()
        path = self.path / name if _NAME.fullmatch(name) else Path(name)
        if not path.is_dir():
            raise NotThatBackup(f"there is no backup {path}", solution="taskmanager backups lists those that there are")
        return _read(path)

    def _latest(self) -> Backup:
        verified = [backup for backup in self.backups() if backup.manifest.verified]
        if not verified:
            raise NotThatBackup(
                f"{self.path} holds no verified backup", solution="taskmanager backups lists what it holds"
            )
        databases = sorted({backup.manifest.database for backup in verified})
        if len(databases) > 1:
            raise NotThatBackup(
                f"{self.path} holds verified backups of several databases ({', '.join(databases)})",
                solution="name the backup, which taskmanager backups lists; and give each database a folder of its own",
            )
        return verified[0]

    def _named(self) -> Iterator[Path]:
        try:
            found = sorted(self.path.iterdir()) if self.path.is_dir() else []
            yield from (path for path in found if path.is_dir() and _NAME.fullmatch(path.name))
        except OSError as error:
            raise BackupError(f"the folder {self.path} cannot be read: {reason(error)}") from None

    @contextmanager
    def new(self, database: str, made_at: datetime) -> Iterator[Path]:
        """A folder to put a backup's files into; gone at the end unless it was published."""
        stem = re.sub(r"[^A-Za-z0-9_.]+", "_", database).strip(".") or "database"
        name = f"{stem}-{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        number = 1
        while (self.path / name).exists():
            number += 1
            name = f"{stem}-{made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{number}"
        work = self.path / f"{_PARTIAL}{name}"
        try:
            work.mkdir(mode=0o700)
        except OSError as error:
            raise BackupError(f"{self.path} cannot be written to: {reason(error)}") from None
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def publish(self, work: Path, manifest: Manifest) -> Backup:
        """Put the files on the disk and give them their name: from here on it is a backup."""
        _write(work / MANIFEST, manifest.text())
        for file in work.iterdir():
            _sync(file)
        _sync(work)
        path = self.path / manifest.name
        work.rename(path)
        _sync(self.path)
        return Backup(path, manifest)

    def remove_unfinished(self) -> None:
        """What a process that was killed left; the caller holds the folder's lock."""
        for pattern in (f"{_PARTIAL}*", f"{_DELETED}*"):
            for path in self.path.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def delete(self, backup: Backup) -> None:
        """Raises BackupError where it cannot be moved away; then it is there as before."""
        gone = backup.path.with_name(f"{_DELETED}{backup.name}")
        try:
            backup.path.rename(gone)
            _sync(self.path)
        except OSError as error:
            raise BackupError(f"{backup.path} cannot be deleted: {reason(error)}") from None
        shutil.rmtree(gone, ignore_errors=True)


def name_of(work: Path) -> str:
    """The name that a new backup's folder will have."""
    return work.name.removeprefix(_PARTIAL)


def rewrite_manifest(backup: Backup, manifest: Manifest) -> Backup:
    """Put another manifest in the place of a backup's, at once."""
    temporary = backup.path / f"{MANIFEST}.new"
    try:
        _write(temporary, manifest.text())
        _sync(temporary)
        temporary.rename(backup.path / MANIFEST)
        _sync(backup.path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise BackupError(f"{backup.path / MANIFEST} cannot be written: {reason(error)}") from None
    return Backup(backup.path, manifest)


def describe_file(path: Path) -> File:
    """Its length and its SHA-256, read from the disk."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return File(path.stat().st_size, digest.hexdigest())


def check_files(backup: Backup) -> None:
    """Compare the files with the manifest.

    Raises
    ------
    NotThatBackup: one is missing, or is not what it was.
    """
    for name, expected in backup.manifest.files.items():
        path = backup.path / name
        try:
            found = describe_file(path)
        except OSError as error:
            raise NotThatBackup(f"{path} cannot be read: {reason(error)}", solution="take another backup") from None
        if found != expected:
            raise NotThatBackup(
                f"{path} is damaged: {found.bytes} bytes with SHA-256 {found.sha256[:12]}…, and the manifest says"
                f" {expected.bytes} bytes with {expected.sha256[:12]}…",
                solution="take another backup, or another copy of this one",
            )


def _read(path: Path) -> Backup:
    file = path / MANIFEST
    try:
        return Backup(path, read_manifest(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise NotThatBackup(f"{file} cannot be read: {reason(error)}", solution="take another backup") from None
    except ValueError as error:
        raise NotThatBackup(f"{file}: {error}", solution="take another backup") from None


def _write(path: Path, text: str) -> None:
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
