"""The whole of it on this machine: real processes, the shipped configuration, and two things that look on.

Each round has a rig of its own, so that no round sees what another has left: neither in Prometheus' windows nor in the
database. What is not ours to restart in a second, PostgreSQL, is shared (`laboratory`).
"""

from tests.alerts.rig.laboratory import Laboratory, end_in_order_on_sigterm, laboratory
from tests.alerts.rig.rig import NotSteady, Rig

__all__ = ["Laboratory", "NotSteady", "Rig", "end_in_order_on_sigterm", "laboratory"]
