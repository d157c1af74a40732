"""A fault as it may be told elsewhere: which one it is, where it happened, and what was at hand, without any value."""

from __future__ import annotations

import linecache
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any

from taskmanager.observability.privacy import kinds, told

_OWN_PACKAGES = frozenset({"taskmanager", "migration_gate", "main"})

# What every fault of a kind passes through, so that it says nothing of which one it is.
_PLUMBING = (
    "taskmanager.database",
    "taskmanager.batching",
    "taskmanager.dispatch",
    "taskmanager.cli",
    "migration_gate",
)

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

_MOST_EXCEPTIONS = 10
# A recursion without an end has a thousand frames; its beginning and its end tell it all.
_FIRST_FRAMES, _LAST_FRAMES = 10, 40
_LINES_AROUND = 5
_MOST_VARIABLES = 50
_LONGEST_LINE = 200


def fingerprint(error: BaseException, code: str | None = None) -> tuple[str, ...]:
    """Which fault it is: the same for every value that it meets, and another for another fault.

    Returns
    -------
    The exception's type, the SQLSTATE, our code and the function of ours in which it began; `-` for what there is not.
    """
    chain = list(_chain(error))
    sqlstate = next((found for each in chain if (found := sqlstate_of(each))), None)
    return (type_name(error), sqlstate or "-", code or "-", _place(chain))


def type_name(error: BaseException) -> str:
    """The class with its module, as tracebacks write it."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def sqlstate_of(error: BaseException) -> str | None:
    """PostgreSQL's code, whichever driver carries it."""
    found = getattr(getattr(error, "orig", None) or error, "sqlstate", None)
    return found if isinstance(found, str) else None


def exceptions(error: BaseException) -> list[dict[str, Any]]:
    """The exception and what it came from, oldest first, in the form of Sentry's exception interface
    (https://develop.sentry.dev/sdk/foundations/transport/event-payloads/exception/)."""
    return [_exception(each) for each in reversed(list(_chain(error)))]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then each from which the one before came, as Python prints them; of a group its members too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting and len(seen) < _MOST_EXCEPTIONS:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(reversed(each.exceptions))
        origin = each.__cause__ if each.__suppress_context__ else each.__cause__ or each.__context__
        if origin is not None:
            waiting.append(origin)


def _place(chain: list[BaseException]) -> str:
    """The innermost function of ours, of the exception that came first; one that many faults pass only if need be."""
    passed = "-"
    for error in reversed(chain):
        for frame, _ in reversed(list(_walk(error.__traceback__))):
            module, code = _module(frame), frame.f_code
            if not is_own(module, code.co_filename):
                continue
            place = f"{_shown_module(module, code)}.{code.co_qualname}"
            if not module.startswith(_PLUMBING):
                return place
            passed = place if passed == "-" else passed
    return passed


def _walk(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    yield from traceback.walk_tb(trace)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _shown_module(module: str, code: CodeType) -> str:
    # A file that was run or loaded by path, as migrations are, is known by its name.
    return module if module.partition(".")[0] in _OWN_PACKAGES else Path(code.co_filename).stem


@lru_cache(maxsize=1024)
def is_own(module: str, filename: str) -> bool:
    """Is it code of this project, or of whoever runs it, and no library's?"""
    if module.partition(".")[0] in _OWN_PACKAGES:
        return True
    return not filename.startswith(("<", *_LIBRARIES)) and "-packages" not in filename


def _exception(error: BaseException) -> dict[str, Any]:
    described: dict[str, Any] = {
        "module": type(error).__module__,
        "type": type(error).__qualname__,
        "value": told(error),
    }
    frames = [_frame(frame, line) for frame, line in _bounded(error.__traceback__)]
    if frames:
        described["stacktrace"] = {"frames": frames}
    return described


def _bounded(trace: TracebackType | None) -> list[tuple[FrameType, int]]:
    frames = list(_walk(trace))
    if len(frames) > _FIRST_FRAMES + _LAST_FRAMES:
        return frames[:_FIRST_FRAMES] + frames[-_LAST_FRAMES:]
    return frames


def _frame(frame: FrameType, line: int) -> dict[str, Any]:
    code = frame.f_code
    module = _module(frame)
    described: dict[str, Any] = {
        "function": code.co_qualname,
        "module": module,
        "filename": _shown_path(code.co_filename),
        "lineno": line,
        "in_app": is_own(module, code.co_filename),
    }
    described |= _source(frame, line)
    # The variables of a module are its functions and constants.
    if code.co_name != "<module>":
        described["vars"] = kinds(dict(list(frame.f_locals.items())[:_MOST_VARIABLES]))
    return described


@lru_cache(maxsize=1024)
def _shown_path(filename: str) -> str:
    """From where Python found it: what stands before that is the machine's."""
    roots = [root for root in sys.path if root and filename.startswith(f"{root.rstrip('/')}/")]
    return filename.removeprefix(f"{max(roots, key=len).rstrip('/')}/") if roots else Path(filename).name


def _source(frame: FrameType, line: int) -> dict[str, Any]:
    lines = [
        text.rstrip("\n")[:_LONGEST_LINE]
        for text in linecache.getlines(frame.f_code.co_filename, frame.f_globals)
    ]  # fmt: skip
    if not 0 < line <= len(lines):
        return {}
    return {
        "pre_context": lines[max(0, line - 1 - _LINES_AROUND) : line - 1],
        "context_line": lines[line - 1],
        "post_context": lines[line : line + _LINES_AROUND],
    }
