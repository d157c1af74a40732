"""What each metric is for, in both languages: what the code's own descriptions are too short to tell.

`metrics_page` puts them beside the names, types and labels that a scrape has, and a test holds that none is missing.
"""

# ruff: noqa: RUF001  French is set with the typographic apostrophe

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Note(NamedTuple):
    """`unit` is of the value; empty for what is 0 or 1. `why` is what the metric is looked at for."""

    unit: str
    why: str
    why_in_french: str


UNITS_IN_FRENCH: Mapping[str, str] = MappingProxyType(
    {
        "": "",
        "bytes": "octets",
        "collections": "passages",
        "connections": "connexions",
        "constraints": "contraintes",
        "deadlocks": "interblocages",
        "descriptors": "descripteurs",
        "errors": "erreurs",
        "indexes": "index",
        "objects": "objets",
        "requests": "requêtes",
        "retries": "nouveaux essais",
        "revisions": "révisions",
        "runs": "exécutions",
        "seconds": "secondes",
        "seconds since 1970": "secondes depuis 1970",
        "sessions": "sessions",
        "statements": "instructions",
        "steps": "étapes",
    }
)

METRIC_NOTES: Mapping[str, Note] = MappingProxyType(
    {
        "http_requests_total": Note(
            "requests", "traffic, and the share of errors in it", "le trafic, et la part d’erreurs qu’il contient"
        ),
        "http_request_duration_seconds": Note(
            "seconds", "percentiles and slow shares by route", "les centiles et la part de réponses lentes, par route"
        ),
        "http_request_duration_highr_seconds": Note(
            "seconds", "durations over all routes together", "la durée des requêtes, toutes routes confondues"
        ),
        "http_request_size_bytes": Note("bytes", "what clients send", "ce que les clients envoient"),
        "http_response_size_bytes": Note("bytes", "what they are sent", "ce qui leur est renvoyé"),
        "http_requests_inprogress": Note(
            "requests", "how full the service is, the scrape included", "le remplissage du service, relevé compris"
        ),
        "taskmanager_requests_in_flight_max": Note("requests", "how full it may be", "le remplissage permis"),
        "taskmanager_requests_refused_total": Note(
            "requests",
            "refusals by reason; those of a planned migration are no errors for the alerts",
            "les refus par motif ; ceux d’une migration prévue ne comptent pas comme erreurs dans les alertes",
        ),
        "taskmanager_app_state": Note(
            "",
            "what the process does: tells a planned absence from a fault",
            "ce que fait le processus : une absence prévue n’est pas une panne",
        ),
        "taskmanager_build_info": Note(
            "",
            "which release answers; its changes are deployments",
            "la version qui répond ; ses changements sont les déploiements",
        ),
        "taskmanager_auth_info": Note("", "whether callers need a key", "si les appelants ont besoin d’une clé"),
        "taskmanager_event_loop_lag_seconds": Note(
            "seconds",
            "whether something blocks every request at once",
            "si quelque chose bloque toutes les requêtes à la fois",
        ),
        "taskmanager_disk_free_bytes": Note(
            "bytes", "a full disk stops PostgreSQL", "un disque plein arrête PostgreSQL"
        ),
        "taskmanager_disk_size_bytes": Note(
            "bytes", "what the free room is a part of", "ce dont la place libre est une part"
        ),
        "taskmanager_db_errors_total": Note(
            "errors",
            "the first sign of a broken schema or a lost database; `integrity` and `data` are a client’s doing",
            "le premier signe d’un schéma cassé ou d’une base perdue ; `integrity` et `data` viennent du client",
        ),
        "taskmanager_db_query_duration_seconds": Note(
            "seconds", "which statement is slow", "l’instruction SQL qui est lente"
        ),
        "taskmanager_db_pool_connections": Note(
            "connections", "how much of the pool is in use", "la part du pool en usage"
        ),
        "taskmanager_db_pool_max": Note("connections", "how large the pool may grow", "la taille permise du pool"),
        "taskmanager_db_pool_waiting": Note("statements", "whether the pool is too small", "si le pool est trop petit"),
        "taskmanager_db_pool_wait_seconds": Note("seconds", "how long one waits for it", "l’attente d’une connexion"),
        "taskmanager_postgres_connections": Note("sessions", "how full the server is", "le remplissage du serveur"),
        "taskmanager_postgres_connections_max": Note("sessions", "how full it may be", "le remplissage permis"),
        "taskmanager_postgres_lock_waiters": Note("sessions", "who is held up by whom", "qui est bloqué par un verrou"),
        "taskmanager_postgres_longest_transaction_seconds": Note(
            "seconds",
            "a forgotten transaction holds locks and keeps vacuum from its work",
            "une transaction oubliée garde ses verrous et empêche le vacuum de travailler",
        ),
        "taskmanager_postgres_deadlocks_total": Note(
            "deadlocks", "two writers that lock in opposite orders", "deux écritures qui verrouillent en sens contraire"
        ),
        "taskmanager_postgres_database_size_bytes": Note("bytes", "growth", "la croissance"),
        "migration_gate_state": Note(
            "", "the verdict on the schema: the cause by its code", "le verdict sur le schéma : la cause par son code"
        ),
        "migration_gate_finding": Note(
            "", "all that was found, beside the verdict", "tout ce qui a été trouvé, outre le verdict"
        ),
        "migration_gate_servable": Note("", "whether the schema allows traffic", "si le schéma permet de servir"),
        "migration_gate_override_active": Note(
            "", "whether traffic flows on somebody’s word", "si l’on sert sur la parole de quelqu’un"
        ),
        "migration_gate_database_reachable": Note("", "whether the database answers", "si la base répond"),
        "migration_gate_revisions_behind": Note(
            "revisions",
            "migrations that were forgotten: the incident itself",
            "les migrations oubliées : l’incident même",
        ),
        "migration_gate_statements_broken": Note(
            "statements", "what would fail if it were asked for", "ce qui échouerait si on le demandait"
        ),
        "migration_gate_check_age_seconds": Note("seconds", "whether the verdict is fresh", "si le verdict est récent"),
        "migration_gate_code_info": Note("", "the revision that the code needs", "la révision dont le code a besoin"),
        "migration_gate_database_info": Note(
            "", "the revision that the database is at", "la révision où en est la base"
        ),
        "migration_gate_drift_objects": Note(
            "objects", "changes made past the migrations", "les changements faits hors migrations"
        ),
        "migration_gate_invalid_indexes": Note(
            "indexes", "left by a migration that broke off", "laissés par une migration interrompue"
        ),
        "migration_gate_unvalidated_constraints": Note("constraints", "left to be validated", "qui restent à valider"),
        "migration_gate_unfinished_steps": Note(
            "steps", "left by a migration that broke off", "laissées par une migration interrompue"
        ),
        "migration_gate_running_planned": Note(
            "revisions", "the run under way: how much it has to do", "la migration en cours : ce qu’elle a à faire"
        ),
        "migration_gate_running_done": Note("revisions", "and how far it is", "et où elle en est"),
        "migration_gate_runs_total": Note("runs", "migrations by how they ended", "les migrations, selon leur fin"),
        "migration_gate_run_seconds_total": Note("seconds", "how long they took", "leur durée"),
        "migration_gate_lock_wait_seconds_total": Note(
            "seconds", "how long they waited for each other", "le temps passé à attendre le verrou de migration"
        ),
        "migration_gate_lock_retries_total": Note(
            "retries", "how often a table was locked", "combien de fois une table était verrouillée"
        ),
        "migration_gate_last_run": Note(
            "",
            "how the newest migration ended, whoever ran it",
            "la fin de la dernière migration, quel qu’en soit l’auteur",
        ),
        "migration_gate_last_success_timestamp_seconds": Note(
            "seconds since 1970", "when a migration last succeeded", "la date de la dernière migration réussie"
        ),
        "process_cpu_seconds_total": Note("seconds", "CPU time", "le temps processeur"),
        "process_resident_memory_bytes": Note("bytes", "memory, and whether it leaks", "la mémoire, et si elle fuit"),
        "process_virtual_memory_bytes": Note("bytes", "address space", "l’espace d’adressage"),
        "process_start_time_seconds": Note(
            "seconds since 1970", "its changes are restarts", "ses changements sont les redémarrages"
        ),
        "process_open_fds": Note("descriptors", "connections and files", "les connexions et les fichiers"),
        "process_max_fds": Note("descriptors", "how many there may be", "combien il peut y en avoir"),
        "python_info": Note("", "the interpreter", "l’interpréteur"),
        "python_gc_objects_collected_total": Note("objects", "garbage collection", "le ramasse-miettes"),
        "python_gc_objects_uncollectable_total": Note("objects", "garbage that stays", "les objets qui restent"),
        "python_gc_collections_total": Note("collections", "how often it ran", "combien de fois il a tourné"),
    }
)
