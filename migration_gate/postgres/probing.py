"""What every probe does, whatever its driver: observe a database, prove the application's statements, and distrust.

A probe keeps one session of its own, since the application's pool may be exhausted exactly when the state is asked
for. It reads only, with timeouts of its own, so that watching can neither change nor hold up anything.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from migration_gate.catalog import LEDGER_WITH_CATALOG, drift
from migration_gate.errors import DatabaseUnreachable
from migration_gate.observe import observation
from migration_gate.observe_ledger import Memory
from migration_gate.observed import BrokenStatement, Observed
from migration_gate.postgres.faults import describe
from migration_gate.postgres.sqlstate import LOCK_NOT_AVAILABLE, QUERY_CANCELED
from migration_gate.reading import Rows, SqlFault
from migration_gate.tables import VersionTable

APPLICATION_NAME = "migration-gate watcher"

# Of the session, and shorter than the probe's own patience: PostgreSQL's refusal tells more than silence does.
LOCK_TIMEOUT = "500ms"
STATEMENT_TIMEOUT = "1500ms"

_Result = TypeVar("_Result")


class DatabaseProbe(ABC):
    """Observe a database again and again, connecting anew after a fault.

    Parameters
    ----------
    url: `postgresql://…`, as the role whose statements are proven.
    statements: name to SQL, proven at the first observation, whenever the revisions change or a run begins or ends,
        while any is broken, and every `prove_every_s` seconds.
    compare_every_s: how often the catalog is compared with what the last run left.
    timeout_s: bound on connecting, and on each statement.
    """

    # What the driver raises where no session can be had, or one is lost.
    unreachable: ClassVar[tuple[type[Exception], ...]] = (OSError, TimeoutError)

    def __init__(
        self,
        url: str,
        *,
        version_table: VersionTable | None = None,
        statements: Mapping[str, str] | None = None,
        timeout_s: float = 1.5,
        prove_every_s: float = 5.0,
        compare_every_s: float = 30.0,
    ) -> None:
        self._url = url
        self._version_table = version_table
        self._statements = statements or {}
        self._timeout_s = timeout_s
        self._prove_every_s = prove_every_s
        self._memory = Memory()
        self._proven_at = float("-inf")
        self._proven_for: object = None
        self._broken: tuple[BrokenStatement, ...] = ()
        self._compare_every_s = compare_every_s
        self._compared_at = float("-inf")
        self._compared_for: object = None
        self._drift: tuple[str, ...] | None = None

    async def __call__(self) -> Observed:
        """One observation.

        Raises
        ------
        DatabaseUnreachable: no session could be had, or it did not answer in time.
        """
        try:
            return await self._observe()
        except SqlFault as fault:  # the session lives, and PostgreSQL could not answer now
            raise describe(fault) from fault
        except DatabaseUnreachable:  # it lives as well, and is none to work with
            self._drop()
            raise
        except asyncio.CancelledError:
            self._drop()
            raise
        except Exception as error:
            self._drop()
            if isinstance(error, self.unreachable):
                raise await self._described(error) from error
            raise

    async def _observe(self) -> Observed:
        if not self._connected:
            await self._connect()
        observed = await self._read(observation(self._version_table, self._memory))
        proven = bool(self._statements) and await self._prove(observed)
        return replace(
            observed,
            statements_proven=proven,
            broken_statements=self._broken,
            drift=await self._compared(observed),
        )

    async def _compared(self, observed: Observed) -> tuple[str, ...] | None:
        """The drift, as of now where the last comparison is old, or a run has ended since."""
        # What a revision that stopped halfway, or is under way, has done is no change by hand.
        if observed.ledger_format < LEDGER_WITH_CATALOG or observed.unfinished or observed.running:
            self._compared_for = None
            return None
        seen = (observed.revisions, observed.runs)
        if seen != self._compared_for or time.monotonic() - self._compared_at >= self._compare_every_s:
            try:
                self._drift = await self._read(drift(self._version_table or VersionTable()))
            except SqlFault:
                self._drift = None  # somebody works on a table at this moment
            self._compared_for, self._compared_at = seen, time.monotonic()
        return self._drift

    async def _prove(self, observed: Observed) -> bool:
        """Prove the statements where the last proof is old, or was of another schema.

        Returns whether `_broken` is a proof of this schema.
        """
        seen = (observed.revisions, observed.lineage, observed.last_run)
        same = seen == self._proven_for
        if same and not self._broken and time.monotonic() - self._proven_at < self._prove_every_s:
            return True
        try:
            self._broken = await self._proof(self._statements)
        except SqlFault as fault:
            # A lock on a table, say. It is no news of a schema that was proven a moment ago.
            if not same:
                self._refuse_to_go_unproven(fault, observed)
                return False
        self._proven_for, self._proven_at = seen, time.monotonic()
        return True

    def _refuse_to_go_unproven(self, fault: SqlFault, observed: Observed) -> None:
        """Raise the fault of a proof, where an observation without a proof would say too much.

        A wait that was cut short is no lost database: a migration holds its tables, and would have every replica call
        the database unreachable. So the rest is told, what was broken stays broken, and the next look proves again.
        Only where nothing was ever proven, and nobody migrates who would let go of the table, is there neither a word
        on whether these statements run here nor a reason to expect one: to go on would open a gate that never looked.
        """
        waited = fault.sqlstate in {LOCK_NOT_AVAILABLE, QUERY_CANCELED}
        if not waited or not (self._ever_proven or observed.running):
            raise fault

    @property
    def _ever_proven(self) -> bool:
        return self._proven_at > float("-inf")

    async def _driven(self, reading: Generator[str, Rows, _Result], run: Callable[[str], Awaitable[Rows]]) -> _Result:
        """Run what a generator of `observe` yields, and return what it returns. `run` raises SqlFault."""
        sql = next(reading)
        while True:
            try:
                try:
                    rows = await run(sql)
                except SqlFault as fault:
                    sql = reading.throw(fault)
                else:
                    sql = reading.send(rows)
            except StopIteration as end:
                result: _Result = end.value
                return result

    def distrust(self) -> None:
        """Prove the statements anew at the next observation."""
        self._proven_for = self._compared_for = None

    async def close(self) -> None:
        """End the session, without waiting for a server that may never answer."""
        self._drop()

    async def _described(self, error: Exception) -> DatabaseUnreachable:
        return describe(error)

    @property
    @abstractmethod
    def _connected(self) -> bool:
        """Whether there is a session that is not known to be lost."""

    @abstractmethod
    async def _connect(self) -> None: ...

    @abstractmethod
    async def _read(self, reading: Generator[str, Rows, _Result]) -> _Result:
        """Run a generator of `observe` on the session."""

    @abstractmethod
    async def _proof(self, statements: Mapping[str, str]) -> tuple[BrokenStatement, ...]:
        """`observe.proof` on the session: the broken ones of `statements`."""

    @abstractmethod
    def _drop(self) -> None:
        """Leave the session at once, if there is one."""


def rows_of(fetched: Any) -> Rows:
    return [tuple(row) for row in fetched]
