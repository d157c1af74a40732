"""The texts of the adopter's files, before and after it takes up the gate."""

from __future__ import annotations

INI = """\
[alembic]
script_location = %(here)s/fleet/database
version_locations = %(here)s/fleet/database/core:%(here)s/fleet/database/telemetry
path_separator = :
prepend_sys_path = %(here)s
sqlalchemy.url = {url}

[loggers]
keys = root,alembic

[handlers]
keys = console

[formatters]
keys = generic

[logger_root]
level = WARNING
handlers = console
qualname =

[logger_alembic]
level = INFO
handlers =
qualname = alembic

[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = generic

[formatter_generic]
format = %(levelname)-5.5s [%(name)s] %(message)s
"""

_ENV_HEAD = '''\
"""Alembic's environment of the fleet."""

{imports}
from alembic import context

from fleet.models import Base

config = context.config
if config.config_file_name is not None:
    fileConfig(config.config_file_name)


def nothing_for_nothing(context, revision, directives):
    """No file where autogenerate found nothing to do."""
    if getattr(config.cmd_opts, "autogenerate", False) and directives[0].upgrade_ops.is_empty():
        directives[:] = []

'''

_OPTIONS = """\
include_schemas=True,
compare_type=True,
render_as_batch=False,
version_table="schema_history",
version_table_schema="fleet",
process_revision_directives=nothing_for_nothing,
"""


def _options(indent: str) -> str:
    return "".join(f"{indent}{line}\n" for line in _OPTIONS.splitlines())


_MIGRATE = f"""
def migrate(connection):
    connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS fleet"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
{_options("        ")}    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline():
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        target_metadata=Base.metadata,
        literal_binds=True,
        dialect_opts={{"paramstyle": "named"}},
{_options("        ")}    )
    with context.begin_transaction():
        context.run_migrations()

"""

# As `alembic init -t async` writes it, with the project's options.
ENV_ASYNCHRONOUS = (
    _ENV_HEAD.format(
        imports="import asyncio\nfrom logging.config import fileConfig\n\nimport sqlalchemy as sa\n"
        "from sqlalchemy import pool\nfrom sqlalchemy.ext.asyncio import async_engine_from_config"
    )
    + _MIGRATE
    + """
async def run_online():
    connectable = async_engine_from_config(
        config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool
    )
    async with connectable.connect() as connection:
        await connection.run_sync(migrate)
    await connectable.dispose()


if context.is_offline_mode():
    run_offline()
else:
    asyncio.run(run_online())
"""
)

# The same for an environment without greenlet, which SQLAlchemy's asynchronous engine needs.
ENV_SYNCHRONOUS = (
    _ENV_HEAD.format(
        imports="from logging.config import fileConfig\n\nimport sqlalchemy as sa\nfrom sqlalchemy import pool"
    )
    + _MIGRATE
    + """
if context.is_offline_mode():
    run_offline()
else:
    address = config.get_main_option("sqlalchemy.url").replace("+asyncpg", "+psycopg")
    with sa.create_engine(address, poolclass=pool.NullPool).connect() as connection:
        migrate(connection)
"""
)

ENV_ADOPTED = (
    _ENV_HEAD.format(imports="from logging.config import fileConfig\n").replace(
        "\nfrom fleet.models", "\nfrom migration_gate.environment import run\n\nfrom fleet.models"
    )
    + f"""
run(
    Base.metadata,
{_options("    ")})
"""
)

APPLICATION = """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

app = Starlette(routes=[Route("/vehicles", lambda request: PlainTextResponse("vehicles"))])
"""

APPLICATION_ADOPTED = (
    APPLICATION.replace(
        "from starlette.routing import Route\n",
        "from starlette.routing import Route\n\nfrom migration_gate import SchemaGate\n",
    )
    + 'app.add_middleware(SchemaGate, config="alembic.ini")\n'
)

TEMPLATE = '''\
"""${message}

Revision ID: ${up_revision}
"""

from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision: str = ${repr(up_revision)}
down_revision: Union[str, Sequence[str], None] = ${repr(down_revision)}
branch_labels: Union[str, Sequence[str], None] = ${repr(branch_labels)}
depends_on: Union[str, Sequence[str], None] = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
'''
