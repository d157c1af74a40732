"""Code and database schema agree, or no traffic: a gate for projects with Alembic and PostgreSQL.

`expected` tells what the code needs, `observe` what the database is, `status.judge` what follows from
the two. `environment.run` is all that alembic/env.py calls; `watch`, `gate` and `start` are
for the running service; `cli` is `migration-gate`.
"""

__version__ = "0.1.0"
