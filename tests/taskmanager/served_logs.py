"""The log of a served process, line by line."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.processes import Service


def json_lines(service: Service) -> list[dict[str, Any]]:
    """Every line of a log in JSON; fails at the first that is none."""
    lines = []
    for line in service.log.splitlines():
        try:
            parsed = json.loads(line)
        except json.JSONDecodeError:
            raise AssertionError(f"not JSON: {line!r}") from None
        assert isinstance(parsed, dict), line
        lines.append(parsed)
    return lines


def requests_of(service: Service, request_id: str, within_s: float = 5.0) -> list[dict[str, Any]]:
    """The log lines that bear a request id, once its request line is written."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found = [line for line in json_lines(service) if line.get("request_id") == request_id]
        if any(line["event"] == "request" for line in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"no request {request_id} in the log:\n{service.log}")
