"""When each alert fires, in words and in both languages; the rules themselves have the last one.

`alerts_page` puts them beside what the rules say. A test holds every number here against the rules.
"""

# ruff: noqa: RUF001  French is set with its own spaces and apostrophe

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Note(NamedTuple):
    """`proof` is a fault that makes it fire."""

    fires: str
    fires_in_french: str
    proof: str
    proof_in_french: str


ALERT_NOTES: Mapping[str, Note] = MappingProxyType(
    {
        "DatabaseError": Note(
            (
                "a statement or a connection fails, for a reason that is not a client’s; waiting for a migration’s "
                "lock is none"
            ),
            (
                "une instruction ou une connexion échoue, pour une raison qui ne tient pas au client ; l’attente d’un "
                "verrou tenu par une migration ne compte pas"
            ),
            "PostgreSQL stopped; a table dropped",
            "PostgreSQL arrêté ; une table supprimée",
        ),
        "DatabaseUnreachable": Note(
            "no replica reaches the database",
            "aucune réplique n’atteint la base",
            "PostgreSQL stopped",
            "PostgreSQL arrêté",
        ),
        "MigrationFailed": Note(
            "the newest run of migrations failed, or its migrator disappeared",
            "la dernière migration a échoué, ou le processus qui migrait a disparu",
            "a revision that PostgreSQL refuses",
            "une révision que PostgreSQL refuse",
        ),
        "SchemaNotMigrated": Note(
            "the database lacks revisions that the code needs, and nobody is migrating",
            "il manque à la base des révisions dont le code a besoin, et personne ne migre",
            "a start without migration",
            "un démarrage sans migration",
        ),
        "SchemaMismatch": Note(
            "the database left the code behind, diverged from it, or is another one",
            "la base a dépassé le code, en a divergé, ou c’en est une autre",
            "an unknown revision stamped",
            "une révision inconnue inscrite",
        ),
        "SchemaBroken": Note(
            "a statement of the service cannot run on the schema, and nobody is migrating",
            "une instruction du service ne peut pas s’exécuter sur ce schéma, et personne ne migre",
            "a column dropped; a privilege revoked",
            "une colonne supprimée ; un droit retiré",
        ),
        "ServiceDown": Note(
            "no replica answers; one that hangs does not",
            "aucune réplique ne répond ; un processus figé ne répond pas",
            "the process killed; the process stopped by SIGSTOP",
            "le processus tué ; le processus figé par SIGSTOP",
        ),
        "HighErrorRate": Note(
            "more than 5 % of the requests of a minute fail, of 20 at least",
            "plus de 5 % des requêtes d’une minute échouent, sur 20 au moins",
            "a route that fails",
            "une route qui échoue",
        ),
        "HighResponseTime": Note(
            "the 95th percentile of a minute is above 2 s (2,000 ms), of 10 requests at least",
            "le 95e centile d’une minute dépasse 2 s (2 000 ms), sur 10 requêtes au moins",
            "answers made slow",
            "des réponses ralenties",
        ),
        "ErrorsAtLowTraffic": Note(
            "3 requests within 5 minutes fail, while there are fewer than 20 in a minute",
            "3 requêtes échouent en 5 minutes, quand il y en a moins de 20 par minute",
            "three failing calls",
            "trois appels qui échouent",
        ),
        "ErrorBudgetBurnFast": Note(
            (
                "the error budget of 99.9 % burns 14.4 times too fast over 1 h and 5 minutes, or 6 times over 6 h and"
                " 30 minutes; 10 failures at least"
            ),
            (
                "le budget d’erreurs des 99,9 % brûle 14,4 fois trop vite sur 1 h et 5 minutes, ou 6 fois sur 6 h et "
                "30 minutes ; 10 échecs au moins"
            ),
            "a route that fails, with shortened windows",
            "une route qui échoue, fenêtres raccourcies",
        ),
        "ErrorBudgetBurnSlow": Note(
            "3 times too fast over a day and 2 h, or faster than it may over 3 days and 6 h; 10 failures at least",
            "3 fois trop vite sur un jour et 2 h, ou plus vite que permis sur 3 jours et 6 h ; 10 échecs au moins",
            "a route that fails, with shortened windows",
            "une route qui échoue, fenêtres raccourcies",
        ),
        "ServiceAbsent": Note(
            "Prometheus has no target of the service",
            "Prometheus n’a aucune cible pour le service",
            "the target taken away",
            "la cible retirée",
        ),
        "CrashLoop": Note(
            "a replica was started more than 3 times within 5 minutes",
            "une réplique a démarré plus de 3 fois en 5 minutes",
            "starts that end at once",
            "des démarrages qui s’arrêtent aussitôt",
        ),
        "ReplicaDown": Note(
            "a replica is down while another one is up",
            "une réplique est à terre pendant qu’une autre est debout",
            "one of two killed",
            "une sur deux tuée",
        ),
        "ReplicaNotReady": Note(
            "a replica is not ready while another one is",
            "une réplique n’est pas prête pendant qu’une autre l’est",
            "one of two cut off from the database",
            "une sur deux coupée de la base",
        ),
        "MetricMissing": Note(
            (
                "a replica is up and does not tell a metric that a rule reads, or reaches the database and cannot read "
                "its activity"
            ),
            (
                "une réplique est debout et ne donne pas une métrique que lit une règle, ou atteint la base sans "
                "pouvoir en lire l’activité"
            ),
            "a metric taken away",
            "une métrique retirée",
        ),
        "SchemaSuspect": Note(
            (
                "the service serves, and the next migration would be refused or unsafe: edited, drifted, incomplete, "
                "several heads, broken graph, unversioned"
            ),
            (
                "le service sert, mais la prochaine migration serait refusée ou risquée : révision modifiée, dérive, "
                "migration incomplète, plusieurs têtes, graphe cassé, base sans version"
            ),
            "a column added by hand",
            "une colonne ajoutée à la main",
        ),
        "SchemaCheckStale": Note(
            "a replica has not seen its schema for 30 s while another one sees it",
            "une réplique n’a pas vu son schéma depuis 30 s pendant qu’une autre le voit",
            "one of two cut off from the database",
            "une sur deux coupée de la base",
        ),
        "MigrationStuck": Note(
            "a migration has been under way for 10 minutes",
            "une migration est en cours depuis 10 minutes",
            "a revision that waits",
            "une révision qui attend",
        ),
        "GateOverridden": Note(
            "somebody has overridden the gate",
            "quelqu’un a forcé le garde-fou",
            "the override granted",
            "la dérogation accordée",
        ),
        "PoolSaturated": Note(
            "90 % of the pool are in use and somebody waits",
            "90 % du pool sont utilisés et quelqu’un attend",
            "connections held by a lock",
            "des connexions tenues par un verrou",
        ),
        "RequestsRefused": Note(
            "requests are refused for want of room",
            "des requêtes sont refusées faute de place",
            "more clients than places",
            "plus de clients que de places",
        ),
        "EventLoopBlocked": Note(
            "the event loop is late by more than 0.5 s, again and again",
            "la boucle d’événements a plus de 0,5 s de retard, encore et encore",
            "a call that blocks it",
            "un appel qui la bloque",
        ),
        "ConnectionsHigh": Note(
            "80 % of the sessions that PostgreSQL grants are in use",
            "80 % des sessions que PostgreSQL accorde sont utilisées",
            "idle sessions opened",
            "des sessions ouvertes pour rien",
        ),
        "LockWait": Note(
            "somebody waits for a lock, at every look, and nobody is migrating",
            "quelqu’un attend un verrou, à chaque regard, et personne ne migre",
            "a table locked",
            "une table verrouillée",
        ),
        "LongTransaction": Note(
            "a transaction has been open for 60 s",
            "une transaction est ouverte depuis 60 s",
            "a session idle in its transaction",
            "une session inactive dans une transaction",
        ),
        "Deadlocks": Note(
            "PostgreSQL resolved a deadlock",
            "PostgreSQL a résolu un interblocage",
            "two crossed updates",
            "deux mises à jour croisées",
        ),
        "DiskAlmostFull": Note(
            "less than 10 % of the disk are left, or less than 40 % and full within a day at this rate",
            "il reste moins de 10 % du disque, ou moins de 40 % et, à ce rythme, il sera plein dans la journée",
            "a small file system filled",
            "un petit système de fichiers rempli",
        ),
        "Watchdog": Note(
            "always: that it arrives shows that alerts do",
            "toujours : son arrivée prouve que les alertes arrivent",
            "it is always there",
            "elle est toujours là",
        ),
        "AlertmanagerUnreachable": Note(
            "Prometheus knows no Alertmanager, reaches none, or drops alerts",
            "Prometheus ne connaît aucun Alertmanager, n’en atteint aucun, ou perd des alertes",
            "Alertmanager stopped",
            "Alertmanager arrêté",
        ),
        "NotificationsFailing": Note(
            "Alertmanager gave a notification up within 5 minutes",
            "Alertmanager a abandonné une notification au cours des 5 minutes",
            "a receiver that answers 500",
            "un récepteur qui répond 500",
        ),
        "RulesFailing": Note(
            "a rule could not be evaluated within 5 minutes",
            "une règle n’a pas pu être évaluée au cours des 5 minutes",
            "a rule with two answers where one is allowed",
            "une règle à deux réponses là où une seule est permise",
        ),
        "ConfigurationNotLoaded": Note(
            "Prometheus or Alertmanager runs on an older configuration than its file",
            "Prometheus ou Alertmanager tourne sur une configuration plus ancienne que son fichier",
            "a broken file loaded",
            "un fichier cassé rechargé",
        ),
        "BackupTooOld": Note(
            "no verified backup is as young as it should be, or the scheduler of backups does not answer",
            (
                "aucune sauvegarde vérifiée n’est aussi récente qu’il le faut, ou le planificateur des sauvegardes ne "
                "répond pas"
            ),
            "the scheduler killed",
            "le planificateur tué",
        ),
        "IncidentReceiverDown": Note(
            "the incident receiver does not answer",
            "le récepteur d’incidents ne répond pas",
            "the receiver stopped",
            "le récepteur arrêté",
        ),
    }
)
