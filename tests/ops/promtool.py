"""Prometheus' own checker and test runner."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

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


def promtool_failures(tests: Sequence[Path]) -> set[Path]:
    """Those of these files of tests that fail, each on the rules that it names; one process runs them all."""
    if not tests:
        return set()
    ended = promtool("test", "rules", *map(str, tests), timeout_s=180.0 + len(tests))
    # On standard output it names each file, and says SUCCESS beneath; what fails is told on the other channel.
    passed = set(re.findall(r"^Unit Testing:\s+(\S.*)\n\s+SUCCESS$", ended.stdout, re.MULTILINE))
    begun = re.findall(r"^Unit Testing:\s+(\S.*)$", ended.stdout, re.MULTILINE)
    assert begun == [str(test) for test in tests], ended.stdout + ended.stderr
    assert (ended.returncode == 0) == (len(passed) == len(tests)), ended.stdout + ended.stderr
    return {test for test in tests if str(test) not in passed}
