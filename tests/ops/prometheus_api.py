"""What a test asks of a running Prometheus."""

from __future__ import annotations

import time
from typing import Any

import httpx

Json = dict[str, Any]


class PrometheusApi:
    """The HTTP API of the Prometheus at an address such as http://127.0.0.1:9090."""

    def __init__(self, url: str) -> None:
        self.url = url
        # One for all: a board asks dozens of questions.
        self._client = httpx.Client(base_url=f"{url}/api/v1/", timeout=30)

    def ask(self, path: str, **parameters: str) -> Json:
        """The JSON of an answer, whatever its status."""
        answer: Json = self._client.post(path, data=parameters).json()
        return answer

    def now(self, expression: str) -> list[Json]:
        """The series of an expression at this moment: `metric`, and `value` as (time, text)."""
        return self._result("query", query=expression)

    def lately(self, expression: str, seconds: int = 60, step_s: int = 5) -> list[Json]:
        """The series of an expression over the last seconds: `metric`, and `values`."""
        end = time.time()
        return self._result("query_range", query=expression, start=f"{end - seconds}", end=f"{end}", step=f"{step_s}")

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {series["metric"]["alertname"] for series in self.now('ALERTS{alertstate="firing"}')}

    def close(self) -> None:
        """Let the connection go."""
        self._client.close()

    def _result(self, path: str, **parameters: str) -> list[Json]:
        answer = self.ask(path, **parameters)
        assert answer["status"] == "success", f"{parameters['query']}: {answer.get('error')}"
        result: list[Json] = answer["data"]["result"]
        return result
