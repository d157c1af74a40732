"""The few shapes that the picture is made of, and its colours for light and for dark surroundings."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape, quoteattr

# Told apart by lightness as well as by hue, and always beside words: nobody has to see colours.
STYLE = """
  svg { --paper: #ffffff; --ink: #1b1f24; --faint: #59636e; --line: #d8dee4; --band: #f6f8fa;
        --all: #b4233a; --writes: #a45a00; --none: #3a6ea8; --read: #6d3fc0; --write: #00756a; --over: #b4233a;
        --on-bar: #ffffff; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0f1419; --ink: #e6edf3; --faint: #9aa7b4; --line: #2d3640; --band: #161d24;
          --all: #ff7b8b; --writes: #ffb24d; --none: #79b0ef; --read: #bd9bff; --write: #4fd1bd; --over: #ff7b8b;
          --on-bar: #0f1419; }
  }
  text { fill: var(--ink); }
  .faint { fill: var(--faint); } .over { fill: var(--over); } .strong { font-weight: 600; }
  .on { fill: var(--on-bar); font-weight: 600; }
  .title { font-size: 20px; font-weight: 600; } .small { font-size: 12px; } .code { font-family: ui-monospace,
    "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12px; }
"""

# Wide enough for any of the fonts above: a mean character's width at one pixel of size.
CHARACTER = 0.56


def text(x: float, y: float, words: str, css: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class={quoteattr(css)} text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, colour: str, *, tip: str = "", round_: float = 3) -> str:
    """A filled rectangle; `tip` is what a pointer over it, or a screen reader, is told."""
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{round_}"'
    inner = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<rect {shape} fill="var(--{colour})">{inner}</rect>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1, dashes: str = "") -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="var(--{colour})"'
        f' stroke-width="{width}"{dashed}/>'
    )


def dot(x: float, y: float, colour: str, *, square: bool, tip: str = "") -> str:
    """The end of a wait: round for a read, square for a write."""
    if square:
        return box(x - 3.5, y - 3.5, 7, 7, colour, tip=tip, round_=1)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="var(--{colour})"><title>{escape(tip)}</title></circle>'


def width_of(words: str, size: float = 12) -> float:
    return len(words) * size * CHARACTER


def document(width: float, height: float, title: str, description: str, body: list[str]) -> str:
    """A whole file, readable aloud through its title and description."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-labelledby="title description">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="description">{escape(description)}</desc>\n'
        f"<style>{STYLE}</style>\n" + "\n".join([box(0, 0, width, height, "paper", round_=0), *body]) + "\n</svg>\n"
    )


def ticks(upto: float, about: int = 8) -> list[float]:
    """Round values from 0 to `upto`: steps of 1, 2 or 5 times a power of ten."""
    if upto <= 0:
        return [0.0]
    rough = upto / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [step * count for count in range(math.floor(upto / step + 1e-9) + 1)]
