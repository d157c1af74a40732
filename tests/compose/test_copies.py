"""What the overlays mount in place of prometheus.yml and alertmanager.yml, held against these two."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.prometheus import deployments
from stack.monitoring.receivers import render
from tests.monitoring_programs import tool
from tests.processes import ROOT

ALERTMANAGER = ROOT / "docker" / "alertmanager" / "alertmanager.yml"


def copy(name: str) -> Any:
    return yaml.safe_load((ROOT / "docker" / "prometheus" / name).read_text())


def test_the_copies_are_what_prometheus_yml_says() -> None:
    assert deployments.main(["--check"]) == 0


def test_a_copy_that_is_stale_is_told_and_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "docker" / "prometheus", tmp_path / "docker" / "prometheus")
    monkeypatch.setattr(deployments, "ROOT", tmp_path)
    changed = tmp_path / "docker" / "prometheus" / "production.yml"
    changed.write_text(changed.read_text().replace("scrape_timeout: 1s", "scrape_timeout: 2s"))

    assert deployments.main(["--check"]) == 1
    assert capsys.readouterr().err.startswith("docker/prometheus/production.yml: is not what prometheus.yml says")
    assert deployments.main([]) == 0
    assert deployments.main(["--check"]) == 0


def test_production_differs_in_its_name_and_its_keys_alone() -> None:
    original = yaml.safe_load((ROOT / "prometheus.yml").read_text())
    production = copy("production.yml")
    keys = {job["job_name"]: job.pop("authorization", None) for job in production["scrape_configs"]}
    for job in original["scrape_configs"]:
        job.pop("authorization", None)

    assert keys["taskmanager"] == {"credentials_file": "/run/secrets/metrics_key"}
    assert keys["incidents"] == {"credentials_file": "/run/secrets/incidents_key"}
    assert production != original
    renamed = yaml.safe_load(yaml.safe_dump(original).replace("env: development", "env: production"))
    assert production == renamed


def test_replicas_bear_the_labels_of_the_one() -> None:
    original = yaml.safe_load((ROOT / "prometheus.yml").read_text())["scrape_configs"][0]
    for name, env in (("replicas.yml", "development"), ("production.replicas.yml", "production")):
        job = copy(name)["scrape_configs"][0]
        labels = {rule["target_label"]: rule["replacement"] for rule in job["relabel_configs"][1:]}
        assert labels == original["static_configs"][0]["labels"] | {"env": env}
        assert (job["scrape_interval"], job["scrape_timeout"]) == ("1s", "1s")


@pytest.mark.parametrize("name", ["production.yml", "replicas.yml", "production.replicas.yml"])
def test_promtool_reads_the_copies(name: str) -> None:
    file = ROOT / "docker" / "prometheus" / name
    # The keys that they name are on the machine where they run.
    command = [tool("promtool"), "check", "config", "--syntax-only", file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanagers_is_the_rendered_one() -> None:
    rendered = render(
        {"ALERT_INCIDENTS_KEY_FILE": "/run/secrets/incidents_key"}, templates="/etc/alertmanager/templates/*.tmpl"
    )
    assert yaml.safe_load(ALERTMANAGER.read_text()) == yaml.safe_load(rendered)
    assert "credentials_file: /run/secrets/incidents_key" in rendered
