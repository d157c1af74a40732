from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.taskmanager.incidents.receivers import Receiver, Receivers


@pytest.fixture
def receive(tmp_path: Path) -> Iterator[Receivers]:
    """Start the receiver as a process: `receive("--watchdog-timeout", "2s")`."""
    with ExitStack() as running:

        def start(*options: str, **more: Any) -> Receiver:
            return running.enter_context(Receiver(tmp_path, *options, **more))

        yield start
