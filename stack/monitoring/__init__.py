"""Prometheus, Alertmanager and the incident receiver as child processes, on a machine without Docker.

with Monitoring(data, Plan(["127.0.0.1:8000", "127.0.0.1:8001"], find_programs(), Ports(9190, 9193, 9195))) as it:
    it.prometheus.url, it.alertmanager.kill(), it.receiver.reload()
"""

from stack.monitoring.monitoring import Monitoring, Plan, Ports
from stack.monitoring.part import Part
from stack.monitoring.programs import Programs, ProgramsMissing, find_programs

__all__ = ["Monitoring", "Part", "Plan", "Ports", "Programs", "ProgramsMissing", "find_programs"]
