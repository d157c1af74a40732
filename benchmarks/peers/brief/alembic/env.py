"""Alembic's environment as `alembic init` makes it: the models' metadata, one connection, one transaction."""

import os
import sys
from logging.config import fileConfig
from pathlib import Path

from alembic import context
from sqlalchemy import create_engine, pool

# `alembic` as a command does not look for modules in the working directory.
sys.path.insert(0, str(Path(__file__).parents[1]))

from main import Base

if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name)

url = os.environ.get("MIGRATION_DATABASE_URL", os.environ["DATABASE_URL"])
engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=pool.NullPool)

with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
