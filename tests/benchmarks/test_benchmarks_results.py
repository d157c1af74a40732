"""The result file and the picture tell what was measured, and on what."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from benchmarks import chart, report, result_file
from benchmarks.contestants import BRIEF, FASTIFY_PG, LITESTAR, PGBENCH, THIS
from benchmarks.results import Result
from tests.benchmarks import measured

SVG = "{http://www.w3.org/2000/svg}"


def drawn(result: Result) -> ET.Element:
    """The picture, which is well-formed XML or an error."""
    return ET.fromstring(chart.draw(result))  # noqa: S314  it is our own


def test_the_file_tells_the_circumstances(tmp_path: Path) -> None:
    told = json.loads(result_file.write(measured.result(), tmp_path).read_text())

    assert told["machine"]["cores"] == 2
    assert told["machine"]["kernel"] == "Linux 6"
    assert told["versions"]["postgresql"] == "18.6"
    assert told["command"] == "python -m benchmarks"
    assert told["commit"] == "0123456789abcdef"
    assert told["equal_for_all"] == {
        "rows": 100_000,
        "client_connections": 32,
        "pool_size": 32,
        "workers": 1,
        "postgresql": {"fsync": "on"},
    }


def test_the_file_tells_every_figure_and_every_round() -> None:
    told = result_file.as_json(measured.result())

    cell = told["throughput"][THIS]["cells"]["get_one"]
    assert cell["answers_per_s"]["median"] == 15_000
    assert cell["answers_per_s"]["rounds"] == [16_500, 13_500, 15_000]
    assert cell["answers_per_s"]["spread"] == pytest.approx(0.2)
    assert cell["cpu_us_per_answer"]["median"] == pytest.approx(66.7)
    assert cell["times_the_brief"] == 15
    assert told["throughput"][BRIEF]["cells"]["post"]["this_service_is_times"] == 24
    assert told["throughput"][BRIEF]["rss_bytes"]["median"] == 100_000_000
    assert told["paging"]["sorts"]["due_at"]["slower_to_quicker"] == pytest.approx(1.095)
    assert told["cold_start_s"][THIS]["median"] == 0.4
    assert told["overload"]["saturating_connections"] == 2
    assert told["overload"]["loads"]["closed"][0]["refused"] == 100
    assert told["observability"]["cells"]["post"]["on_to_off"]["rounds"] == [0.9, 0.9, 0.9]
    assert told["observability"]["cells"]["post"]["sides"]["off"]["cpu_us_per_answer"]["median"] == 45
    assert told["observability"]["scrapes"] == 2


def test_the_file_tells_a_verdict_for_every_target() -> None:
    targets = result_file.as_json(measured.result())["targets"]

    assert len(targets) == 10 + 4 + 1 + 8 + 1
    assert {target["verdict"] for target in targets} == {"met", "not met"}
    assert all(target["measured"] is not None for target in targets)


def test_what_is_void_or_missing_is_told_and_has_no_figure() -> None:
    result = measured.result()
    assert result.outcomes is not None
    result.outcomes[LITESTAR].void = "of 10 requests, 3 answered with an error"
    result.outcomes[FASTIFY_PG].missing = "node is missing: install it"
    result.missing["overload"] = "something is missing"
    result.overload = None

    told = result_file.as_json(result)
    assert told["void"] == {LITESTAR: "of 10 requests, 3 answered with an error"}
    assert told["missing"] == {FASTIFY_PG: "node is missing: install it", "overload": "something is missing"}
    assert told["throughput"][LITESTAR]["cells"] == {}
    assert told["throughput"][FASTIFY_PG]["standing"] == "missing"
    assert told["overload"] is None


def test_the_picture_is_well_formed_and_holds_the_numbers() -> None:
    result = measured.result()
    root = drawn(result)

    texts = [element.text for element in root.iter(f"{SVG}text")]
    for name, rates in measured.RATES.items():
        assert result.outcomes is not None
        assert texts.count(result.outcomes[name].title) == 3
        for rate in rates:
            assert f"{rate:,.0f}" in texts
    assert any("A processor <x>" in (text or "") for text in texts)


def test_a_bar_is_as_long_as_its_median_says() -> None:
    root = drawn(measured.result())

    first_panel = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class") in ("ours", "bar", "limit")][:5]
    widths = dict(zip(measured.RATES, (float(rect.get("width", "0")) for rect in first_panel), strict=True))
    assert widths[THIS] / widths[BRIEF] == pytest.approx(15, rel=0.02)
    assert widths[PGBENCH] == max(widths.values()) <= chart.BARS


def test_nothing_of_the_picture_is_outside_of_it() -> None:
    root = drawn(measured.result())

    height = float(root.get("height", "0"))
    for element in root.iter():
        assert 0 <= float(element.get("y", "0")) <= height
        assert float(element.get("x", "0")) + float(element.get("width", "0")) <= chart.WIDTH


def test_the_picture_has_colours_for_dark_pages() -> None:
    light, _, dark = chart.draw(measured.result()).partition("@media (prefers-color-scheme: dark)")

    for kind in ("page", "ours", "bar", "quiet"):
        colours = [re.search(rf"\.{kind} {{ fill: (#\w+)", style) for style in (light, dark)]
        assert colours[0]
        assert colours[1]
        assert colours[0][1] != colours[1][1]


def test_the_picture_tells_who_has_no_figure() -> None:
    result = measured.result()
    assert result.outcomes is not None
    result.outcomes[LITESTAR].void = "it lied"

    texts = [element.text for element in drawn(result).iter(f"{SVG}text")]
    assert texts.count("void") == 3
    assert "5,000" not in texts


def test_the_report_names_every_target_and_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    result = measured.result()
    assert result.outcomes is not None
    result.outcomes[LITESTAR].void = "it lied"
    result.missing["paging"] = "wrk is missing: apt-get install wrk"

    report.show(result, Console(width=160))
    told = capsys.readouterr().out

    assert all(target.name in told for target in result.targets())
    assert "VOID litestar: it lied" in told
    assert "MISSING paging: wrk is missing: apt-get install wrk" in told


def test_a_section_that_is_missing_keeps_its_targets_and_tells_why() -> None:
    result = measured.result()
    result.outcomes, result.missing["throughput"] = None, "wrk is missing: apt-get install wrk"
    result.overload, result.failed["overload"] = None, "the server ended by itself"

    told = {target.name: (target.verdict, target.why_not) for target in result.targets()}
    assert len(told) == 10 + 4 + 1 + 8 + 1
    assert told["POST: answers/s to the brief's design"] == ("not measured", "wrk is missing: apt-get install wrk")
    assert told["overload, closed loop: requests lost, broken or failed"][0] == "not measured"
    assert told["overload, open loop: 503 without Retry-After"] == ("not measured", "the server ended by itself")


def test_a_section_that_was_not_asked_for_has_no_targets() -> None:
    result = measured.result()
    result.asked = ("cold-start",)

    assert [target.name for target in result.targets()] == ["cold start, to the brief's design"]
