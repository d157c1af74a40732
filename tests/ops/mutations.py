"""Rules with one fault each: what a slip of the hand, or a well-meant simplification, would make of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.ops.promql import (
    COMPARISONS,
    Aggregation,
    Binary,
    Call,
    Matcher,
    Node,
    Number,
    Selector,
    Span,
    parse,
    walk,
)
from tests.ops.rule_files import Rule

_COMPARISON = {
    ">": (">=", "<"),
    "<": ("<=", ">"),
    ">=": (">", "<"),
    "<=": ("<", ">"),
    "==": ("!=",),
    "!=": ("==",),
}
_ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*"}
_AGGREGATION = {"sum": "max", "max": "min", "min": "max", "avg": "max"}
# delta() takes a counter that a restart has set back for one that fell.
_FUNCTION = {
    "increase": "delta",
    "rate": "delta",
    "changes": "resets",
    "max_over_time": "min_over_time",
    "min_over_time": "max_over_time",
    "avg_over_time": "max_over_time",
    "absent_over_time": "present_over_time",
}
_REMOVABLE = frozenset({"clamp_min"})
_NEGATED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@dataclass(frozen=True)
class Mutant:
    """A rule with one fault. `operator` is the kind of fault, `detail` which one of its kind it is."""

    rule: Rule
    operator: str
    detail: str
    body: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.rule.id}: {self.operator}: {self.detail}"


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Every mutant of the rule, each once."""
    seen = {rule.expr}
    for operator, detail, expr in of_expression(rule.expr):
        if expr not in seen:
            seen.add(expr)
            yield Mutant(rule, operator, detail, {**rule.body, "expr": expr})
    for key in ("for", "keep_firing_for"):
        if duration := rule.body.get(key):
            yield Mutant(rule, key, "removed", {k: v for k, v in rule.body.items() if k != key})
            yield Mutant(rule, key, "doubled", {**rule.body, key: _times(duration, 2)})
    for key in ("labels", "annotations"):
        for name, text in rule.body.get(key, {}).items():
            changed = {**rule.body[key], name: f"{text}x"}
            yield Mutant(rule, key, f"{name} changed", {**rule.body, key: changed})


def of_expression(text: str) -> Iterator[tuple[str, str, str]]:
    """Operator, detail and text of every mutant of an expression."""
    for node in walk(parse(text)):
        for operator, span, replacement in _of_node(node, text):
            mutated = text[: span.start] + replacement + text[span.end :]
            line = " ".join(span.of(text).split())
            shown = " ".join(replacement.split()) or "nothing"
            yield operator, f"@{span.start} {_short(line)} -> {_short(shown)}", mutated


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:36]} ... {text[-20:]}"


def _of_node(node: Node, text: str) -> Iterator[tuple[str, Span, str]]:
    match node:
        case Number():
            yield from _numbers(node, text)
        case Selector():
            yield from _of_selector(node, text)
        case Aggregation():
            yield "aggregation dropped", node.span, f"({node.body.span.of(text)})"
            if other := _AGGREGATION.get(node.name.of(text)):
                yield "aggregation swapped", node.name, other
            for label in node.labels:
                yield "label dropped from by()", _with_comma(label, text), ""
        case Call():
            name = node.name.of(text)
            if other := _FUNCTION.get(name):
                yield "function swapped", node.name, other
            if name in _REMOVABLE:
                yield "function removed", node.span, f"({node.arguments[0].span.of(text)})"
        case Binary():
            yield from _of_binary(node, text)


def _numbers(node: Number, text: str) -> Iterator[tuple[str, Span, str]]:
    """Looser and tighter by a step that means something: one for a small count, a tenth for all else."""
    value = node.value
    step = 1.0 if value == int(value) and value <= 20 else abs(value) / 10
    for changed in (value - step, value + step):
        shown = f"{changed:.10g}"
        yield "threshold", node.span, f"({shown})" if changed < 0 else shown


def _of_selector(node: Selector, text: str) -> Iterator[tuple[str, Span, str]]:
    yield "metric renamed", node.name, f"{node.name.of(text)}_of_old"
    for span in filter(None, (node.window, node.offset)):
        yield "window", span, _times(span.of(text), 0.5)
        yield "window", span, _times(span.of(text), 2)
    for matcher in node.matchers:
        yield "matcher dropped", _with_comma(matcher.span, text), ""
        yield "matcher negated", matcher.sign, _NEGATED[matcher.sign.of(text)]
        yield from _alternatives(matcher, text)


def _alternatives(matcher: Matcher, text: str) -> Iterator[tuple[str, Span, str]]:
    value = matcher.value.of(text)
    alternatives = value[1:-1].split("|")
    if len(alternatives) > 1:
        for each in alternatives:
            left = "|".join(other for other in alternatives if other != each)
            yield "alternative dropped", matcher.value, f'"{left}"'


def _of_binary(node: Binary, text: str) -> Iterator[tuple[str, Span, str]]:
    sign, left, right = node.sign.of(text), node.left.span.of(text), node.right.span.of(text)
    if sign in COMPARISONS:
        for other in _COMPARISON[sign]:
            yield "comparison", node.sign, other
    elif sign in _ARITHMETIC:
        yield "arithmetic swapped", node.sign, _ARITHMETIC[sign]
    else:
        yield "arm removed", node.span, left
        if sign == "unless":
            yield "set operator swapped", node.sign, "and"
        else:
            yield "arm removed", node.span, right
    for label in node.matched:
        yield "label dropped from on()", _with_comma(label, text), ""


def _with_comma(span: Span, text: str) -> Span:
    """The span of an element of a list, and the comma that would be left over."""
    if after := re.match(r"\s*,\s*", text[span.end :]):
        return Span(span.start, span.end + after.end())
    if before := re.search(r"\s*,\s*$", text[: span.start]):
        return Span(before.start(), span.end)
    return span


def _times(duration: str, factor: float) -> str:
    parts = re.findall(r"(\d+)(ms|[smhdw])", duration)
    total_ms = int(sum(int(number) * _UNITS_MS[unit] for number, unit in parts) * factor)
    return f"{total_ms // 1000}s" if total_ms % 1000 == 0 else f"{total_ms}ms"
