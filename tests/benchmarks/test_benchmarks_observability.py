"""What observability costs: measured on both sides in turns, and red where the observed side is slow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import observability, programs, report, result_file, throughput
from benchmarks.cells import CELLS
from benchmarks.contestants import Launch, this_service
from benchmarks.failures import Missing, WrongAnswer
from benchmarks.observability import OFF, ON, SIGNALS, Rounds, Side, measure_observability, require_traces
from benchmarks.scraper import Scraper
from benchmarks.series import Series
from benchmarks.signal_sink import SignalSink
from benchmarks.table import Database
from benchmarks.targets import observability_targets
from benchmarks.throughput import CellRun
from stack.postgres import Cluster, temporary_cluster
from stack.process import wait_until
from taskmanager.settings import load_settings
from tests import plain_http
from tests.benchmarks import measured
from tests.processes import free_port, lacking

# The longest list that the contract asks for is of 200.
ROWS = 300

# Everything that the service does for a request in production, and 5 ms of nothing.
SLOWED = """\
import sys
import time

import taskmanager.app
from taskmanager import cli

create_app = taskmanager.app.create_app


def slowed(settings):
    app = create_app(settings)
    record = app.state.front_door._record

    def slow(*told, **more):
        time.sleep(0.005)
        record(*told, **more)

    app.state.front_door._record = slow
    return app


taskmanager.app.create_app = slowed
sys.exit(cli.main(["serve", "--port", sys.argv[1]]))
"""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with temporary_cluster() as cluster:
        yield cluster


@pytest.fixture
def slowed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small table, and an observed side that is slow."""
    try:
        programs.wrk()
    except Missing as missing:
        lacking("wrk", str(missing))
    entry = tmp_path / "slowed.py"
    entry.write_text(SLOWED)

    def launch(python: str, port: int, database: Database, folder: Path) -> Launch:
        return replace(this_service(python, port, database, folder), command=[python, entry, str(port)])

    monkeypatch.setattr(observability, "this_service", launch)
    # A second of a slow service has too few requests for one in a hundred to be among them for sure.
    monkeypatch.setattr(observability, "TRACED_SHARE", 0.5)
    for module in (observability, throughput):
        monkeypatch.setattr(module, "ROWS", ROWS)
    # Or on a busy machine the last in the row would wait for as long as a request may wait at all.
    monkeypatch.setattr(throughput, "CONNECTIONS", 4)


@pytest.mark.usefixtures("slowed")
def test_a_slow_observed_side_turns_the_target_red(cluster: Cluster, tmp_path: Path) -> None:
    told: list[str] = []

    found = measure_observability(cluster, Rounds(rounds=1, seconds=1, warm_up=1), tmp_path, told.append)

    assert found.sides() == ["on", "off"]
    for cell in CELLS:
        kept = found.kept(cell.name)
        assert kept
        assert kept.median < observability_targets(found)[0].bound
    assert len(found.scrapes_ms) >= len(CELLS)
    (target,) = observability_targets(found)
    assert target.verdict == "not met"
    sides = [line.partition(", ")[2].partition("/s")[0].rpartition(" ")[0] for line in told if line.startswith("round")]
    assert sides == [f"{side}: {cell.title}" for cell in CELLS for side in ("on", "off")]


@pytest.mark.parametrize(("least", "verdict"), [(0.85, "met"), (0.849, "not met")])
def test_the_cell_that_keeps_least_is_judged_and_named(least: float, verdict: str) -> None:
    (target,) = observability_targets(measured.observability({"get_one": 0.99, "get_50": least, "post": 0.9}))

    assert target.verdict == verdict
    assert target.measured == pytest.approx(least)
    assert target.name.endswith("worst cell: GET 50")


def test_each_round_has_a_ratio_of_its_own_and_the_middle_one_counts() -> None:
    found = measured.observability({cell.name: 1.0 for cell in CELLS})
    for side, rates in ((ON, (90.0, 50.0, 33.0)), (OFF, (100.0, 100.0, 30.0))):
        found.runs[side.name, "post"] = [CellRun(rate, 1000, 10.0) for rate in rates]

    assert found.kept("post") == Series((0.9, 0.5, 1.1))
    (target,) = observability_targets(found)
    assert target.measured == 0.9


def test_a_cell_without_a_figure_meets_nothing() -> None:
    found = measured.observability({"get_one": 0.99, "get_50": 0.99})

    (target,) = observability_targets(found)
    assert target.verdict == "not measured"


def test_what_a_part_costs_is_what_is_saved_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    result = measured.result()
    found = result.observability
    assert found
    for cell in CELLS:
        found.runs["without request_log", cell.name] = [CellRun(1000.0, 1000, cpu_us) for cpu_us in (48.0, 47.0, 46.5)]

    report.show(result, Console(width=160))
    told = result_file.as_json(result)["observability"]["cells"]["post"]

    assert found.cost_us("without request_log", "post") == pytest.approx(3.0)
    assert "without request_log │    +3.0" in capsys.readouterr().out
    assert told["sides"]["without request_log"]["cpu_us_more_with_everything_on"] == 3.0
    assert told["on_to_off"]["median"] == 0.9


def test_the_variables_switch_the_signals_on() -> None:
    settings = load_settings({"TASKMANAGER_ENV_FILE": ""} | SIGNALS["sentry"](8000))

    assert settings.sentry_dsn == "http://key@127.0.0.1:8000/1"
    assert SIGNALS["traces"](8000)["OTEL_TRACES_SAMPLER_ARG"] == "0.01"


@pytest.mark.parametrize(("side", "received"), [(ON, 0), (OFF, 1)])
def test_spans_that_were_not_sent_or_not_to_be_sent_void_the_section(side: Side, received: int) -> None:
    require_traces(ON, 1)
    require_traces(OFF, 0)

    with pytest.raises(WrongAnswer, match=f"{side.name}: spans were sent {received} times"):
        require_traces(side, received)


def test_the_signals_arrive_somewhere_and_are_counted() -> None:
    with SignalSink() as sink, plain_http.Client(base_url=f"http://127.0.0.1:{sink.port}") as client:
        answers = [
            client.post(path, content=b"{}").status_code for path in ("/api/1/envelope/", "/v1/traces", "/v1/traces")
        ]

    assert answers == [200, 200, 200]
    assert sink.received == {"/api/1/envelope/": 1, "/v1/traces": 2}


def test_what_cannot_be_scraped_under_load_has_no_figure() -> None:
    with SignalSink() as sink:  # takes what is sent, and has nothing to tell
        for port, reason in ((sink.port, "501"), (free_port(), "refused")):
            with pytest.raises(WrongAnswer, match=f"could not be scraped under load.*{reason}"):
                scrape_until_it_ends(Scraper(port, {}))


def scrape_until_it_ends(scraper: Scraper) -> None:
    with scraper:
        assert wait_until(lambda: not scraper.running, 10)
