"""Real Prometheus and Alertmanager as processes, with configurations of a test's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.processes import Service, lacking


def _binary(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        lacking(names[-1], f"install it (Debian and Ubuntu: apt-get install {names[0]})")
    return found


class Alertmanager(Service):
    """Alertmanager, which sends to a receiver at once, and the Watchdog every second."""

    def __init__(self, folder: Path, webhook: str, key_file: Path, port: int | None = None) -> None:
        folder.mkdir()
        to_incidents = {
            "url": webhook,
            "send_resolved": True,
            "http_config": {"authorization": {"credentials_file": str(key_file)}},
        }
        configuration = {
            "route": {
                "receiver": "incidents",
                "group_by": ["..."],
                "group_wait": "0s",
                "group_interval": "1s",
                "repeat_interval": "1h",
                "routes": [{"matchers": ["alertname = Watchdog"], "receiver": "incidents", "repeat_interval": "1s"}],
            },
            "receivers": [{"name": "incidents", "webhook_configs": [to_incidents]}],
            "inhibit_rules": [
                {
                    "source_matchers": ["alertname = SchemaNotMigrated"],
                    "target_matchers": ["alertname = RequestsFail"],
                    "equal": ["service", "env"],
                }
            ],
        }
        file = _written(folder / "alertmanager.yml", configuration)
        command = (
            _binary("prometheus-alertmanager", "alertmanager"),
            f"--config.file={file}",
            f"--storage.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        )
        super().__init__({}, folder, command=command, port=port)
        self.wait_for("/-/ready", 200)


class Prometheus(Service):
    """Prometheus, which scrapes targets and evaluates rules every half a second."""

    def __init__(
        self,
        folder: Path,
        targets: Mapping[str, str],
        rules: list[dict[str, Any]],
        alertmanager: Alertmanager | None,
        *flags: str,
    ) -> None:
        folder.mkdir()
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms", "evaluation_interval": "500ms"},
            "rule_files": [str(_written(folder / "rules.yml", {"groups": [{"name": "rules", "rules": rules}]}))],
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [{"targets": [target], "labels": {"service": job, "env": "test"}}],
                }
                for job, target in targets.items()
            ],
        }
        if alertmanager is not None:
            to_alertmanager = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
            configuration["alerting"] = {"alertmanagers": [to_alertmanager]}
        file = _written(folder / "prometheus.yml", configuration)
        command = (
            _binary("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:{port}",
            # An alert that Prometheus no longer sends ends for Alertmanager after four times as long.
            "--rules.alert.resend-delay=1s",
            *flags,
        )
        super().__init__({}, folder, command=command)
        self.wait_for("/-/ready", 200)


def _written(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file
