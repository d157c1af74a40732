"""Texts of others, without the passwords that they may quote."""

from __future__ import annotations

import re

_OF_ADDRESS = re.compile(r"(?<=://)[^\s/@]*:[^\s]*(?=@)")
_NAMED = re.compile(r"(?i)\b(password|passwd|pwd|secret|token)([\"']?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s,;)&]+)")


def withheld(text: str) -> str:
    """The text, in which `***` stands for the user and password of an address, and for what is called a password."""
    return _NAMED.sub(r"\1\2***", _OF_ADDRESS.sub("***", text))
