"""The database as the service meets it: how much is used, what waits, what fails (the USE method)."""

from __future__ import annotations

from ops.grafana.boards.board import Board, row
from ops.grafana.boards.graphs import graph
from ops.grafana.boards.limits import CRITICAL, WARNING, Limit
from ops.grafana.boards.panels import About, Query
from ops.grafana.boards.promql import BACKUPS, CLIENTS_DB_ERRORS, REPLICAS, WINDOW, quantile
from ops.grafana.boards.states import REACHABLE
from ops.grafana.boards.uids import API, DATABASE, INCIDENT
from ops.grafana.boards.words import number, state, timeline

_WAITS = "taskmanager_db_pool_wait_seconds_bucket"
_DURATIONS = "taskmanager_db_query_duration_seconds_bucket"
_NO_QUERY = "No data: no query ran in this time"

# Every replica asks the one server and is told the same; so the largest answer is the newest, and not a sum.
_CONNECTIONS = (
    f"max(taskmanager_postgres_connections{{{REPLICAS}}}) / max(taskmanager_postgres_connections_max{{{REPLICAS}}})"
)
_POOL_USED = (
    f'sum(taskmanager_db_pool_connections{{{REPLICAS},state="used"}}) / sum(taskmanager_db_pool_max{{{REPLICAS}}})'
)
_DISK_FREE = f"min(taskmanager_disk_free_bytes{{{REPLICAS}}} / taskmanager_disk_size_bytes{{{REPLICAS}}})"
_NO_SCHEDULER = "No data: no scheduler of backups is scraped"
_NO_FOLDER = "Not known: TASKMANAGER_DISK_FOLDER names no folder"

_NOW = row(
    "Now",
    5,
    state(
        "Reachable",
        About("Whether any replica reaches the database.", "reachable.", ("DatabaseUnreachable",), (INCIDENT,)),
        REACHABLE,
        Query(f"max(migration_gate_database_reachable{{{REPLICAS}}})", "database"),
    ),
    number(
        "Connections used",
        About(
            "Connections to the server, of those that an ordinary role can have.",
            "below 50 %.",
            ("ConnectionsHigh",),
        ),
        "percentunit",
        Query(_CONNECTIONS, "of the server's"),
        limits=(Limit(0.8, "80 %: ConnectionsHigh", WARNING),),
    ),
    number(
        "Pool used",
        About("Connections of the pools that are at work.", "below 50 %.", ("PoolSaturated",)),
        "percentunit",
        Query(_POOL_USED, "of the pools"),
        limits=(Limit(0.9, "90 %: PoolSaturated", WARNING),),
    ),
    number(
        "Errors",
        About(
            "Errors of the database in the last five minutes, without integrity and data, which clients cause.",
            "0.",
            ("DatabaseError",),
        ),
        "none",
        Query(
            f'sum(increase(taskmanager_db_errors_total{{{REPLICAS},kind!~"{CLIENTS_DB_ERRORS}"}}[5m]))',
            "in five minutes",
        ),
        limits=(Limit(0, "0: DatabaseError", CRITICAL),),
        decimals=0,
    ),
    number(
        "Waiting for a lock",
        About("Sessions that wait for a lock that another holds.", "0.", ("LockWait",)),
        "none",
        Query(f"max(taskmanager_postgres_lock_waiters{{{REPLICAS}}})", "sessions"),
        limits=(Limit(0, "0: LockWait", WARNING),),
        decimals=0,
    ),
    number(
        "Disk free",
        About("The free share of the disk that the database is on.", "above 20 %.", ("DiskAlmostFull",)),
        "percentunit",
        Query(_DISK_FREE, "free"),
        limits=(Limit(0.1, "10 %: DiskAlmostFull", WARNING),),
        falling=True,
        no_value=_NO_FOLDER,
    ),
)

_USED = row(
    "Connections",
    8,
    graph(
        "Connections to the server",
        About(
            "Sessions on the server, ours and others', and how many an ordinary role can have.",
            "level, and far below the maximum.",
            ("ConnectionsHigh",),
        ),
        "none",
        Query(f"max(taskmanager_postgres_connections{{{REPLICAS}}})", "connections"),
        Query(f"max(taskmanager_postgres_connections_max{{{REPLICAS}}})", "maximum"),
        Query(f"max(taskmanager_postgres_connections_max{{{REPLICAS}}}) * 0.8", "80 %: ConnectionsHigh"),
        width=8,
    ),
    graph(
        "Pool",
        About(
            "Connections of the pools at work and idle, requests that wait for one, and the pools' size.",
            "nobody waits.",
            ("PoolSaturated",),
        ),
        "none",
        Query(f"sum by (state) (taskmanager_db_pool_connections{{{REPLICAS}}})", "{{state}}"),
        Query(f"sum(taskmanager_db_pool_waiting{{{REPLICAS}}})", "waiting"),
        Query(f"sum(taskmanager_db_pool_max{{{REPLICAS}}})", "size"),
        width=8,
    ),
    graph(
        "Wait for a connection",
        About(
            "How long requests waited for a connection of the pool: half, 95 % and 99 % of them no longer than this.",
            "milliseconds.",
            ("PoolSaturated",),
        ),
        "s",
        *(Query(quantile(share, _WAITS), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)),
        width=8,
        no_value=_NO_QUERY,
    ),
)

_QUERIES = row(
    "Queries and errors",
    9,
    graph(
        "Duration of queries, 95th percentile",
        About(
            "The 95th percentile by operation, which is the name of the statement.",
            "below 50 ms.",
            ("HighResponseTime",),
            (API,),
        ),
        "s",
        Query(quantile(0.95, _DURATIONS, "operation"), "{{operation}}"),
        limits=(Limit(2, "2 s: no request can be faster than its query", WARNING),),
        no_value=_NO_QUERY,
    ),
    graph(
        "Queries by operation",
        About("Queries in a second, by operation.", "in step with the requests.", boards=(API,)),
        "ops",
        Query(
            f"sum by (operation) (rate(taskmanager_db_query_duration_seconds_count{{{REPLICAS}}}[{WINDOW}]))",
            "{{operation}}",
        ),
        stacked=True,
        no_value=_NO_QUERY,
    ),
)

_ERRORS = row(
    "",
    8,
    graph(
        "Errors by kind",
        About(
            "Errors of the database within a minute, by kind. Clients cause integrity and data, which alert nobody.",
            "0, but for integrity and data.",
            ("DatabaseError",),
            (INCIDENT,),
        ),
        "none",
        Query(f"sum by (kind) (increase(taskmanager_db_errors_total{{{REPLICAS}}}[1m]))", "{{kind}}"),
    ),
    timeline(
        "Reachable over time",
        About(
            "Whether each replica's last look at the database was answered.",
            "reachable.",
            ("DatabaseUnreachable", "SchemaCheckStale"),
        ),
        REACHABLE,
        Query(f"max by (instance) (migration_gate_database_reachable{{{REPLICAS}}})", "{{instance}}"),
        width=12,
    ),
)

_LOCKS = row(
    "Locks and transactions",
    8,
    graph(
        "Sessions that wait for a lock",
        About("Sessions of the server that wait for a lock.", "0, and for moments a few.", ("LockWait",)),
        "none",
        Query(f"max(taskmanager_postgres_lock_waiters{{{REPLICAS}}})", "waiting"),
        width=8,
    ),
    graph(
        "Longest transaction",
        About(
            "For how long the oldest open transaction has been seen; vacuum and migrations are left out.",
            "below a second.",
            ("LongTransaction",),
        ),
        "s",
        Query(f"max(taskmanager_postgres_longest_transaction_seconds{{{REPLICAS}}})", "longest"),
        limits=(Limit(60, "60 s: LongTransaction", WARNING),),
        width=8,
    ),
    graph(
        "Deadlocks",
        About("Deadlocks that the server resolved within five minutes by ending a transaction.", "0.", ("Deadlocks",)),
        "none",
        Query(f"max(increase(taskmanager_postgres_deadlocks_total{{{REPLICAS}}}[5m]))", "deadlocks"),
        width=8,
    ),
)

_SPACE = row(
    "Space",
    8,
    graph(
        "Size of the database",
        About("What the database takes on disk.", "a slow rise.", ("DiskAlmostFull",)),
        "bytes",
        Query(f"max(taskmanager_postgres_database_size_bytes{{{REPLICAS}}})", "size"),
    ),
    graph(
        "Free disk",
        About(
            "The free share of the disk, and what it would be in 24 hours if the last hour went on.",
            "above 20 %, and level.",
            ("DiskAlmostFull",),
        ),
        "percentunit",
        Query(_DISK_FREE, "free"),
        Query(
            f"clamp_min(min(predict_linear(taskmanager_disk_free_bytes{{{REPLICAS}}}[1h], 86400)"
            f" / taskmanager_disk_size_bytes{{{REPLICAS}}}), 0)",
            "in 24 h",
        ),
        limits=(Limit(0.1, "10 %: DiskAlmostFull", WARNING),),
        falling=True,
        no_value=_NO_FOLDER,
    ),
)

_BACKUPS = row(
    "Backups",
    6,
    number(
        "Age of the newest verified backup",
        About(
            "How long ago the newest backup was made that was restored and compared, in parts of what is allowed.",
            "below 100 %.",
            ("BackupTooOld",),
        ),
        "percentunit",
        Query(
            f"(time() - max(taskmanager_backup_last_verified_timestamp_seconds{{{BACKUPS}}}))"
            f" / max(taskmanager_backup_max_age_seconds{{{BACKUPS}}})",
            "of what is allowed",
        ),
        limits=(Limit(1, "100 %: BackupTooOld", WARNING),),
        width=6,
        no_value=_NO_SCHEDULER,
    ),
    number(
        "Backups kept",
        About("Backups in the scheduler's folder, verified or not.", "what --keep says.", ("BackupTooOld",)),
        "none",
        Query(f"max(taskmanager_backups_kept{{{BACKUPS}}})", "backups"),
        decimals=0,
        width=6,
        no_value=_NO_SCHEDULER,
    ),
    graph(
        "Size of backups",
        About(
            "How large the newest backup is.",
            "in step with the size of the database.",
            ("BackupTooOld", "DiskAlmostFull"),
        ),
        "bytes",
        Query(f"max(taskmanager_backup_size_bytes{{{BACKUPS}}})", "size"),
        width=6,
        no_value=_NO_SCHEDULER,
    ),
    graph(
        "Attempts",
        About(
            "Attempts within a day that made no backup, or one whose trial failed; and the seconds that making and"
            " trying the newest took.",
            "no failure.",
            ("BackupTooOld",),
        ),
        "none",
        Query(f"sum(increase(taskmanager_backup_failures_total{{{BACKUPS}}}[1d]))", "failures"),
        Query(f"max(taskmanager_backup_duration_seconds{{{BACKUPS}}})", "seconds"),
        width=6,
        no_value=_NO_SCHEDULER,
    ),
)

BOARD = Board(
    uid=DATABASE[0],
    title=f"TaskManager: {DATABASE[1]}",
    description="The database as the service meets it: what is used, what waits, what fails.",
    rows=(_NOW, _USED, _QUERIES, _ERRORS, _LOCKS, _SPACE, _BACKUPS),
)
