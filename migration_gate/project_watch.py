"""From an alembic.ini to a verdict that is kept fresh: what stands behind `SchemaGate(app, config="alembic.ini")`.

A child process runs env.py once and tells what the code expects; then one connection watches the database. Where env.py
cannot be run, the gate must not be the outage: the database is watched all the same, as it is for a graph that is
broken, so that traffic flows with a warning unless nothing was ever migrated; and the child is tried again.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from migration_gate.description import Description
from migration_gate.errors import DatabaseUnreachable
from migration_gate.expected import Expected
from migration_gate.observed import Observed
from migration_gate.postgres.url import UnusableUrl, plain_url
from migration_gate.project import ProjectNotDescribed, description_of
from migration_gate.tables import VersionTable
from migration_gate.watch import NOT_CHECKED, Verdict, Watcher

if TYPE_CHECKING:
    from migration_gate.postgres.psycopg_probe import PsycopgProbe

logger = logging.getLogger(__name__)

# How long a start, or a first request, waits for a verdict, so that a healthy database never shows a refusal.
FIRST_VERDICT_WITHIN_S = 5.0

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0

# A model may have hundreds of tables, and each is asked for by itself.
PROVE_EVERY_S = 10.0


class ProjectWatch:
    """Keeps a verdict on the database of a project.

    Parameters
    ----------
    config: its alembic.ini or pyproject.toml.
    url: the database, as the application's role; otherwise DATABASE_URL, then what env.py says.
    statements: name to SQL, proven beside one `table:NAME` for each table of the models; None in the place of the SQL
        takes away those whose names match, in which `*` stands for anything.
    interval_s: pause between two checks while all is well.
    """

    def __init__(
        self, config: Path, *, url: str | None, statements: Mapping[str, str | None], interval_s: float
    ) -> None:
        self._config = config
        self._url = url
        self._statements = dict(statements)
        self._interval_s = interval_s
        self._watcher = Watcher(Expected.broken(NOT_CHECKED), _Nowhere(NOT_CHECKED, ""))
        self._description: Description | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first = asyncio.Event()
        self._patience_ends = 0.0

    @property
    def verdict(self) -> Verdict:
        return self._watcher.verdict

    def start(self) -> None:
        """Begin to watch, in the event loop that runs. May be repeated, by each request say."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._task is not None and not self._task.done():
            return
        # An event belongs to the loop in which it was waited for; a test client makes a loop for each request.
        self._first = asyncio.Event()
        self._loop = loop
        self._patience_ends = loop.time() + FIRST_VERDICT_WITHIN_S
        self._task = loop.create_task(self._run(), name="schema gate")

    async def first_verdict(self) -> None:
        """Wait for the first verdict, or for the end of `FIRST_VERDICT_WITHIN_S` seconds since the start."""
        if self._first.is_set() or self._loop is None or self._loop.time() >= self._patience_ends:
            return
        try:
            async with asyncio.timeout_at(self._patience_ends):
                await self._first.wait()
        except TimeoutError:
            logger.warning("no verdict on the schema after %g s: the service starts without", FIRST_VERDICT_WITHIN_S)

    async def stop(self) -> None:
        """End the task, and with it the connection."""
        task, self._task = self._task, None
        if task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        watching_blindly: asyncio.Task[None] | None = None
        pause_s = FIRST_RETRY_S
        try:
            while self._description is None:
                try:
                    self._description = await self._describe()
                except ProjectNotDescribed as fault:
                    logger.error("the schema gate does not know what the code expects: %s; trying again", fault)
                    if watching_blindly is None:
                        watching_blindly = asyncio.create_task(self._watch_without(fault))
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, LONGEST_RETRY_S)
            await self._watch(self._description, instead_of=watching_blindly)
        finally:
            if watching_blindly is not None:
                watching_blindly.cancel()
                await asyncio.wait({watching_blindly})

    async def _describe(self) -> Description:
        try:
            return await description_of(self._config)
        except ProjectNotDescribed:
            raise
        except Exception as error:
            # A task that ends here would leave the gate closed for ever.
            logger.exception("asking for the project failed in a way that was not foreseen")
            raise ProjectNotDescribed(f"asking for the project failed ({type(error).__name__})") from error

    async def _watch_without(self, fault: ProjectNotDescribed) -> None:
        await self._watch(Description(None, VersionTable(), None, {}, fault.message))

    async def _watch(self, description: Description, instead_of: asyncio.Task[None] | None = None) -> None:
        """Watch for ever. The verdict of before stands until the first check has been answered."""
        probe = await self._probe(description)
        watcher = Watcher(description.expected, probe, interval_s=self._interval_s)
        try:
            await watcher.check()
            self._watcher = watcher
            self._first.set()
            if instead_of is not None:
                instead_of.cancel()
            await watcher.run()
        finally:
            await probe.close()

    async def _probe(self, description: Description) -> PsycopgProbe | _Nowhere:
        url = self._url or os.environ.get("DATABASE_URL") or description.address
        if not url:
            return _Nowhere("no database is named", "set DATABASE_URL, or give SchemaGate url=…")
        try:
            plain_url(url)
        except UnusableUrl as error:
            return _Nowhere(str(error), "correct DATABASE_URL, or what SchemaGate is given as url=…")
        # By name, since a service with a watcher of its own imports this file and must not import psycopg; and in a
        # thread, since that takes a tenth of a second.
        module = await asyncio.to_thread(importlib.import_module, "migration_gate.postgres.psycopg_probe")
        probe: PsycopgProbe = module.PsycopgProbe(
            url,
            version_table=description.version_table,
            statements=wanted(description.statements, self._statements),
            prove_every_s=PROVE_EVERY_S,
        )
        return probe


class _Nowhere:
    """A probe for an address that leads to no database."""

    def __init__(self, fault: str, solution: str) -> None:
        self._fault = DatabaseUnreachable(fault, transient=False, solution=solution)

    async def __call__(self) -> Observed:
        raise self._fault

    async def close(self) -> None:
        pass


def wanted(derived: Mapping[str, str], asked: Mapping[str, str | None]) -> dict[str, str]:
    """The statements to prove: those that follow from the models, without those taken away, and those asked for."""
    unwanted = [name for name, sql in asked.items() if sql is None]
    kept = {name: sql for name, sql in derived.items() if not any(fnmatchcase(name, each) for each in unwanted)}
    return kept | {name: sql for name, sql in asked.items() if sql is not None}
