"""Mutants that no data can tell from their rule, each with the reason."""

from __future__ import annotations

EQUIVALENT: dict[str, str] = {}
