"""Tells the incident receiver of a deployment, so that its timelines, its metrics and its boards have it."""

import http.client
import json
import time
from pathlib import Path

from stack.deploy.record import Record

TIMEOUT_SECONDS = 3.0
ATTEMPTS = 3
BY = "stack deploy"
LONGEST_TEXT = 1000


def report(port: int, key_file: Path | None, record: Record) -> str:
    """POSTs it to the receiver on this machine; what is wrong, empty where it took it.

    The evidence, lines of logs, stays here.
    """
    body = {
        "by": BY,
        "verb": record.verb,
        "result": record.result.value,
        "seconds": f"{record.seconds:.1f}",
        "text": record.reason[:LONGEST_TEXT],
        # What could not be found has no commit; what was typed stays here, since it may be anything.
        "commit": record.release or "unknown",
        "previous": record.previous,
    }
    fault = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        status, fault = _post(port, key_file, body)
        if status is not None and status < http.client.INTERNAL_SERVER_ERROR:
            break
    return fault


def _post(port: int, key_file: Path | None, body: dict[str, str]) -> tuple[int | None, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    headers = {"Content-Type": "application/json"}
    try:
        if key_file is not None:
            headers["Authorization"] = f"Bearer {key_file.read_text().strip()}"
        connection.request("POST", "/deployments", json.dumps(body), headers)
        response = connection.getresponse()
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        return None, f"it does not answer ({type(error).__name__})"
    finally:
        connection.close()
    if response.status == http.client.CREATED:
        return response.status, ""
    return response.status, f"it answered {response.status}: {content.decode(errors='replace')[:200]}"
