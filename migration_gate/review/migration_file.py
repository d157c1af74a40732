"""What a migration file says before anything of it runs: ids, the shape of its downgrade, and overrides.

Read with `ast` and `tokenize` alone, since files of another commit cannot be imported beside those of this one.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from enum import Enum

_ALLOW = re.compile(r"#\s*gate:\s*allow\b\s*(?P<rules>[\w\-, ]*?)\s*(?:\bbecause\b\s*(?P<reason>.*))?$")


class Downgrade(Enum):
    """What a downgrade function is made of."""

    UNDOES = "statements"
    EMPTY = "nothing"
    EXPLAINED = "a docstring that says why there is nothing to undo"
    RAISES = "raises"


@dataclass(frozen=True)
class Override:
    """`# gate: allow RULE because REASON`. It stands for lines `first` to `last`, or for the whole file."""

    rules: tuple[str, ...]
    reason: str
    line: int
    first: int
    last: int
    whole_file: bool


@dataclass(frozen=True)
class MigrationFile:
    """A migration file as text. `revision` is None in a file that is no migration."""

    source: str
    revision: str | None
    parents: tuple[str, ...]
    revision_line: int
    downgrade: Downgrade
    downgrade_line: int
    overrides: tuple[Override, ...]


def read_migration(source: str) -> MigrationFile:
    """Read a migration file's text; one that is not Python gives a file without a revision."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return MigrationFile(source, None, (), 1, Downgrade.UNDOES, 1, ())
    assigned = dict(_assignments(tree))
    revision, line = assigned.get("revision", (None, 1))
    parents = [
        parent for name in ("down_revision", "depends_on") for parent in _texts(assigned.get(name, (None, 1))[0])
    ]
    downgrade, downgrade_line = _downgrade(tree)
    return MigrationFile(
        source=source,
        revision=revision if isinstance(revision, str) else None,
        parents=tuple(parents),
        revision_line=line,
        downgrade=downgrade,
        downgrade_line=downgrade_line,
        overrides=tuple(_overrides(source, tree)),
    )


def _assignments(tree: ast.Module) -> list[tuple[str, tuple[object, int]]]:
    found = []
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                try:
                    found.append((target.id, (ast.literal_eval(value), node.lineno)))
                except ValueError:  # put together at run time: nothing is known of it here
                    continue
    return found


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, (tuple, list, set)) else ()


def _downgrade(tree: ast.Module) -> tuple[Downgrade, int]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "downgrade":
            documented = ast.get_docstring(node) is not None
            body = [each for each in node.body[documented:] if not _does_nothing(each)]
            if not body:
                return (Downgrade.EXPLAINED if documented else Downgrade.EMPTY), node.lineno
            return (Downgrade.RAISES if isinstance(body[0], ast.Raise) else Downgrade.UNDOES), node.lineno
    return Downgrade.EMPTY, 1


def _does_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Return):
        return node.value is None or isinstance(node.value, ast.Constant)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _overrides(source: str, tree: ast.Module) -> list[Override]:
    lines = source.splitlines()
    found = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = _ALLOW.match(token.string) if token.type == tokenize.COMMENT else None
        if match:
            line, column = token.start
            rules = tuple(re.findall(r"[\w-]+", match["rules"]))
            first, last = _covered(tree, lines, line)
            reason = (match["reason"] or "").strip()
            found.append(Override(rules, reason, line, first, last, column == 0))
    return found


def _covered(tree: ast.Module, lines: list[str], comment: int) -> tuple[int, int]:
    """The lines of the statement that a comment stands in, or of the one that follows the block of comments."""
    spans = [_span(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    line = comment
    if lines[comment - 1].lstrip().startswith("#"):
        inside = [(first, last) for first, last in spans if first < comment <= last]
        if inside:
            return max(inside)
        while line <= len(lines) and lines[line - 1].lstrip().startswith("#"):
            line += 1
    around = [(first, last) for first, last in spans if first <= line <= last]
    return max(around, default=(line, line))


def _span(node: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement; of a compound one, those of its head."""
    if not hasattr(node, "body"):
        return node.lineno, node.end_lineno or node.lineno
    head = [
        each
        for child in ast.iter_child_nodes(node)
        if not isinstance(child, (ast.stmt, ast.excepthandler, ast.match_case))
        for each in ast.walk(child)
    ]
    return node.lineno, max([node.lineno, *(getattr(each, "end_lineno", None) or 0 for each in head)])
