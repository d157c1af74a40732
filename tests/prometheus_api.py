"""What a test asks of a running Prometheus: values, targets, rules and alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx

from tests import plain_http

Json = dict[str, Any]

# Groups with a longer interval are not waited for.
SELDOM_S = 10.0


class PrometheusApi:
    """The HTTP API of the Prometheus at an address such as http://127.0.0.1:9090.

    Raises ConnectionError while it does not answer, and AssertionError with its words where it refuses a question.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # One for all, since a board asks dozens of questions; but a connection for each, since Prometheus may have been
        # killed and started again in between.
        self._client = plain_http.Client(
            base_url=f"{url}/api/v1/", timeout=30, limits=httpx.Limits(max_keepalive_connections=0)
        )

    def ask(self, path: str, **parameters: str) -> Json:
        """The JSON of an answer, whatever its status."""
        try:
            answer: Json = self._client.get(path, params=parameters).json()
        except httpx.TransportError as error:
            raise ConnectionError("Prometheus does not answer, or broke off") from error
        return answer

    def now(self, expression: str) -> list[Json]:
        """The series of an expression at this moment: `metric`, and `value` as (time, text)."""
        return self._series("query", query=expression)

    def lately(self, expression: str, seconds: float = 60, step_s: int = 5) -> list[Json]:
        """The series of an expression over the last seconds: `metric`, and `values`."""
        end = time.time()
        return self._series(
            "query_range", query=expression, start=f"{end - seconds:.3f}", end=f"{end:.3f}", step=f"{step_s}"
        )

    def alerts(self) -> list[Json]:
        """Those that fire or are about to: `labels`, `annotations`, `state`."""
        found: list[Json] = self._data("alerts")["alerts"]
        return found

    def names(self, state: str, but_for: Mapping[str, str] | None = None) -> set[str]:
        """The names of alerts that are `firing` or `pending` now, but for those with these labels."""
        return {
            alert["labels"]["alertname"]
            for alert in self.alerts()
            if alert["state"] == state and not (but_for and but_for.items() <= alert["labels"].items())
        }

    def fired(self, since: float) -> dict[str, float]:
        """What has fired since that second of time.time(), and for how many seconds of it, by alert."""
        found = self.lately('count by (alertname) (ALERTS{alertstate="firing"})', time.time() - since, step_s=1)
        return {series["metric"]["alertname"]: float(len(series["values"])) for series in found}

    def targets_up(self) -> bool:
        """Whether every target was scraped, and well."""
        targets = self._data("targets", state="active")["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def evaluated_since(self, since: datetime) -> bool:
        """Whether every group of rules was evaluated after a moment, but for those that seldom are."""
        groups = [group for group in self._data("rules")["groups"] if group["interval"] <= SELDOM_S]
        return bool(groups) and all(_time(group["lastEvaluation"]) > since for group in groups)

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def _series(self, path: str, **parameters: str) -> list[Json]:
        found: list[Json] = self._data(path, **parameters)["result"]
        return found

    def _data(self, path: str, **parameters: str) -> Any:
        answer = self.ask(path, **parameters)
        assert answer["status"] == "success", f"{parameters or path}: {answer.get('error')}"
        return answer["data"]


def _time(text: str) -> datetime:
    # Go writes nanoseconds, of which Python reads no more than six digits.
    head, _, rest = text.partition(".")
    digits = "".join(character for character in rest[:9] if character.isdigit())[:6]
    zone = text[-6:] if text[-6] in "+-" else "+00:00"
    return datetime.fromisoformat(f"{head.removesuffix('Z')[:19]}.{digits or '0'}{zone}")
