"""Prometheus, Alertmanager and their tools, where this machine has them."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.monitoring import Programs, ProgramsMissing, find_programs
from tests.processes import lacking

_PACKAGES = "install Debian's packages prometheus and prometheus-alertmanager"


def tool(name: str) -> Path:
    """promtool or amtool; without it the test is skipped, or fails where everything is required."""
    found = shutil.which(name)
    if found is None:
        lacking(name, _PACKAGES)
    return Path(found)


def monitoring_programs() -> Programs:
    """Prometheus and Alertmanager; without them the test is skipped, or fails where everything is required."""
    try:
        return find_programs()
    except ProgramsMissing as missing:
        lacking(missing.reason, _PACKAGES)
