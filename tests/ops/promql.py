"""Enough of PromQL to find the parts of an expression, each with its place in the text.

The grammar is that of Prometheus' manual, "Querying basics" and "Operators", as far as the rules use it: no subqueries,
no `@`. What is not known is refused, so that no part of a rule is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<duration>\d+(?:ms|[smhdwy])(?:\d+(?:ms|[smhdwy]))*)
      | (?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)
      | (?P<name>[A-Za-z_:][A-Za-z0-9_:]*)
      | (?P<sign>==|!=|=~|!~|<=|>=|[-+*/%<>=(){}\[\],])""",
    re.VERBOSE,
)
_AGGREGATIONS = frozenset({"sum", "max", "min", "avg", "count", "group"})
_PRECEDENCE = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", "<=", "<", ">=", ">"),
    ("+", "-"),
    ("*", "/", "%"),
)
COMPARISONS = frozenset(_PRECEDENCE[2])
SETS = frozenset({"or", "and", "unless"})


class NotUnderstood(ValueError):
    """The expression is wrong, or uses more of PromQL than is read here."""


@dataclass(frozen=True)
class Span:
    """A part of the text, from `start` up to `end`."""

    start: int
    end: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


@dataclass(frozen=True)
class Matcher:
    span: Span
    label: str
    sign: Span
    value: Span


@dataclass(frozen=True)
class Node:
    span: Span

    @property
    def children(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True)
class Number(Node):
    value: float


@dataclass(frozen=True)
class Selector(Node):
    name: Span
    matchers: tuple[Matcher, ...] = ()
    window: Span | None = None
    offset: Span | None = None


@dataclass(frozen=True)
class Call(Node):
    name: Span
    arguments: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments


@dataclass(frozen=True)
class Aggregation(Node):
    name: Span
    labels: tuple[Span, ...]
    body: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.body,)


@dataclass(frozen=True)
class Binary(Node):
    sign: Span
    matched: tuple[Span, ...]
    left: Node
    right: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)


@dataclass(frozen=True)
class Parenthesis(Node):
    inner: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.inner,)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    span: Span


@dataclass
class _Reader:
    text: str
    tokens: list[_Token] = field(default_factory=list)
    at: int = 0

    def __post_init__(self) -> None:
        position = 0
        while position < len(self.text):
            found = _TOKEN.match(self.text, position)
            if found is None or found.lastgroup is None:
                raise NotUnderstood(f"at {self.text[position : position + 20]!r} of {self.text!r}")
            if found.lastgroup != "space":
                self.tokens.append(_Token(found.lastgroup, found.group(), Span(*found.span())))
            position = found.end()
        self.tokens.append(_Token("end", "", Span(len(self.text), len(self.text))))

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *texts: str, kind: str | None = None) -> _Token:
        token = self.next
        if (texts and token.text not in texts) or (kind is not None and token.kind != kind):
            raise NotUnderstood(f"{texts or kind} expected at {self.text[token.span.start :]!r} of {self.text!r}")
        self.at += 1
        return token

    def may_take(self, *texts: str) -> _Token | None:
        return self.take() if self.next.text in texts else None

    def binary(self, level: int = 0) -> Node:
        if level == len(_PRECEDENCE):
            return self.operand()
        left = self.binary(level + 1)
        while sign := self.may_take(*_PRECEDENCE[level]):
            self.may_take("bool")
            matched = self.labels() if self.may_take("on", "ignoring") else ()
            right = self.binary(level + 1)
            left = Binary(Span(left.span.start, right.span.end), sign.span, matched, left, right)
        return left

    def operand(self) -> Node:
        token = self.next
        if token.kind == "number":
            self.at += 1
            return Number(token.span, float(token.text))
        if token.text == "(":
            self.at += 1
            inner = self.binary()
            return Parenthesis(Span(token.span.start, self.take(")").span.end), inner)
        name = self.take(kind="name")
        if name.text in _AGGREGATIONS:
            labels = self.labels() if self.may_take("by") else ()
            self.take("(")
            body = self.binary()
            return Aggregation(Span(name.span.start, self.take(")").span.end), name.span, labels, body)
        if self.next.text == "(":
            return self.call(name)
        return self.selector(name)

    def call(self, name: _Token) -> Node:
        self.take("(")
        arguments = [] if self.next.text == ")" else [self.binary()]
        while arguments and self.may_take(","):
            arguments.append(self.binary())
        return Call(Span(name.span.start, self.take(")").span.end), name.span, tuple(arguments))

    def selector(self, name: _Token) -> Node:
        matchers, window, offset = [], None, None
        if self.may_take("{"):
            while not self.may_take("}"):
                label = self.take(kind="name")
                sign, value = self.take("=", "!=", "=~", "!~"), self.take(kind="string")
                matchers.append(Matcher(Span(label.span.start, value.span.end), label.text, sign.span, value.span))
                self.may_take(",")
        if self.may_take("["):
            window = self.take(kind="duration").span
            self.take("]")
        if self.may_take("offset"):
            offset = self.take(kind="duration").span
        end = self.tokens[self.at - 1].span.end
        return Selector(Span(name.span.start, end), name.span, tuple(matchers), window, offset)

    def labels(self) -> tuple[Span, ...]:
        self.take("(")
        labels = []
        while not self.may_take(")"):
            labels.append(self.take(kind="name").span)
            self.may_take(",")
        return tuple(labels)


def parse(text: str) -> Node:
    """The expression as a tree. Raises NotUnderstood."""
    reader = _Reader(text)
    node = reader.binary()
    reader.take(kind="end")
    return node


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def selectors(text: str) -> Iterator[Selector]:
    """Every selector of the expression."""
    return (node for node in walk(parse(text)) if isinstance(node, Selector))


def metrics(text: str) -> set[str]:
    """The names of the metrics that the expression asks for."""
    return {selector.name.of(text) for selector in selectors(text)}
