"""Where alembic.ini and the migrations are: beside the package in a checkout, inside it where it is installed."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

PROJECT_FOLDER = _PACKAGE.parent if (_PACKAGE.parent / "alembic.ini").is_file() else _PACKAGE / "project"
"""Holds alembic.ini and the folder alembic/ with its revisions.lock."""
