"""The refusal as a page for people: what disagrees, who is at work, what to run. It gives way by itself.

HTML and a style sheet, nothing else: no script, nothing from elsewhere. It names revisions and commands, and neither
the database nor its server nor a role. It is asked for again by the Refresh header (HTML Standard, "shared declarative
refresh steps") and not by a meta element, which accessibility checkers rightly hold against a page of more than this.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from html import escape

from migration_gate.observed import Running
from migration_gate.page_style import STYLE, STYLE_SOURCE
from migration_gate.page_texts import ENGLISH, LANGUAGES, Words
from migration_gate.states import State
from migration_gate.status import SchemaStatus
from migration_gate.watch import Verdict

# A bar that moves is looked at; a command wants to be read and copied.
REFRESH_WHILE_MIGRATING_S = 2
REFRESH_S = 5

# Of a long list the first are named, and the last one, which is where the code is.
_NAMED = 7

_DAY = timedelta(days=1)

PAGE_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"vary", b"Accept, Accept-Language"),
    (
        b"content-security-policy",
        f"default-src 'none'; style-src {STYLE_SOURCE}; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'".encode(),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

# What is to be typed as it stands, inside a sentence or by itself.
_COMMAND = re.compile(r"\b(?:alembic|migration-gate|taskmanager|REINDEX)(?: [\w\"./=-]+)*(?<![.])")

_SIGN = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"'
    ' aria-hidden="true" focusable="false"><path d="M5 9.5h14M5 14.5h14{stroke}"/></svg>'
)
_EQUAL, _NOT_EQUAL = _SIGN.format(stroke=""), _SIGN.format(stroke="M15.5 5l-7 14")

# Where these forbid traffic, the revisions of the database may not have been read at all.
_BLIND = frozenset({State.UNREACHABLE, State.PRIVILEGES_MISSING, State.WRONG_DATABASE})


def refresh_interval_s(verdict: Verdict) -> int:
    """After how many seconds the page asks again."""
    return REFRESH_WHILE_MIGRATING_S if verdict.running else REFRESH_S


def page(verdict: Verdict, language: str = "en", now: datetime | None = None) -> bytes:
    """The whole document. `language` is one of `page_texts.LANGUAGES`; `now` an aware time, the present one if None."""
    words, status = LANGUAGES[language], verdict.status
    now = now or datetime.now(UTC)
    title = escape(words.titles[status.state])
    parts = [
        f'<p class="eyebrow"><i class="dot"></i>{words.eyebrow}<code>{escape(status.state.value)}</code></p>',
        f"<h1>{title}</h1>",
        f'<p class="lead">{_told(status.cause, ENGLISH.causes[status.state], words.causes[status.state])}</p>',
        "" if _knows_nothing(status) else _sides(status, words),
        _work(verdict.running, words, now) if verdict.running else _remedy(status, words),
        *_lists(status, verdict.running, words),
        _foot(verdict, words, now),
    ]
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>"
    ).encode()


def _told(given: str, usual: str, translated: str) -> str:
    """The translation of a sentence that is the usual one of its state; another stays as it is, and English."""
    if given in {usual, translated}:
        return _with_commands(translated)
    text = _with_commands(given)
    return text if usual == translated else f'<span lang="en">{text}</span>'


def _with_commands(sentence: str) -> str:
    html, end = "", 0
    for match in _COMMAND.finditer(sentence):
        html += f"{escape(sentence[end : match.start()])}<code>{escape(match[0])}</code>"
        end = match.end()
    return html + escape(sentence[end:])


def _knows_nothing(status: SchemaStatus) -> bool:
    return status.state in _BLIND and not status.database_revisions


def _sides(status: SchemaStatus, words: Words) -> str:
    """What the code needs and what the database is, side by side."""
    graph_is_broken = any(finding.state is State.BROKEN_GRAPH for finding in status.findings)
    code = words.not_known if graph_is_broken else _codes(status.code_heads, words)
    sign = _EQUAL if set(status.code_heads) == set(status.database_revisions) else _NOT_EQUAL
    return (
        f'<dl class="sides"><div><dt>{words.code_needs}</dt><dd>{code}</dd></div>{sign}'
        f"<div><dt>{words.database_is_at}</dt><dd>{_codes(status.database_revisions, words)}</dd></div></dl>"
    )


def _codes(revisions: Sequence[str], words: Words) -> str:
    return ", ".join(f"<code>{escape(revision)}</code>" for revision in revisions) or words.nothing


def _lists(status: SchemaStatus, running: Running | None, words: Words) -> Iterator[str]:
    if status.missing and not _knows_nothing(status):
        yield _list(words.missing, _items(status.missing, words, running.revision if running else None))
    if status.unknown and status.unknown != status.database_revisions:
        yield _list(words.unknown, _items(status.unknown, words))
    if status.broken_statements:
        yield _list(words.broken, _items([each.name for each in status.broken_statements], words))


def _list(heading: str, items: Iterable[str]) -> str:
    return f"<section><h2>{heading}</h2><ol>{''.join(items)}</ol></section>"


def _items(names: Sequence[str], words: Words, under_way: str | None = None) -> Iterator[str]:
    left_out = len(names) - _NAMED - 1
    for place, name in enumerate(names):
        if left_out < 2 or place < _NAMED or place == len(names) - 1:
            yield _item(name, words, is_under_way=name == under_way)
        elif place == _NAMED:
            yield f'<li class="more">{words.and_more.format(count=left_out)}</li>'


def _item(name: str, words: Words, *, is_under_way: bool) -> str:
    if is_under_way:
        return f'<li class="now"><code>{escape(name)}</code> <span>{words.under_way}</span></li>'
    return f"<li><code>{escape(name)}</code></li>"


def _work(running: Running, words: Words, now: datetime) -> str:
    if running.planned:
        told = words.progress.format(done=running.done, planned=running.planned)
        value = f' value="{min(running.done, running.planned)}" max="{running.planned}"'
    else:
        told, value = words.progress_unknown, ""
    who = words.migrator.format(name=escape(running.name), duration=_duration(now - running.started_at, words))
    return (
        f'<section class="work"><h2 id="work">{words.running}</h2>'
        f'<progress aria-labelledby="work"{value}>{told}</progress>'
        f"<p><span>{told}</span><span>{who}</span></p><p>{words.nothing_to_do}</p></section>"
    )


def _remedy(status: SchemaStatus, words: Words) -> str:
    usual, translated = ENGLISH.solutions[status.state], words.solutions[status.state]
    solution = status.solution or usual
    if not solution:
        return ""
    if _COMMAND.fullmatch(solution):
        return (
            f'<section><h2>{words.to_run}</h2><pre class="command"><code>{escape(solution)}</code></pre>'
            f'<p class="note">{words.select_hint}</p></section>'
        )
    text = _told(_as_sentence(solution), _as_sentence(usual), _as_sentence(translated))
    return f'<section><h2>{words.to_do}</h2><p class="steps">{text}</p></section>'


def _as_sentence(solution: str) -> str:
    return solution if _COMMAND.match(solution) else f"{solution[:1].upper()}{solution[1:]}."


def _foot(verdict: Verdict, words: Words, now: datetime) -> str:
    since = verdict.since.astimezone(UTC)
    shown = since.strftime("%H:%M UTC" if now - since < _DAY else "%Y-%m-%d %H:%M UTC")
    time = f'<time datetime="{since.isoformat(timespec="seconds")}">{shown}</time>'
    told = [
        words.since.format(time=time, duration=_duration(now - since, words)),
        words.refreshes.format(seconds=refresh_interval_s(verdict)),
    ]
    if verdict.checked_at is not None and not verdict.reachable:
        told.insert(0, words.stale)
    return f'<footer class="note">{"".join(f"<p>{sentence}</p>" for sentence in told)}</footer>'


def _duration(passed: timedelta, words: Words) -> str:
    seconds = max(0, int(passed.total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 1:
        return words.ago_s.format(count=seconds)
    if hours < 1:
        return words.ago_min.format(count=minutes)
    if days < 1:
        return words.ago_h.format(count=hours, rest=minutes % 60)
    return words.ago_d.format(count=days, rest=hours % 24)
