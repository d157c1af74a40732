"""Code and database schema agree, or no traffic: a gate for projects with Alembic and PostgreSQL.

`expected` tells what the code needs, `observe` what the database is, `status.judge` what follows from
the two. `environment.run` is all that alembic/env.py calls; `gate.SchemaGate`, here as `SchemaGate`, is all that an
application calls; `watch` and `start` are for a service that has more to say; `cli` is `migration-gate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migration_gate.gate import SchemaGate

__version__ = "0.1.0"
__all__ = ["SchemaGate", "__version__"]


def __getattr__(name: str) -> Any:
    # Not for a command that never serves.
    if name == "SchemaGate":
        from migration_gate.gate import SchemaGate

        return SchemaGate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
