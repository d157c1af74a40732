"""How a project is pointed at another database than its own: by the variables from which env.py takes its address."""

from __future__ import annotations


def pointed_at(migration: str, application: str) -> dict[str, str]:
    """The variables, to be laid over an environment.

    A project may also take its addresses from files, which such variables with `_FILE` behind their names tell. They
    are emptied: left as they are, the project would go to its own database, or refuse what is given twice.
    """
    addresses = {"MIGRATION_DATABASE_URL": migration, "DATABASE_URL": application}
    return addresses | {f"{name}_FILE": "" for name in addresses}
