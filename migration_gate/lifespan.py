"""An application's start and end, with the watch around them, whether the application knows of either or not."""

from __future__ import annotations

from migration_gate.asgi import App, Message, Receive, Scope, Send
from migration_gate.project_watch import ProjectWatch


async def serve_lifespan(app: App, watch: ProjectWatch, scope: Scope, receive: Receive, send: Send) -> None:
    """Run the application's lifespan. The watch starts before it; the server is told that the start is complete once
    there is a verdict, or none was to be had in time."""
    asked = False

    async def receive_and_start() -> Message:
        nonlocal asked
        message = await receive()
        asked = True
        if message["type"] == "lifespan.startup":
            watch.start()
        return message

    async def wait_and_send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            await watch.first_verdict()
        else:
            await watch.stop()
        await send(message)

    try:
        try:
            await app(scope, receive_and_start, wait_and_send)
        except Exception:
            # An application that knows no lifespan raises before it has asked for anything: that is no failed start.
            if asked:
                raise
        if not asked:
            await receive_and_start()
            await wait_and_send({"type": "lifespan.startup.complete"})
            await receive_and_start()
            await wait_and_send({"type": "lifespan.shutdown.complete"})
    finally:
        await watch.stop()
