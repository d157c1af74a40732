"""Who gets the page: somebody at a browser, who asks for HTML above all. A client that takes anything gets JSON."""

from __future__ import annotations

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

# What a refusal is otherwise, the most specific first.
_JSON = ("application/problem+json", "application/json")


def prefers_page(headers: Headers) -> bool:
    """Whether Accept names text/html and puts it before JSON (RFC 9110, 12.5.1).

    At the same quality the range that says more wins, so `text/html, */*` is a browser; and where both are named
    alike, as by no browser, it is JSON.
    """
    accept = _value(headers, b"accept")
    if "html" not in accept:
        return False
    ranges = dict(_ranges(accept))
    html = (ranges.get("text/html", 0.0), 2)
    return html[0] > 0 and all(html > _json_quality(media_type, ranges) for media_type in _JSON)


def _json_quality(media_type: str, ranges: dict[str, float]) -> tuple[float, int]:
    for specificity, name in ((2, media_type), (1, "application/*"), (0, "*/*")):
        if name in ranges:
            return ranges[name], specificity
    return 0.0, 0


def prefers_french(headers: Headers) -> bool:
    """Whether Accept-Language puts French before English; at the same quality the first that is named wins."""
    best: dict[str, float] = {}
    for name, quality in _ranges(_value(headers, b"accept-language")):
        language = name.partition("-")[0]
        if language in {"fr", "en"} and quality > best.get(language, 0.0):
            best[language] = quality
    # `max` returns the first of equals, and a dictionary keeps the order of what it was given.
    return bool(best) and max(best, key=best.__getitem__) == "fr"


def _value(headers: Headers, name: bytes) -> str:
    return ",".join(value.decode("latin-1") for key, value in headers if key == name).lower()


def _ranges(value: str) -> Iterable[tuple[str, float]]:
    """The ranges of a header and their qualities from 0 to 1; a quality that is no number counts as 0."""
    for part in value.split(","):
        name, *parameters = part.split(";")
        quality = 1.0
        for parameter in parameters:
            key, _, number = parameter.partition("=")
            if key.strip() == "q":
                quality = _quality(number.strip())
        yield name.strip(), quality


def _quality(number: str) -> float:
    try:
        quality = float(number)
    except ValueError:
        return 0.0
    return quality if 0.0 <= quality <= 1.0 else 0.0
