"""The operator's rules are the rule files', and what its Prometheus scrapes has the labels that they ask for."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.kubernetes import prometheus_rule
from ops.kubernetes.manifests import plain
from taskmanager.observability import health
from tests.kubernetes.manifest_files import the
from tests.monitoring_programs import tool
from tests.processes import ROOT

CONFIGURATION = yaml.safe_load((ROOT / "prometheus.yml").read_text())

# The exporter is the compose file's; CloudNativePG has one of its own with other names, and no rule asks for either.
SCRAPED = [scrape for scrape in CONFIGURATION["scrape_configs"] if scrape["job_name"] != "postgres-exporter"]

MONITORS = [manifest for manifest in plain() if manifest.kind == "PodMonitor"]


def written(endpoint: dict[str, Any]) -> dict[str, str]:
    """The labels that relabelling gives a fixed value."""
    return {rule["targetLabel"]: rule["replacement"] for rule in endpoint["relabelings"] if "sourceLabels" not in rule}


def endpoints() -> dict[str, dict[str, Any]]:
    """By the job that the rules will see."""
    return {
        written(endpoint)["job"]: endpoint
        for monitor in MONITORS
        for endpoint in monitor.content["spec"]["podMetricsEndpoints"]
    }


def test_the_rules_are_those_of_the_rule_files() -> None:
    assert prometheus_rule.main(["--check"]) == 0
    made = the(plain(), "PrometheusRule", "taskmanager")["spec"]["groups"]
    files = [
        group
        for file in sorted(prometheus_rule.RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text().replace("{{ $externalLabels.env }}", "production"))["groups"]
    ]

    assert made == files
    assert "externalLabels" not in prometheus_rule.FILE.read_text()


@pytest.mark.parametrize("change", ["a rule changes", "a file comes", "the rendered file is edited", "it is missing"])
def test_rules_that_are_out_of_date_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    rules, file = tmp_path / "rules", tmp_path / "prometheus-rule.yaml"
    shutil.copytree(prometheus_rule.RULES, rules)
    shutil.copy(prometheus_rule.FILE, file)
    paths = ["--rules", str(rules), "--file", str(file)]
    assert prometheus_rule.main(["--check", *paths]) == 0

    if change == "a rule changes":
        changed = rules / "absence.yml"
        changed.write_text(changed.read_text().replace("for: 15s", "for: 16s"))
    elif change == "a file comes":
        shutil.copy(rules / "absence.yml", rules / "backup.yml")
    elif change == "the rendered file is edited":
        file.write_text(file.read_text().replace("for: 15s", "for: 1h"))
    else:
        file.unlink()

    assert prometheus_rule.main(["--check", *paths]) == 1
    assert "python -m ops.kubernetes.prometheus_rule" in capsys.readouterr().err
    assert prometheus_rule.main(paths) == 0
    assert prometheus_rule.main(["--check", *paths]) == 0


def test_promtool_takes_the_groups(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(the(plain(), "PrometheusRule", "taskmanager")["spec"]))

    done = subprocess.run([tool("promtool"), "check", "rules", rules], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_job_that_a_rule_asks_for_is_scraped_under_that_name() -> None:
    asked = set(re.findall(r'job="(\w+)"', prometheus_rule.FILE.read_text()))

    assert asked
    assert asked <= set(endpoints())
    # The jobs of prometheus.yml, which the rules were written for and are proven with.
    assert {each["job_name"] for each in SCRAPED} <= set(endpoints())


@pytest.mark.parametrize("scrape", SCRAPED, ids=lambda scrape: scrape["job_name"])
def test_targets_have_the_labels_and_the_pace_of_prometheus_yml(scrape: dict[str, Any]) -> None:
    endpoint = endpoints()[scrape["job_name"]]
    labels = written(endpoint)

    assert labels["service"] == scrape["static_configs"][0]["labels"]["service"]
    assert labels["env"] == prometheus_rule.ENVIRONMENT
    assert endpoint["interval"] == scrape.get("scrape_interval", CONFIGURATION["global"]["scrape_interval"])
    assert endpoint["scrapeTimeout"] == scrape.get("scrape_timeout", CONFIGURATION["global"]["scrape_timeout"])
    # A pod is found by its name; an address names nobody.
    assert {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"} in endpoint["relabelings"]


def test_the_service_is_scraped_by_its_pods_and_with_a_key() -> None:
    endpoint = endpoints()["taskmanager"]
    deployment = the(plain(), "Deployment", "taskmanager")["spec"]["template"]
    (port,) = deployment["spec"]["containers"][0]["ports"]

    assert (
        the(plain(), "PodMonitor", "taskmanager")["spec"]["selector"]["matchLabels"] == deployment["metadata"]["labels"]
    )
    assert endpoint["port"] == port["name"]
    assert endpoint["path"] in health.ALWAYS_PATHS - health.PUBLIC_PATHS  # it asks for a key
    assert endpoint["authorization"]["type"] == "Bearer"
