"""A review for people, for machines, and for GitHub's annotations.

The JSON document, whose keys are only ever added to:

    {"format": 1,
     "since": {"ref": "main", "commit": "<sha>"} or null,
     "revisions": ["<id>", ...],                                  the revisions that were linted
     "findings": [{"rule": "...", "level": "error"|"warning", "revision": "<id>"|null, "file": "<path>"|null,
                   "line": 1, "message": "...", "statement": "<SQL or evidence>", "advice": "...",
                   "rewrite": [{"title": "...", "code": "<Python>"}, ...]}, ...],
     "allowed": [the same shape: what an override lets stand],
     "summary": {"errors": 0, "warnings": 0, "allowed": 0}}

Paths are relative to the root of the git repository, with slashes.
"""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from migration_gate.review.findings import Finding, Level
from migration_gate.review.lint import Review

_RED, _YELLOW, _BOLD, _DIM, _END = "\033[31m", "\033[33m", "\033[1m", "\033[2m", "\033[0m"
_WIDTH = 100


def as_json(review: Review) -> str:
    """The document that stands above."""
    return json.dumps(
        {
            "format": 1,
            "since": None if review.ref is None else {"ref": review.ref, "commit": review.commit},
            "revisions": list(review.revisions),
            "findings": [_as_dict(finding, review.root) for finding in review.findings],
            "allowed": [_as_dict(finding, review.root) for finding in review.allowed],
            "summary": {
                "errors": review.count(Level.ERROR),
                "warnings": review.count(Level.WARNING),
                "allowed": len(review.allowed),
            },
        },
        indent=2,
        ensure_ascii=False,
    )


def _as_dict(finding: Finding, root: Path) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "level": str(finding.level),
        "revision": finding.revision,
        "file": _relative(finding, root),
        "line": finding.line,
        "message": finding.message,
        "statement": finding.statement,
        "advice": finding.advice,
        "rewrite": [{"title": code.title, "code": code.code} for code in finding.rewrite],
    }


def _relative(finding: Finding, root: Path) -> str | None:
    if finding.file is None:
        return None
    path = Path(finding.file)
    path = path.resolve() if path.exists() else path
    root = root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def as_github(review: Review) -> str:
    """One workflow command a finding, for an annotation at the line it is about."""
    return "\n".join(_annotation(finding, review.root) for finding in review.findings)


def _annotation(finding: Finding, root: Path) -> str:
    where = {"file": _relative(finding, root), "line": str(finding.line), "title": finding.rule}
    properties = ",".join(
        f"{name}={_property(value)}" for name, value in where.items() if value and (finding.file or name == "title")
    )
    text = [finding.message, finding.advice, *(f"{code.title}:\n{code.code}" for code in finding.rewrite)]
    return f"::{finding.level} {properties}::{_data(chr(10).join(filter(None, text)).strip())}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def as_text(review: Review, *, colour: bool = False) -> str:
    """Each finding with what it breaks, the statement, and what to paste instead; the count at the end."""
    paint = _paint if colour else _plain
    printed: set[str] = set()
    parts = [_paragraph(finding, review.root, paint, printed) for finding in review.findings]
    return "\n\n".join([*parts, _count(review, paint)])


def _paint(text: str, code: str) -> str:
    return f"{code}{text}{_END}"


def _plain(text: str, _: str) -> str:
    return text


def _paragraph(finding: Finding, root: Path, paint: Any, printed: set[str]) -> str:
    level = paint(str(finding.level), _RED if finding.level is Level.ERROR else _YELLOW)
    file = _relative(finding, root)
    place = f"  {file}:{finding.line}" if file else ""
    revision = f"  (revision {finding.revision})" if finding.revision else ""
    lines = [f"{level}  {paint(finding.rule, _BOLD)}{place}{revision}"]
    lines.append(textwrap.fill(finding.message, _WIDTH, initial_indent="  ", subsequent_indent="  "))
    if finding.statement:
        shown = finding.statement.strip().splitlines()
        more = [f"… {len(shown) - 6} more lines"] if len(shown) > 7 else []
        lines += [paint(f"    | {line[:200]}", _DIM) for line in [*(shown[:6] if more else shown), *more]]
    if finding.advice:
        lines.append(textwrap.fill(f"Instead: {finding.advice}", _WIDTH, initial_indent="  ", subsequent_indent="  "))
    total = len(finding.rewrite)
    for number, code in enumerate(finding.rewrite, 1):
        title = f"# revision {number} of {total}: {code.title}" if total > 1 else f"# {code.title}"
        again = code.code in printed
        lines += ["", paint(f"    {title}{' (as above)' if again else ''}", _BOLD)]
        lines += [] if again else [textwrap.indent(code.code.rstrip(), "    ")]
        printed.add(code.code)
    return "\n".join(lines)


def _count(review: Review, paint: Any) -> str:
    errors, warnings = review.count(Level.ERROR), review.count(Level.WARNING)
    since = f" since {review.ref} ({(review.commit or '')[:12]})" if review.ref else ""
    if not review.revisions:
        of = f"no new revisions{since}"
    else:
        count = len(review.revisions)
        of = f"{count} {'new ' if review.ref else ''}revision{'s' * (count != 1)}{since}"
    told = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    if review.allowed:
        told.append(f"{len(review.allowed)} allowed by comments")
    return f"{of}: {paint(', '.join(told) or 'nothing found', _BOLD)}"
