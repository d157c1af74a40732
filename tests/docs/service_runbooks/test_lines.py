"""No line of the service's runbooks goes untyped: each is run in its scene, or listed as one that no test can run."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.docs.runbook_codes import SERVICE_CODES
from tests.docs.service_runbooks import platform_commands
from tests.docs.service_runbooks.platform_commands import LISTED, PLATFORM
from tests.docs.service_runbooks.runbook import ENGLISH, Runbook, lines
from tests.docs.service_runbooks.scenes import FURTHER, SCENES

# What a page tells its reader to set while reading.
SET_ON_THE_WAY = {"PID", "REPLICA", "TASKMANAGER_BACKUP_FOLDER", "TASKMANAGER_DISK_FOLDER"}

each_code = pytest.mark.parametrize("code", SERVICE_CODES)


def test_every_code_has_its_scene() -> None:
    assert sorted(SCENES) == SERVICE_CODES
    assert {code for code, _ in FURTHER.values()} <= set(SERVICE_CODES)


@each_code
def test_every_line_stands_in_a_part_that_is_played(code: str) -> None:
    runbook = Runbook(code)

    assert runbook.every_line() == [*runbook.confirm, *runbook.mend, *runbook.mended]
    assert any(line.tells for line in runbook.confirm)
    assert any(line.expected is not None for line in runbook.mended)


def test_what_is_not_run_is_listed_and_is_nothing_else() -> None:
    found = {
        text
        for code in SERVICE_CODES
        for text in (*(line.text for line in Runbook(code).every_line()), *Runbook(code).in_sentences)
        if text.split(maxsplit=1)[0] in PLATFORM
    }

    assert found == LISTED


@pytest.mark.parametrize("line", sorted(LISTED))
def test_what_is_not_run_can_be_parsed(line: str) -> None:
    platform_commands.parse(line)
    subprocess.run(["bash", "-n", "-c", line], check=True)


@pytest.mark.parametrize("line", ["kubectl restart pods", "docker compose up --detached", "kubectl scale --to=2"])
def test_what_cannot_be_parsed_is_seen(line: str) -> None:
    with pytest.raises(ValueError, match="no such"):
        platform_commands.parse(line)


@each_code
def test_every_variable_is_one_that_the_reader_was_told_to_set(code: str) -> None:
    index = (ENGLISH / "README.md").read_text(encoding="utf-8")
    exports = next(iter(re.findall(r"^```sh\n((?:export .*\n)+)```$", index, re.MULTILINE)))
    told = set(re.findall(r"^export (\w+)=", exports, re.MULTILINE))

    used = {name for line in lines(Runbook(code).text) for name in re.findall(r"\$\{?([A-Z_]+)", line.text)}
    assert used <= told | SET_ON_THE_WAY
    assert all(f"`{name}`" in index for name in SET_ON_THE_WAY)
