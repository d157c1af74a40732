"""What people send: who, and a few words; or a deployment."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

from taskmanager.incidents.deployments import Result
from taskmanager.incidents.entries import ALERTMANAGER, FORGOTTEN, RECEIVER
from taskmanager.incidents.problems import ProblemError

LONGEST_NAME = 80
LONGEST_TEXT = 2000

_FACTS = {
    "version": re.compile(r"[A-Za-z0-9._+-]{1,80}", re.ASCII),
    "commit": re.compile(r"[0-9A-Za-z._/-]{1,80}", re.ASCII),
    "env": re.compile(r"[A-Za-z0-9_-]{1,40}", re.ASCII),
    "verb": re.compile(r"deploy|rollback", re.ASCII),
    "result": re.compile("|".join(Result), re.ASCII),
    "seconds": re.compile(r"\d{1,6}(\.\d{1,3})?", re.ASCII),
    "previous": re.compile(r"[0-9A-Za-z._/-]{1,80}", re.ASCII),
}

_RESERVED = (ALERTMANAGER, RECEIVER, FORGOTTEN)


def read_words(body: bytes, *, text_needed: bool) -> tuple[str, str]:
    """Who, and what they say. Raises ProblemError."""
    content = _object(body, {"by", "text"})
    faults = _faults_of_by(content) + _faults_of_text(content, needed=text_needed)
    _raise(faults)
    return content["by"].strip(), content.get("text", "").strip()


def read_deployment(body: bytes) -> tuple[str, str, dict[str, str]]:
    """Who deployed, what they say of it, and its facts: its version or commit, and how it went. Raises ProblemError."""
    content = _object(body, {"by", "text", *_FACTS})
    faults = _faults_of_by(content) + _faults_of_text(content, needed=False)
    facts = {name: content[name] for name in _FACTS if content.get(name) not in (None, "")}
    for name, value in facts.items():
        if not isinstance(value, str) or not _FACTS[name].fullmatch(value):
            faults.append((name, f"must be text like {_FACTS[name].pattern}"))
    if "version" not in facts and "commit" not in facts:
        faults.append(("version", "is needed, or commit: what was deployed"))
    _raise(faults)
    return content["by"].strip(), content.get("text", "").strip(), facts


def _object(body: bytes, known: set[str]) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(400, "malformed_json", "The body could not be read as JSON in UTF-8.") from None
    if not isinstance(content, dict):
        raise ProblemError(422, "invalid_request", "The body must be a JSON object.")
    if unknown := len(content.keys() - known):
        told = ", ".join(sorted(known))
        raise ProblemError(422, "invalid_request", f"{unknown} field(s) are not known; there are {told}.")
    return content


def _faults_of_by(content: dict[str, Any]) -> list[tuple[str, str]]:
    by = content.get("by")
    if not isinstance(by, str) or not by.strip():
        return [("by", "is needed: a name, or better a role, such as on-call")]
    if len(by) > LONGEST_NAME or not _printable(by):
        return [("by", f"must be at most {LONGEST_NAME} printable characters in one line")]
    if by.strip().lower() in _RESERVED:
        return [("by", "must not be the name by which a program signs")]
    return []


def _faults_of_text(content: dict[str, Any], *, needed: bool) -> list[tuple[str, str]]:
    text = content.get("text", "")
    if not isinstance(text, str):
        return [("text", "must be text")]
    if needed and not text.strip():
        return [("text", "is needed: what is to be noted")]
    if len(text) > LONGEST_TEXT or not _printable(text.replace("\n", "").replace("\t", "")):
        return [("text", f"must be at most {LONGEST_TEXT} printable characters")]
    return []


_ZERO_WIDTH_JOINER = "\u200d"  # within many an emoji


def _printable(text: str) -> bool:
    """Unlike `str.isprintable`, with the no-break spaces of French.

    No control that could repaint a terminal, and none that turns the direction of what follows.
    """
    return all(
        character == _ZERO_WIDTH_JOINER or unicodedata.category(character)[0] != "C" for character in text
    ) and not {"\u2028", "\u2029"} & set(text)


def _raise(faults: list[tuple[str, str]]) -> None:
    if faults:
        told = "; ".join(f"{name} {fault}" for name, fault in faults)
        errors = [{"pointer": f"#/{name}", "detail": fault} for name, fault in faults]
        raise ProblemError(422, "invalid_request", f"The request is not valid: {told}.", errors=errors)
