"""A healthy server that is far away: slow in sum, and never once silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from migration_gate.postgres.asyncpg_probe import AsyncpgProbe
from tests.databases import Database

ONE_WAY_S = 0.04
STATEMENTS = {f"statement {number}": "SELECT $1::int" for number in range(10)}


async def test_it_is_observed_although_all_statements_together_outlast_the_timeout(empty_database: Database) -> None:
    async with _distant(empty_database.app_url) as url:
        probe = AsyncpgProbe(url, statements=STATEMENTS, timeout_s=1.0)
        loop = asyncio.get_running_loop()
        started = loop.time()

        observed = await probe()

        assert loop.time() - started > 1.0
        assert observed.statements_proven
        assert observed.broken_statements == ()
        await probe.close()


@asynccontextmanager
async def _distant(url: str) -> AsyncIterator[str]:
    """The address of the same server behind a line on which every byte takes its time."""
    parts = urlsplit(url)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await asyncio.sleep(ONE_WAY_S)
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    lines: list[asyncio.Task[None]] = []

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        await asyncio.gather(forward(reader, back), forward(there, writer), return_exceptions=True)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.append(asyncio.create_task(connect(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        yield url.replace(f":{parts.port}/", f":{port}/")
        await asyncio.gather(*lines)
