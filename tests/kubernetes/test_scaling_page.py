"""The figures of docs/scaling.md are those of the recorded run, and its sums come out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import growth, table
from tests.processes import ROOT

PAGES = [ROOT / "docs/scaling.md", ROOT / "docs/fr/scaling.md"]
RECORDED = json.loads((ROOT / "benchmarks/results/result.json").read_text())


def numbers(page: Path) -> set[str]:
    """Every number of a page, as English writes it."""
    text = page.read_text().replace("\N{NARROW NO-BREAK SPACE}", ",")
    if page.parent.name == "fr":
        text = re.sub(r"(\d),(\d{1,2})(?!\d)", r"\1.\2", text)
    return set(re.findall(r"\d+(?:[.,]\d+)*", text))


@pytest.mark.parametrize("page", PAGES, ids=["en", "fr"])
def test_the_connections_add_up_and_fit(page: Path) -> None:
    sums = r"\| (\d+) \| (\d+) \| (\d+)\s*: (\d+) x (\d+) \+ (\d+) = (\d+) \|"
    rows = re.findall(sums, page.read_text().replace("\N{MULTIPLICATION SIGN}", "x"))

    assert len(rows) == 4
    for row in rows:
        most, pool, pods, with_one_more, each, others, total = map(int, row)
        assert (with_one_more, each) == (pods + 1, pool + 2)
        assert with_one_more * each + others == total <= most
        assert total + each > most, "one pod more would fit"


@pytest.mark.parametrize("page", PAGES, ids=["en", "fr"])
def test_recorded_figures_are_those_of_the_recorded_run(page: Path) -> None:
    told = numbers(page)

    for contestant, cells in (
        ("taskmanager", ("get_one", "get_50", "post")),
        ("pgbench", ("get_one", "get_50", "post")),
    ):
        for cell in cells:
            assert f"{RECORDED['throughput'][contestant]['cells'][cell]['answers_per_s']['median']:,.0f}" in told
    for cell in ("get_one", "get_50", "post"):
        spent = RECORDED["throughput"]["taskmanager"]["cells"][cell]["cpu_us_per_answer"]["median"]
        assert f"{spent:.0f}" in told
        # What a pod gives at the autoscaler's 0.6 of a core, to the hundred.
        reckoned = 0.6e6 / round(spent)
        assert any(abs(float(number.replace(",", "")) - reckoned) <= 50 for number in told), (cell, reckoned)


def test_both_languages_tell_the_same_numbers() -> None:
    english, french = map(numbers, PAGES)

    assert english ^ french <= {"0013"}


def test_what_grows_is_counted_and_a_unique_id_is_refused_across_partitions() -> None:
    with table.server() as cluster:
        found = growth.measure(cluster, 2000)

    assert found["tasks"] == 2000
    assert found["pages read"]["one task"] < found["pages read, by month"]["one task"]
    assert "must include all partitioning columns" in found["a primary key of id alone, by month"]
    assert found["bytes of the log a new task"] > found["table bytes a task"] > 100
