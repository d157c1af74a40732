"""The passwords of a cluster's roles, drawn at random and kept in one file beside it."""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from stack.errors import StackError
from stack.private_file import write_private

FILE = "postgres.passwords"
ENTROPY_BYTES = 24


@dataclass(frozen=True)
class Passwords:
    """URL-safe, so that they can stand in a URL and in a dotenv file without quoting."""

    superuser: str
    migrator: str
    app: str


def draw_passwords(folder: Path) -> Passwords:
    """New passwords, written to the file before anything relies on them."""
    drawn = Passwords(*(secrets.token_urlsafe(ENTROPY_BYTES) for _ in range(3)))
    write_private(folder / FILE, json.dumps(asdict(drawn)))
    return drawn


def read_passwords(folder: Path) -> Passwords:
    """Raises StackError when the file is missing or garbled: nobody can log in to the cluster then."""
    path = folder / FILE
    try:
        passwords = Passwords(**json.loads(path.read_text()))
        if not all(isinstance(password, str) and password for password in asdict(passwords).values()):
            raise ValueError("not three passwords")
    except FileNotFoundError:
        raise StackError(
            f"{path} is missing, so nobody can log in to {folder / 'postgres'}: {_way_out(folder)}"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise StackError(f"{path} cannot be read as passwords ({error}): {_way_out(folder)}") from error
    return passwords


def _way_out(folder: Path) -> str:
    return f"restore the file from a backup, or move {folder / 'postgres'} away to begin with an empty database"
