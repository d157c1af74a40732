"""Alembic's configuration, read as its own command line reads it: an alembic.ini, a pyproject.toml, or both.

What stands under `[tool.alembic]` completes an alembic.ini beside it, where such things as the address and the logging
stay; either of the two may be missing.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from alembic.config import Config

from migration_gate.errors import MigrationGateError

INI, TOML = "alembic.ini", "pyproject.toml"


class NoConfiguration(MigrationGateError):
    """There is no such file, and no other that would do."""


def load(path: Path | str) -> Config:
    """The configuration in a file, `alembic.ini` or `pyproject.toml`, together with the other one beside it.

    A pyproject.toml in the working directory completes an alembic.ini elsewhere, as it does for `alembic -c`.

    Raises
    ------
    NoConfiguration: neither holds one.
    """
    path = Path(path)
    ini, toml = (path.with_name(INI), path) if path.name == TOML else (path, path.with_name(TOML))
    if ini.is_file() and not toml.is_file():
        toml = Path(TOML)
    if not ini.is_file() and not (path.name in {INI, TOML} and _says_something(toml)):
        raise NoConfiguration(_lack(path), solution="name Alembic's configuration with --config")
    return Config(ini if ini.is_file() else None, toml_file=toml if toml.is_file() else None)


def name_of(config: Config) -> str:
    """The file by which `load` finds the same configuration again."""
    return str(config.config_file_name or config.toml_file_name)


def arguments_of(config: Config) -> list[str]:
    """The same for the command line of `alembic`."""
    files = (config.config_file_name, config.toml_file_name)
    return [argument for name in files if name is not None for argument in ("--config", name)]


def copy_of(config: Config, attributes: dict[str, Any]) -> Config:
    """The same files and section again, with other attributes."""
    return Config(
        config.config_file_name,
        toml_file=config.toml_file_name,
        ini_section=config.config_ini_section,
        attributes=attributes,
    )


def _lack(path: Path) -> str:
    if path.name == TOML and path.is_file():
        return f"There is no [tool.alembic] in {path}, and no {INI} beside it."
    lacking = f"There is no {path} in {Path.cwd()}"
    return f"{lacking}, and no [tool.alembic] in a {TOML} beside it." if path.name == INI else f"{lacking}."


def _says_something(toml: Path) -> bool:
    try:
        document = tomllib.loads(toml.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False
    return bool(document.get("tool", {}).get("alembic"))
