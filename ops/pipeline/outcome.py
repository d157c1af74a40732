"""How a check or a step ended. There are three ways, since what did not look has found nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

REQUIRE_ALL = "REQUIRE_ALL"


class Result(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Verdict:
    """A result, and in one sentence why, where it is not plain success."""

    result: Result
    why: str = ""


PASSED = Verdict(Result.PASSED)


def failed(why: str) -> Verdict:
    return Verdict(Result.FAILED, why)


def not_run(why: str) -> Verdict:
    return Verdict(Result.NOT_RUN, why)


@dataclass(frozen=True)
class Outcome:
    """What became of one check or step; `seconds` by the wall clock."""

    name: str
    verdict: Verdict
    seconds: float
    output: str = ""


def everything_required() -> bool:
    """Whether whoever started this takes what was not run for a failure, as pipelines do."""
    return os.environ.get(REQUIRE_ALL) == "1"


# Nothing failed, and not everything was looked at. make's targets let it pass, since a machine need not have every
# tool; a step that runs other checks does not.
INCOMPLETE = 3


def exit_status(outcomes: Iterable[Outcome], *, require_all: bool) -> int:
    """0 where all passed, 1 where something failed, INCOMPLETE where something was not run: 1 if all is required."""
    results = {outcome.verdict.result for outcome in outcomes}
    if Result.FAILED in results:
        return 1
    if Result.NOT_RUN in results:
        return 1 if require_all else INCOMPLETE
    return 0
