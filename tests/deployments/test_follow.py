"""What becomes of a command that nobody watches any more, or that somebody interrupts."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from stack.cli import main
from stack.deploy import record as records
from stack.deploy.follow import do
from stack.deploy.record import Record, Result
from stack.deploy.steps import Listen, Steps


class Unread(io.StringIO):
    """A pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_work_whose_progress_nobody_reads_any_more_is_done_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    done = []

    def work(listen: Listen) -> Record:
        with Steps(listen).step("start", "app-1"):
            done.append("started")
        done.append("ended")
        return Record(1, "deploy", "new", "old", result=Result.SUCCEEDED)

    monkeypatch.setattr(sys, "stderr", Unread())

    assert do(work, as_json=False) == 0
    assert done == ["started", "ended"]


def test_ctrl_c_never_says_that_what_was_asked_for_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Path) -> list[Record]:
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "read", interrupted)

    assert main(["deployments", "--data", f"{tmp_path}"]) == 130
