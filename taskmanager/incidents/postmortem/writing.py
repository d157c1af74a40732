"""From an incident to its post-mortem."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from taskmanager.incidents.postmortem.document import render
from taskmanager.incidents.postmortem.facts import Addresses, gather
from taskmanager.incidents.postmortem.language import language


def write(
    incident: dict[str, Any],
    deployments: list[dict[str, Any]],
    addresses: Addresses,
    lang: str,
    before: timedelta,
) -> str:
    """The post-mortem of an incident, in Markdown.

    Parameters
    ----------
    incident, deployments: as the API shows them, the incident with its entries.
    lang: `en` or `fr`.
    before: how long before the incident the timeline begins.
    """
    return render(gather(incident, deployments, addresses, before), language(lang))
