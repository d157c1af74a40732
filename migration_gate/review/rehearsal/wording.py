"""Numbers for people."""

from __future__ import annotations


def duration(ms: float) -> str:
    """`0.4 ms`, `37 ms`, `1.52 s`, `3 min 20 s`."""
    if ms < 9.95:
        return f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 59_950:
        return f"{ms / 1000:.2f} s" if ms < 9_995 else f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes} min {seconds} s"


def number(value: float) -> str:
    """In groups of three: `1,204,000`."""
    return f"{value:,.0f}"


def one_line(text: str, width: int) -> str:
    """`text` without its line breaks and control characters, cut to `width` characters with an ellipsis."""
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return flat if len(flat) <= width else flat[: width - 1].rstrip() + "…"


def counted(count: int, one: str, several: str = "") -> str:
    """`1 revision`, `2 revisions`; `several` where an s does not make the plural."""
    return f"{number(count)} {one if count == 1 else several or one + 's'}"
