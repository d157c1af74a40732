"""Where settings stand before they are settings: in variables, in an env file, and secrets in files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Self

from dotenv import dotenv_values
from dotenv.parser import parse_stream

FILE_SUFFIX = "_FILE"

# An address or a DSN has some hundred characters. Whoever names a database's own file by mistake is told at once.
_LONGEST_SECRET = 16_384


class SettingsError(ValueError):
    """The settings cannot be used. Its message has a line for each fault and no value of any secret."""


@dataclass(frozen=True)
class Given:
    """A value, and the variable by which it was given, for what has to be said of it."""

    variable: str
    value: str

    @classmethod
    def secret(cls, source: Mapping[str, str], name: str) -> Self | None:
        """The value of `name` in one source, or of the file that `name`_FILE names there; None where neither is set.

        Raises
        ------
        SettingsError: both are set, or the file holds anything but one value.
        """
        value, path, variable = source.get(name), source.get(name + FILE_SUFFIX), name + FILE_SUFFIX
        if value and path:
            raise SettingsError(f"{name} and {variable}: both are set, and only one can count; unset one of them")
        if path:
            return cls(variable, _value_in(Path(path), variable))
        return cls(name, value) if value else None


def as_variables(secrets: Mapping[str, str]) -> dict[str, str]:
    """What gives a child these secrets, by name, although its environment may name files for them."""
    return {**secrets, **{name + FILE_SUFFIX: "" for name in secrets}}


def _value_in(path: Path, variable: str) -> str:
    """The one line of a file, without the blanks around it. No message has a character of it."""
    try:
        with path.open("rb") as file:
            text = file.read(_LONGEST_SECRET + 1).decode().strip()
    except FileNotFoundError:
        raise SettingsError(f"{variable}: there is no file {path}; correct the name, or mount the file there") from None
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not UTF-8 text; it holds the value alone") from None
    if not text:
        raise SettingsError(f"{variable}: {path} is empty; write the value into it")
    if len(text) > _LONGEST_SECRET:
        raise SettingsError(f"{variable}: {path} is too long for one value; it holds the value alone")
    if len(text.splitlines()) > 1:
        raise SettingsError(f"{variable}: {path} has more than one line; it holds the value alone")
    if not text.isprintable():
        raise SettingsError(f"{variable}: {path} has characters that no value has; it holds the value alone, as text")
    return text


def read_env_file(path: str) -> dict[str, str]:
    """The variables of a file in the form of `.env`; empty where it is not there, or `path` is empty.

    Raises
    ------
    SettingsError: it cannot be read, or a line has another form.
    """
    file = Path(path)
    if not path or not file.is_file():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            # What is reported begins with the empty lines before.
            before = binding.original.string[: -len(binding.original.string.lstrip())]
            line = binding.original.line + before.count("\n")
            raise SettingsError(f"{path}, line {line}: not of the form NAME=value")
    return {name: value for name, value in dotenv_values(stream=StringIO(text)).items() if value is not None}
