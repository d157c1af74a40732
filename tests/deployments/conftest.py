from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.deploy.haproxy_process import find_haproxy
from stack.errors import StackError
from tests.deployments.rig import Rig
from tests.deployments.trees import Releases
from tests.processes import lacking


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Two replicas of a first release, with a database of their own; the tests of a module deploy on it in turn."""
    try:
        find_haproxy()
    except StackError:
        lacking("HAProxy", "apt-get install haproxy")
    folder = Path(tempfile.mkdtemp(prefix="deployments-"))
    folder.chmod(0o711)  # PostgreSQL's account passes through
    try:
        with Rig(folder, Releases(folder / "releases")) as running:
            yield running
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def served(rig: Rig) -> str:
    """The commit that serves as the test begins; releases that the test makes follow it."""
    commit = rig.version()
    rig.releases.back_to(commit, rig.migrated())
    return commit
