"""Write the copies of prometheus.yml that the compose file's overlays mount, or hold them against it.

    python -m ops.prometheus.deployments            # writes docker/prometheus/
    python -m ops.prometheus.deployments --check

A copy differs from prometheus.yml in three things at most, and a test says in which: the environment's name and the
keys of production, and where the replicas are found.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
ORIGINAL = ROOT / "prometheus.yml"
COPIES = Path("docker/prometheus")

SLOTS = ("app-1", "app-2", "app-3", "app-4")

Json = dict[str, Any]

_HEADER = """\
# {purpose}
#
# Made from prometheus.yml by `python -m ops.prometheus.deployments`: change that one, and make this one anew. The
# reasons stand there, and those of what differs in ops/prometheus/deployments.py.
"""


def for_production(original: Json) -> Json:
    """Another environment, and keys that are secrets instead of one that everybody knows."""
    copy = deepcopy(original)
    copy["global"]["external_labels"]["env"] = "production"
    for job in copy["scrape_configs"]:
        for group in job.get("static_configs", ()):
            group["labels"]["env"] = "production"
        for rule in job.get("relabel_configs", ()):
            if rule["target_label"] == "env":
                rule["replacement"] = "production"
    _job(copy, "taskmanager")["authorization"] = {"credentials_file": "/run/secrets/metrics_key"}
    _job(copy, "incidents")["authorization"] = {"credentials_file": "/run/secrets/incidents_key"}
    return copy


def for_replicas(original: Json) -> Json:
    """Whichever slots a replica stands in, and the balancer before them.

    Found by name and not written down, since a rolling deployment leaves another slot empty each time: one that is
    empty has no address and is no target, instead of one that is down. The same holds for a replica that has ended,
    until the engine has started it again; HAProxy tells of that one (haproxy_server_status).
    """
    copy = deepcopy(original)
    job = _job(copy, "taskmanager")
    [group] = job.pop("static_configs")
    # A lookup that comes too late makes the service absent for a moment.
    job["dns_sd_configs"] = [{"names": list(SLOTS), "type": "A", "port": 8000, "refresh_interval": "1s"}]
    # A replica keeps its name where its address changes: counters go on, and a crash loop is one of the same instance.
    job["relabel_configs"] = [
        {"source_labels": ["__meta_dns_name"], "target_label": "instance", "replacement": "$1:8000"},
        *({"target_label": name, "replacement": value} for name, value in group["labels"].items()),
    ]
    labels = {"service": "haproxy", "env": group["labels"]["env"]}
    copy["scrape_configs"].append(
        {"job_name": "haproxy", "static_configs": [{"targets": ["haproxy:8404"], "labels": labels}]}
    )
    return copy


def _job(configuration: Json, name: str) -> Json:
    found: Json = next(job for job in configuration["scrape_configs"] if job["job_name"] == name)
    return found


def copies(original: Path = ORIGINAL) -> dict[Path, str]:
    """The text of each copy, by its place below the root."""
    development = yaml.safe_load(original.read_text(encoding="utf-8"))
    made = {
        "production.yml": ("What Prometheus asks in production.", for_production(development)),
        "replicas.yml": ("What Prometheus asks where several replicas serve.", for_replicas(development)),
        "production.replicas.yml": (
            "What Prometheus asks in production, where several replicas serve.",
            for_production(for_replicas(development)),
        ),
    }
    return {
        COPIES / name: _HEADER.format(purpose=purpose) + yaml.safe_dump(copy, sort_keys=False, width=120)
        for name, (purpose, copy) in made.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m ops.prometheus.deployments", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="compare with the files instead of writing them")
    options = parser.parse_args(arguments)
    stale = [file for file, text in copies().items() if not _is(ROOT / file, text)]
    for file in stale:
        if options.check:
            sys.stderr.write(f"{file}: is not what prometheus.yml says any more. Then: {parser.prog}\n")
        else:
            (ROOT / file).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / file).write_text(copies()[file], encoding="utf-8")
    return 1 if options.check and stale else 0


def _is(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
