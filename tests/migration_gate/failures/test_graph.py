"""Migration files that do not fit together: two heads, and three ways to break the graph."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.migration_gate.failures.ferries import HARBOURS, LEAVES_INDEX, SAILINGS, Ferries
from tests.migration_gate.failures.mending import run_printed, solution_in
from tests.migration_gate.failures.traffic import ask, assert_flows
from tests.migration_gate.scratch import succeed


def test_08_two_heads(under_way: Ferries) -> None:
    under_way.sql("aa01", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    under_way.sql("bb02", LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN pier text")
    before = under_way.everything()

    finding = under_way.finding("multiple_heads")
    refused = under_way.gate("upgrade")
    linted = under_way.gate("lint", "--all")

    assert "nothing orders aa01, bb02" in finding["evidence"]
    assert refused.returncode == 3
    assert "the schema's state is multiple_heads" in refused.stderr
    assert solution_in(refused.stderr) == finding["solution"]
    assert linted.returncode == 5
    assert "multiple-heads" in linted.stdout
    assert under_way.everything() == before

    run_printed(under_way, finding["solution"])
    run_printed(under_way, under_way.verdict()["solution"])
    assert_flows(under_way)


def _typo(ferries: Ferries) -> Callable[[], object]:
    path = ferries.path(HARBOURS)
    right = path.read_text()
    path.write_text(right.replace(f"down_revision = {SAILINGS!r}", "down_revision = '3a2f'"))
    return lambda: path.write_text(right)


def _twice(ferries: Ferries) -> Callable[[], object]:
    copy = ferries.path("copied")
    copy.write_text(ferries.path(HARBOURS).read_text())
    return copy.unlink


def _too_long(ferries: Ferries) -> Callable[[], object]:
    """A person shortens the id, as the solution says."""
    name = "add_the_deck_that_passengers_asked_for"
    path = ferries.sql(name, LEAVES_INDEX, "ALTER TABLE ferry.sailing ADD COLUMN deck text")
    return lambda: path.write_text(path.read_text().replace(name, "add_the_deck"))


@pytest.mark.parametrize(
    ("breaks", "fault"),
    [
        (_typo, "3a2f"),
        (_twice, f"Revision {HARBOURS} is present more than once"),
        (_too_long, "'add_the_deck_that_passengers_asked_for' has more than 32 characters"),
    ],
    ids=["a parent that is not there", "an id used twice", "an id too long"],
)
def test_09_files_that_form_no_graph(
    under_way: Ferries, breaks: Callable[[Ferries], Callable[[], object]], fault: str
) -> None:
    before = under_way.everything()
    mend = breaks(under_way)

    verdict = under_way.verdict()
    refused = under_way.gate("upgrade")
    linted = under_way.gate("lint", "--all")
    answer = ask(under_way)

    # What the code needs is not known, and traffic flows as long as its statements run.
    assert (verdict["state"], verdict["servable"]) == ("broken_graph", True)
    assert fault in verdict["evidence"]
    assert verdict["solution"]
    assert (answer.status, answer.state) == (200, "broken_graph")
    assert refused.returncode in {1, 3}
    assert fault in refused.stderr
    assert solution_in(refused.stderr)
    assert "Traceback" not in refused.stderr
    assert linted.returncode == 5
    assert "broken-graph" in linted.stdout or "revision-id-too-long" in linted.stdout
    assert under_way.everything() == before

    mend()
    succeed(under_way.gate("lock"))
    succeed(under_way.gate("upgrade"))
    assert_flows(under_way)
