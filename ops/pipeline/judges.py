"""What a scanner's end means. An exit status alone does not tell whether it could look.

`pip-audit` ends with 0 where its service knew none of the packages, so its report is read. `grype` and `kingfisher`
have statuses of their own for what they found; any other end than those says that they did not get to look.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ops.pipeline.command import NOT_FOUND, TIMED_OUT, Completed
from ops.pipeline.outcome import INCOMPLETE, PASSED, Verdict, failed, not_run

# kingfisher: secrets found; secrets found that a service accepted. The second does not occur, since none is asked.
_SECRETS_FOUND = {200, 205}
# grype: something at the severity of --fail-on, or above.
_VULNERABILITIES_FOUND = 2


def by_status(done: Sequence[Completed]) -> Verdict:
    """0 is success, and everything else a failure; a step's commands end at the first that fails."""
    last = done[-1]
    if last.status == 0:
        return PASSED
    if last.status == INCOMPLETE:
        return not_run("not all of it could be looked at, as the lines above say")
    if last.status == TIMED_OUT:
        return failed(last.last_line)
    if last.status == NOT_FOUND:
        return failed(f"{last.last_line}; `make install` installs what is ours")
    return failed(f"{' '.join(last.command[:4])} ended with {last.status}")


def dependencies(report: Path, done: Sequence[Completed]) -> Verdict:
    """Read pip-audit's report: vulnerable packages, and those that its service did not answer for."""
    try:
        packages: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["dependencies"]
    except (OSError, ValueError, KeyError):
        return not_run(f"pip-audit could not ask for known vulnerabilities: {_shortened(done[-1].last_line)}")
    vulnerable = [package for package in packages if package.get("vulns")]
    if vulnerable:
        return failed(f"known vulnerabilities: {'; '.join(_vulnerabilities(package) for package in vulnerable)}")
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        return not_run(f"nobody answered for {len(unknown)} of {len(packages)} packages: {', '.join(unknown[:5])}")
    if done[-1].status != 0:
        return not_run(f"pip-audit ended with {done[-1].status}: {_shortened(done[-1].last_line)}")
    return Verdict(PASSED.result, f"{len(packages)} packages")


def _vulnerabilities(package: dict[str, Any]) -> str:
    told = [f"{each['id']} (mended in {', '.join(each['fix_versions']) or 'no release'})" for each in package["vulns"]]
    return f"{package['name']} {package['version']}: {', '.join(told)}"


def image(done: Sequence[Completed]) -> Verdict:
    """grype's end: without its database it has looked at nothing."""
    last = done[-1]
    if last.status == 0:
        return PASSED
    if last.status == _VULNERABILITIES_FOUND:
        return failed("the image has vulnerabilities, high or critical, for which there is a mended release")
    return not_run(f"grype ended with {last.status}: {_shortened(last.last_line)}")


def secrets(done: Sequence[Completed]) -> Verdict:
    """kingfisher's ends, of the files and of the history."""
    if any(each.status in _SECRETS_FOUND for each in done):
        return failed("a secret is in the files or in the history: revoke it first, then take it out")
    broken = [each for each in done if each.status != 0]
    return not_run(f"kingfisher ended with {broken[0].status}: {_shortened(broken[0].last_line)}") if broken else PASSED


def _shortened(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:159]}…"
