"""The reader of PromQL finds what is there, and refuses what it does not know."""

from __future__ import annotations

import pytest

from tests.ops.promql import Binary, NotUnderstood, metrics, parse, selectors, walk


def test_each_part_is_found_where_it_stands() -> None:
    text = 'sum by (a, b) (rate(x:y{c="d", e!~"f|g"}[5m] offset 1h)) / ignoring (z) max(up) > 0.05 and vector(1)'
    found = list(selectors(text))

    assert [selector.name.of(text) for selector in found] == ["x:y", "up"]
    assert [matcher.span.of(text) for matcher in found[0].matchers] == ['c="d"', 'e!~"f|g"']
    assert found[0].window is not None
    assert found[0].window.of(text) == "5m"
    assert found[0].offset is not None
    assert found[0].offset.of(text) == "1h"
    assert metrics(text) == {"x:y", "up"}


@pytest.mark.parametrize(
    ("text", "left", "right"),
    [
        ("a and b or c", "a and b", "c"),
        ("a or b and c", "a", "b and c"),
        ("a unless b and c", "a unless b", "c"),
        ("a > 2 * 3 and on (x) b == 1", "a > 2 * 3", "b == 1"),
        ("a > 2 * 3", "a", "2 * 3"),
        ("a - b - c", "a - b", "c"),
        ("a - b * c", "a", "b * c"),
        ("time() - a", "time()", "a"),
    ],
)
def test_operators_bind_as_the_manual_says(text: str, left: str, right: str) -> None:
    node = parse(text)

    assert isinstance(node, Binary)
    assert (node.left.span.of(text), node.right.span.of(text)) == (left, right)


@pytest.mark.parametrize("text", ["a[5m:1m]", "a @ 1", "sum(a", "a b", "{x='y'}", "a ! b", "-a", ""])
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(NotUnderstood):
        list(walk(parse(text)))
