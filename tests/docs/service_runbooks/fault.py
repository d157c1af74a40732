"""What a fault is, in every room of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.docs.service_runbooks.stage import Stage

# What the platform does to mend it: raises a limit, opens a firewall.
Heal = Callable[[], object]

# Inside the context the fault is there; at its end, what it held is let go. It yields what heals it, None where the
# runbook's own lines do.
Fault = Callable[[Stage], AbstractContextManager[Heal | None]]


@contextmanager
def nothing(stage: Stage) -> Iterator[None]:
    """All is well."""
    yield
