"""Prometheus' own checker and test runner."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.processes import lacking


def promtool(*arguments: str, timeout_s: float = 180.0) -> subprocess.CompletedProcess[str]:
    """Run it to its end; what it says is kept, its exit status is not judged."""
    if shutil.which("promtool") is None:
        lacking("promtool", "it comes with Prometheus: apt-get install prometheus")
    # One processor each: several run at once, and Go's collector would take them all.
    environment = os.environ | {"GOMAXPROCS": "1", "GOGC": "400"}
    return subprocess.run(
        ("promtool", *arguments), env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
