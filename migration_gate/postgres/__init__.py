"""PostgreSQL without Alembic: addresses, and reading the schema's state through a driver."""
