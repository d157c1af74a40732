"""What Prometheus answers about targets, rules and alerts."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from tests.alerts.rig.traffic import request

# Groups with a longer interval are not waited for.
SELDOM_S = 10.0


class PrometheusApi:
    """The HTTP API of the Prometheus on a port of this machine. Raises OSError while it does not answer."""

    def __init__(self, port: int) -> None:
        self._port = port

    def _get(self, path: str, **parameters: str) -> Any:
        query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
        try:
            status, body = request(self._port, "GET", f"/api/v1/{path}{query}")
        except http.client.HTTPException as error:
            raise ConnectionError("Prometheus broke off") from error
        answer = json.loads(body)
        assert status == http.client.OK, answer
        return answer["data"]

    def alerts(self) -> list[Mapping[str, Any]]:
        """Those that fire or are about to: `labels`, `annotations`, `state`."""
        return self._get("alerts")["alerts"]  # type: ignore[no-any-return]

    def names(self, state: str, but_for: Mapping[str, str] | None = None) -> set[str]:
        """The names of alerts that are `firing` or `pending` now, but for those with these labels."""
        return {
            alert["labels"]["alertname"]
            for alert in self.alerts()
            if alert["state"] == state and not (but_for and but_for.items() <= alert["labels"].items())
        }

    def value(self, query: str) -> float | None:
        """The first value of an expression now; None where it has none."""
        result = self._get("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def fired(self, since: float) -> dict[str, float]:
        """What has fired since that second of time.time(), and for how many seconds of it, by alert."""
        found = self._get(
            "query_range",
            query='count by (alertname) (ALERTS{alertstate="firing"})',
            start=f"{since:.3f}",
            end=f"{time.time():.3f}",
            step="1",
        )["result"]
        return {series["metric"]["alertname"]: float(len(series["values"])) for series in found}

    def targets_up(self) -> bool:
        """Whether every target was scraped, and well."""
        targets = self._get("targets", state="active")["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)

    def evaluated_since(self, since: datetime) -> bool:
        """Whether every group of rules was evaluated after a moment, but for those that seldom are."""
        groups = [group for group in self._get("rules")["groups"] if group["interval"] <= SELDOM_S]
        return bool(groups) and all(_time(group["lastEvaluation"]) > since for group in groups)


def _time(text: str) -> datetime:
    # Go writes nanoseconds, of which Python reads no more than six digits.
    head, _, rest = text.partition(".")
    digits = "".join(character for character in rest[:9] if character.isdigit())[:6]
    zone = text[-6:] if text[-6] in "+-" else "+00:00"
    return datetime.fromisoformat(f"{head.removesuffix('Z')[:19]}.{digits or '0'}{zone}")
