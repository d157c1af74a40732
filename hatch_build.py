"""Puts alembic.ini and the migrations inside the package: a folder `alembic` beside it would hide the library."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_INSTALLED = "taskmanager/project"


class MigrationsInside(BuildHookInterface[Any]):
    """Found by hatchling in this file; taskmanager/project_folder.py looks for what it leaves."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":  # a checkout has its own
            build_data["force_include"] |= {name: f"{_INSTALLED}/{name}" for name in ("alembic.ini", "alembic")}
