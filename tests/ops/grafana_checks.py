"""What must hold of every dashboard, read from the file that Grafana reads, and not from what wrote it.

Each check yields the faults that it finds, a sentence each, and is proven to find what it looks for by a test that
breaks a board. Grafana itself is not run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator

from tests.ops.grafana_json import NAMES, Json, panels, targets, variables
from tests.ops.grafana_units import UNITS
from tests.processes import ROOT

GRID_WIDTH = 24
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
KINDS = {"timeseries", "stat", "state-timeline", "table", "text"}
GRAFANAS_OWN = {"__rate_interval", "__interval", "__range"}
# A counter, and what follows it and its selector.
COUNTER = re.compile(r"\b([\w:]+(?:_(?:total|count|sum|bucket)|:sum))\b(?:\{[^}]*\})?(.?)")
RUNBOOK = re.compile(r"/public/runbooks/(\w+)\.md")

# By what series may be told apart. None of them can hold a person's data.
LABELS = {
    "alertname", "alertstate", "severity", "code", "service", "env", "instance", "job", "version", "commit",
    "schema_heads", "le", "status", "handler", "method", "reason", "state", "kind", "operation", "result",
    "rule_group", "integration",
}  # fmt: skip

Check = Callable[[Json], Iterator[str]]


def is_one_of_grafana_11(board: Json) -> Iterator[str]:
    if board["schemaVersion"] < 39:
        yield "its schema is older than Grafana 11"
    if board["uid"] not in {f"taskmanager-{name}" for name in NAMES}:
        yield f"its uid {board['uid']} is none that links lead to"
    if board["editable"] or board.get("id"):
        yield "it can be edited, or bears the number of one installation"
    if "taskmanager" not in board["tags"]:
        yield "it lacks the tag by which the boards find each other"
    for panel in panels(board):
        if panel["type"] not in KINDS:
            yield f"{panel['title']}: {panel['type']} is no panel of Grafana's that these tests know"


def asks_the_datasource_by_its_fixed_uid(board: Json) -> Iterator[str]:
    if "${DS_" in json.dumps(board) or "__inputs" in board:
        yield "it is an export, whose datasource somebody would have to fill in"
    asking = [*(panel for panel in panels(board) if panel["type"] != "text"), *board["templating"]["list"]]
    asking += [target for panel in panels(board) for target in panel.get("targets", ())]
    asking += [annotation for annotation in board["annotations"]["list"] if not annotation.get("builtIn")]
    for one in asking:
        if one.get("type") != "textbox" and one.get("datasource") != DATASOURCE:
            yield f"{one.get('title') or one.get('name') or one.get('expr')}: another datasource"


def has_a_place_for_every_panel(board: Json) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] < 0 or place["w"] < 1 or place["h"] < 1 or place["x"] + place["w"] > GRID_WIDTH:
            yield f"{panel['title']}: outside the grid"
        cells = [
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        ]
        yield from {f"{panel['title']}: over {taken[cell]}" for cell in cells if cell in taken}
        taken |= dict.fromkeys(cells, panel["title"])


def names_every_panel_once(board: Json) -> Iterator[str]:
    for what, values in (
        ("number", [panel["id"] for panel in board["panels"]]),
        ("title", [panel["title"] for panel in panels(board)]),
    ):
        yield from (f"{what} {value!r} is there {count} times" for value, count in Counter(values).items() if count > 1)
    yield from (f"panel {panel['id']} has no title" for panel in panels(board) if not panel["title"].strip())


def describes_every_panel(board: Json) -> Iterator[str]:
    for panel in panels(board):
        parts = panel["description"].split("\n\n")
        if len(parts) != 3 or len(parts[0]) < 20 or not parts[1].startswith("Normal: "):
            yield f"{panel['title']}: its description does not tell what it shows and what is normal"
        elif not re.fullmatch(r"Alert: [A-Z].+\.|No alert stands on it\.", parts[2]):
            yield f"{panel['title']}: its description does not tell which alert stands on it"


def has_a_unit_for_every_value(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        config = panel["fieldConfig"]
        units = [config["defaults"].get("unit"), *(_property(over, "unit") for over in config["overrides"])]
        yield from (f"{panel['title']}: {unit} is no unit of Grafana's" for unit in units if unit not in {None, *UNITS})
        if config["defaults"].get("unit") is None:
            yield f"{panel['title']}: no unit"
        if not config["defaults"].get("noValue", "").strip():
            yield f"{panel['title']}: no words for when there is nothing to show"


def leads_on_from_every_panel(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        alerts = re.findall(r"(\w+) \((?:critical|warning)\)", panel["description"])
        addresses = [link["url"] for link in panel["links"]]
        if not addresses:
            yield f"{panel['title']}: no link"
        if alerts and not any(RUNBOOK.match(address) for address in addresses):
            yield f"{panel['title']}: an alert and no runbook"
        for address in addresses:
            runbook, other = RUNBOOK.fullmatch(address), re.match(r"/d/([\w-]+)\?", address)
            if runbook and not (ROOT / "docs" / "runbooks" / f"{runbook[1]}.md").is_file():
                yield f"{panel['title']}: docs/runbooks/{runbook[1]}.md does not exist"
            if not runbook and not (other and other[1].removeprefix("taskmanager-") in NAMES):
                yield f"{panel['title']}: {address} leads nowhere"


def says_in_words_what_a_colour_says(board: Json) -> Iterator[str]:
    for panel in panels(board):
        if panel["type"] == "text":
            continue
        defaults, overrides = panel["fieldConfig"]["defaults"], panel["fieldConfig"]["overrides"]
        steps = defaults["thresholds"]["steps"]
        values = [step["value"] for step in steps[1:]]
        if steps[0]["value"] is not None or values != sorted(values):
            yield f"{panel['title']}: its thresholds do not rise from the first"
        legends = [target["legendFormat"] for target in panel["targets"]]
        written = [legend for legend in legends if legend.startswith("limit ")]
        verdicts = [over for over in overrides if over["matcher"]["options"] == "verdict"]
        if values and len(written) != len(values) and not ("verdict" in legends and verdicts):
            yield f"{panel['title']}: a limit is a colour alone"
        for mappings in [defaults["mappings"], *(_property(over, "mappings") or [] for over in overrides)]:
            yield from (f"{panel['title']}: {fault}" for fault in _colours_without_words(mappings))


def _colours_without_words(mappings: list[Json]) -> Iterator[str]:
    words: dict[str, str] = {}
    for mapping in mappings:
        options = mapping["options"]
        for result in [options["result"]] if mapping["type"] == "special" else options.values():
            if not result.get("text", "").strip():
                yield "a value is a colour alone"
            elif words.setdefault(result["text"], result["color"]) != result["color"]:
                yield f"{result['text']!r} has two colours"


def _property(override: Json, name: str) -> object:
    return next((each["value"] for each in override["properties"] if each["id"] == name), None)


def divides_no_lifetime_counters(board: Json) -> Iterator[str]:
    """A counter's value since the process began tells of last week; what is shown must be its rate or increase."""
    for target in targets(board):
        for metric, following in re.findall(
            r"\b(\w+_(?:total|count|sum|bucket))\b(?:\{[^}]*\})?(.?)", target.expression
        ):
            if following != "[":
                yield f"{target.panel}: {metric} is read without a window"


def defines_the_variables_that_it_uses(board: Json) -> Iterator[str]:
    asked = [target.expression for target in targets(board)]
    asked += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    asked += [annotation["expr"] for annotation in board["annotations"]["list"] if "expr" in annotation]
    shown = [panel["options"]["content"] for panel in panels(board) if panel["type"] == "text"]
    defined = {variable["name"] for variable in board["templating"]["list"]}
    used = {name for expression in asked for name in variables(expression)} - GRAFANAS_OWN
    yield from (f"${name} is not defined" for name in sorted(used - defined))
    offered = used | {name for content in shown for name in variables(content)}
    yield from (f"${name} can be chosen and changes nothing" for name in sorted(defined - offered))


def tells_series_apart_by_harmless_labels(board: Json) -> Iterator[str]:
    for target in targets(board):
        grouped = re.findall(r"\b(?:by|without|on|ignoring|group_left) ?\(([^)]*)\)", target.expression)
        labels = {label.strip() for group in grouped for label in group.split(",")} - {""}
        labels |= set(re.findall(r"\{\{(\w+)\}\}", target.legend))
        labels |= set(re.findall(r"[{,](\w+)(?:=~|!~|!=|=)\"", target.expression))
        yield from (
            f"{target.panel}: the label {label} is not known to be harmless" for label in sorted(labels - LABELS)
        )


def names_every_line(board: Json) -> Iterator[str]:
    for panel in panels(board):
        named = [target["legendFormat"] for target in panel.get("targets", ())]
        if panel["type"] != "table" and (not all(named) or len(set(named)) < len(named)):
            yield f"{panel['title']}: two lines of one name, or a line without"
        letters = [target["refId"] for target in panel.get("targets", ())]
        if len(set(letters)) < len(letters):
            yield f"{panel['title']}: two queries of one letter"


def marks_alerts_and_deployments(board: Json) -> Iterator[str]:
    marks = {annotation["name"]: annotation.get("expr", "") for annotation in board["annotations"]["list"]}
    for name, metric in (
        ("Critical alerts", "ALERTS"),
        ("Warnings", "ALERTS"),
        ("Deployments", "taskmanager_build_info"),
    ):
        if metric not in marks.get(name, ""):
            yield f"{name} are not marked"


CHECKS: tuple[Check, ...] = (
    is_one_of_grafana_11,
    asks_the_datasource_by_its_fixed_uid,
    has_a_place_for_every_panel,
    names_every_panel_once,
    describes_every_panel,
    has_a_unit_for_every_value,
    leads_on_from_every_panel,
    says_in_words_what_a_colour_says,
    divides_no_lifetime_counters,
    defines_the_variables_that_it_uses,
    tells_series_apart_by_harmless_labels,
    names_every_line,
    marks_alerts_and_deployments,
)
