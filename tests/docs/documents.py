"""The documents that people read from the READMEs on."""

from __future__ import annotations

from tests.processes import ROOT

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "migration_gate").glob("*.md")]
    if path.name != "CHANGELOG.md"
)
