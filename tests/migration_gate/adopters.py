"""Applications of others that adopt the gate, as their authors would write them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.migration_gate.scratch import Project
from tests.processes import ROOT, Service

FASTAPI = """
import sys
from fastapi import FastAPI
from migration_gate import SchemaGate

app = FastAPI()
app.add_middleware(SchemaGate, config="alembic.ini"{options})

@app.get("/books")
def books():
    return ["books"]

@app.get("/livez")
def livez():
    return sorted(sys.modules.keys() & {{"alembic", "sqlalchemy", "asyncpg", "models", "env"}})
"""

STARLETTE = """
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from migration_gate import SchemaGate

@asynccontextmanager
async def lifespan(app):
    print("STARTED", flush=True)
    yield
    print("ENDED", flush=True)

app = Starlette(routes=[Route("/books", lambda request: PlainTextResponse("books"))], lifespan=lifespan)
app.add_middleware(SchemaGate, config="alembic.ini"{options})
"""

PLAIN = """
from migration_gate import SchemaGate

async def books(scope, receive, send):
    assert scope["type"] == "http"
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": b"books"}})

app = SchemaGate(books, config="alembic.ini"{options})
"""

# serve(application, options="", *uvicorn_arguments, url=None)
Serve = Callable[..., Service]


@contextmanager
def serving(project: Project, app_url: str, folder: Path) -> Iterator[Serve]:
    """Serve applications in the project's folder as the application's role: `serve(FASTAPI, ', mode="warn"')`."""
    with ExitStack() as running:

        def start(application: str, options: str = "", *arguments: str, url: str = app_url) -> Service:
            (project.folder / "app.py").write_text(application.format(options=options))
            command = (sys.executable, "-m", "uvicorn", "app:app", "--port", "{port}", *arguments)
            variables = {"PYTHONPATH": str(ROOT), "DATABASE_URL": url}
            return running.enter_context(Service(variables, folder, command=command, cwd=project.folder))

        yield start
