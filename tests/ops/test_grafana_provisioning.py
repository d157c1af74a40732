"""What Grafana is provisioned with fits the dashboards. Grafana itself is not run."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.ops.grafana_json import FOLDER
from tests.processes import ROOT

PROVISIONING = ROOT / "ops" / "grafana" / "provisioning"


def _provisioned(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((PROVISIONING / path).read_text())
    assert document["apiVersion"] == 1
    return document


def test_the_datasources_are_those_that_the_dashboards_name() -> None:
    sources = {source["uid"]: source for source in _provisioned("datasources/taskmanager.yml")["datasources"]}
    named = {
        panel["datasource"]["uid"]
        for file in FOLDER.glob("*.json")
        for panel in json.loads(file.read_text())["panels"]
        if "datasource" in panel
    }

    assert named <= set(sources)
    assert {uid: source["type"] for uid, source in sources.items()} == {
        "prometheus": "prometheus",
        "alertmanager": "alertmanager",
    }
    assert sources["prometheus"]["isDefault"]
    assert sources["prometheus"]["jsonData"]["alertmanagerUid"] == "alertmanager"
    assert not any(source["editable"] for source in sources.values())


def test_the_interval_is_the_longest_between_two_scrapes() -> None:
    scraping = yaml.safe_load((ROOT / "prometheus.yml").read_text())
    longest = max(
        job.get("scrape_interval", scraping["global"]["scrape_interval"]) for job in scraping["scrape_configs"]
    )
    source = _provisioned("datasources/taskmanager.yml")["datasources"][0]

    assert source["jsonData"]["timeInterval"] == longest == "5s"


def test_dashboards_can_be_changed_in_the_repository_alone() -> None:
    (provider,) = _provisioned("dashboards/taskmanager.yml")["providers"]

    assert provider["type"] == "file"
    assert provider["allowUiUpdates"] is False
    assert provider["disableDeletion"] is True
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
