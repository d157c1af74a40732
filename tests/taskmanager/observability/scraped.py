"""What a scrape of the service tells."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from tests.processes import Service

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(text: str, name: str, **labels: str) -> float | None:
    """The value of one series, None where there is none."""
    return samples(text).get((name, frozenset(labels.items())))


def by_label(text: str, name: str, label: str) -> dict[str, float]:
    """The values of a metric by one of its labels."""
    return {dict(labels)[label]: number for (found, labels), number in samples(text).items() if found == name}


def scraped_until(service: Service, holds: Callable[[str], bool], within_s: float = 20.0) -> str:
    """Scrape until something holds of the text, and return it."""
    deadline = time.monotonic() + within_s
    text = ""
    while time.monotonic() < deadline:
        text = service.get("/metrics").text
        if holds(text):
            return text
        time.sleep(0.05)
    raise AssertionError(f"it did not hold within {within_s} s of\n{text}")
