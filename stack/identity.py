"""Under which account a child runs: the launcher's own, or an unprivileged one when the launcher is root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError

PREFERRED_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    """An account other than the launcher's, to which root drops before it executes a child."""

    name: str
    uid: int
    gid: int

    def passes(self, shell_test: str, *paths: Path) -> bool:
        """Whether the shell test on the paths ($1, $2, …) is true for the account, ACLs and all."""
        completed = subprocess.run(
            ["/bin/sh", "-c", shell_test, "sh", *map(str, paths)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return completed.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        return self.passes('cd -- "$1"', folder)


def unprivileged_identity(existing: Path) -> Identity | None:
    """The account PostgreSQL runs under, None for the launcher's own.

    PostgreSQL refuses to run as root. A data folder that exists already decides by its owner.

    Raises StackError when the launcher is root and the machine has no unprivileged account, and when the
    launcher's own id has no account: initdb needs one.
    """
    if os.geteuid() != 0:
        _require_account(os.geteuid())
        return None
    owner = existing.stat().st_uid if existing.exists() else 0
    if owner != 0:
        return Identity(_name(owner), owner, existing.stat().st_gid)
    for name in PREFERRED_ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(name, account.pw_uid, account.pw_gid)
    raise StackError(
        "PostgreSQL refuses to run as root, and this machine has neither an account `postgres` nor `nobody`: "
        "run as an ordinary user, or set DATABASE_URL to a server of yours"
    )


def _require_account(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise StackError(
            f"the user id {uid} has no entry in /etc/passwd, which PostgreSQL's initdb needs: "
            "run as a user that has one, or set DATABASE_URL to a server of yours"
        ) from None


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
