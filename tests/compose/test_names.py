"""The names by which the parts of the compose file know one another: each is a service, and each port is its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ops.prometheus.deployments import SLOTS
from tests.compose.compose_files import BASE, PRODUCTION, PRODUCTION_REPLICAS, REPLICAS, parsed
from tests.processes import ROOT

# Where each listens within its container; those that are published say so themselves.
PORTS = {"app": 8000, "postgres-exporter": 9187, "backup": 9096, "haproxy": 8404, **dict.fromkeys(SLOTS, 8000)}


def services(*files: str) -> dict[str, set[int]]:
    """The ports that each service of the base file and of these publishes."""
    found: dict[str, set[int]] = {}
    for file in (BASE, *files):
        for name, service in parsed(file)["services"].items():
            published = {int(f"{port}".rpartition(":")[2]) for port in service.get("ports", ())}
            found[name] = found.get(name, set()) | published
    return found


def is_known(address: str, *files: str) -> bool:
    """Whether HOST:PORT is a service that listens there."""
    host, _, port = address.rpartition(":")
    published = services(*files).get("prometheus" if host == "localhost" else host)
    return published is not None and int(port) in published | {PORTS.get(host)}


def targets(configuration: Any) -> Iterator[str]:
    for job in configuration["scrape_configs"]:
        for group in job.get("static_configs", ()):
            yield from group["targets"]
        for discovery in job.get("dns_sd_configs", ()):
            yield from (f"{name}:{discovery['port']}" for name in discovery["names"])
    for alertmanager in configuration["alerting"]["alertmanagers"]:
        for group in alertmanager["static_configs"]:
            yield from group["targets"]


@pytest.mark.parametrize(
    ("configuration", "files"),
    [
        ("prometheus.yml", ()),
        ("docker/prometheus/production.yml", (PRODUCTION,)),
        ("docker/prometheus/replicas.yml", (REPLICAS,)),
        ("docker/prometheus/production.replicas.yml", (PRODUCTION, REPLICAS, PRODUCTION_REPLICAS)),
    ],
)
def test_prometheus_asks_services_and_hands_alerts_to_one(configuration: str, files: tuple[str, ...]) -> None:
    found = list(targets(yaml.safe_load((ROOT / configuration).read_text())))

    assert len(found) >= 7
    assert [address for address in found if not is_known(address, *files)] == []


def test_a_name_that_is_no_service_is_noticed() -> None:
    assert is_known("app:8000")
    assert not is_known("api:8000")
    assert not is_known("app:8001")
    assert not is_known("app-1:8000")
    assert is_known("app-1:8000", REPLICAS)


def test_alertmanager_tells_the_incident_receiver() -> None:
    for file in ("ops/alertmanager/alertmanager.yml", "docker/alertmanager/alertmanager.yml"):
        configuration = yaml.safe_load((ROOT / file).read_text())
        urls = [hook["url"] for receiver in configuration["receivers"] for hook in receiver["webhook_configs"]]
        assert urls
        assert all(is_known(urlsplit(url).netloc) for url in urls), urls


def test_grafana_and_the_receiver_ask_services() -> None:
    provisioned = yaml.safe_load((ROOT / "ops/grafana/provisioning/datasources/taskmanager.yml").read_text())
    urls = [source["url"] for source in provisioned["datasources"]]
    urls.append(parsed()["services"]["incidents"]["environment"]["TASKMANAGER_INCIDENTS_ALERTMANAGER"])
    assert all(is_known(urlsplit(url).netloc) for url in urls), urls


def test_the_database_is_called_by_its_service_name() -> None:
    for file in (BASE, REPLICAS):
        for name, service in parsed(file)["services"].items():
            environment = service.get("environment") or {}
            for address in filter(None, (environment.get("DATABASE_URL"), environment.get("DATA_SOURCE_URI"))):
                host = urlsplit(address if "://" in address else f"//{address}").hostname
                assert host == "db", f"{name}: {address}"


def test_haproxy_has_a_server_for_each_slot_and_each_slot_is_a_service() -> None:
    text = (ROOT / "docker" / "haproxy" / "haproxy.cfg").read_text()
    servers = re.findall(r"^    server (\S+) (\S+)$", text, re.MULTILINE)

    assert servers == [(slot, f"{slot}:8000") for slot in SLOTS] * 2
    assert set(SLOTS) <= parsed(REPLICAS)["services"].keys()
    assert set(SLOTS) <= parsed(PRODUCTION_REPLICAS)["services"].keys()


COMMAND = re.compile(r"docker[- ]compose (?:--?\S+ )*(?:up|ps|logs|restart|stop|start|kill|exec|rm) ([^`\n|)]*)")
# What comes before services, with its value.
_OPTION = re.compile(r"(?:^| )(?:-[sn] \S+|--tail \S+|--?\S+)")


def _named_services(text: str) -> Iterator[str]:
    for match in COMMAND.finditer(text):
        words = _OPTION.sub(" ", match[1]).split()
        # `exec` has one service, and then a command of its own.
        yield from words[:1] if " exec " in match[0] else words


@pytest.mark.parametrize("folder", ["docs/runbooks", "docs/fr/runbooks"])
def test_runbooks_name_services(folder: str) -> None:
    found = {
        (file.name, name)
        for file in (ROOT / folder).glob("*.md")
        for name in _named_services(Path(file).read_text(encoding="utf-8"))
    }

    assert len(found) > 10
    known = services(PRODUCTION, REPLICAS).keys()
    assert [pair for pair in sorted(found) if pair[1] not in known] == []
