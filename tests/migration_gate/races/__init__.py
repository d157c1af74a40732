"""What happens to migrations under races, deaths, cut networks, poolers, locks and rollbacks, with real parts.

`python -m tests.migration_gate.races --rounds 100` races replicas for as long as one likes; the suite runs it shortly.
"""
