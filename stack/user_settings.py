"""What the user has set: the environment, and beneath it the file `.env`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from stack.errors import StackError

ENV_FILE_VARIABLE = "TASKMANAGER_ENV_FILE"
FILE_SUFFIX = "_FILE"


@dataclass(frozen=True)
class Source:
    """Variables and where they were found, in words. Empty values count as unset."""

    origin: str
    variables: Mapping[str, str]

    def get(self, variable: str) -> str | None:
        return self.variables.get(variable) or None

    def secret(self, variable: str) -> str | None:
        """The value, or the one line of the file that `variable`_FILE names, as the service reads both.

        Raises StackError when both are set, and when the file holds anything but one value.
        """
        value, named = self.get(variable), self.get(f"{variable}{FILE_SUFFIX}")
        if value is not None and named is not None:
            raise StackError(
                f"{variable} and {variable}{FILE_SUFFIX} are both set (in {self.origin}), and only one can count: "
                "unset one of them"
            )
        return value if named is None else _read_secret(Path(named), f"{variable}{FILE_SUFFIX}")


@dataclass(frozen=True)
class UserSettings:
    """The environment, and beneath it the env file."""

    sources: Sequence[Source]

    def value(self, variable: str) -> str:
        """Empty when it is not set."""
        return next(filter(None, (source.get(variable) for source in self.sources)), "")

    def naming_their_file(self) -> dict[str, str]:
        """The variable by which a process in another folder reads the same env file, or none as well."""
        return {ENV_FILE_VARIABLE: next((source.origin for source in self.sources[1:]), "")}

    def choice(self, variable: str) -> str:
        """The value, in lower case as the service reads it; empty when it is not set."""
        return self.value(variable).lower()


def read_user_settings() -> UserSettings:
    """From the environment and `.env`. TASKMANAGER_ENV_FILE names another file, empty: none.

    Raises StackError when the file cannot be read or parsed, or is named and not there.
    """
    environment = Source("the environment", dict(os.environ))
    named = os.environ.get(ENV_FILE_VARIABLE)
    path = Path(".env" if named is None else named).absolute()
    if named and not path.is_file():
        raise StackError(f"{ENV_FILE_VARIABLE} names {path}, and there is no such file: correct it, or unset it")
    if named == "" or not path.is_file():
        return UserSettings([environment])
    return UserSettings([environment, Source(f"{path}", _read_env_file(path))])


def _read_secret(path: Path, variable: str) -> str:
    """No message has a character of the file."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise StackError(f"{variable} names {path}, which cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise StackError(f"{variable} names {path}, which is not UTF-8 text") from None
    if len(text.splitlines()) != 1:
        raise StackError(f"{variable} names {path}, which must hold one value on one line, and nothing else")
    return text


def _read_env_file(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise StackError(f"{path}, line {line}: not UTF-8 text") from error
    except OSError as error:
        raise StackError(f"{path} cannot be read: {error.strerror}") from error
    if "\0" in text:
        # No variable can hold one; the text is UTF-16, most likely.
        line = text.count("\n", 0, text.index("\0")) + 1
        raise StackError(f"{path}, line {line}: not UTF-8 text")
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            # What is reported begins with the empty lines before.
            before = binding.original.string[: -len(binding.original.string.lstrip())]
            line = binding.original.line + before.count("\n")
            raise StackError(f"{path}, line {line}: not of the form NAME=value")
    return {variable: value or "" for variable, value in dotenv_values(stream=StringIO(text)).items()}
