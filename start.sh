#!/bin/sh
# The image's entry point: one role a container, by the first argument. Each step is told in one line, and what is started
# takes the place of this shell, so that it is the container's first process and signals reach it.
#
#   serve (default)  the API on port 8000; TASKMANAGER_MIGRATE=on_start has the migrations applied while it answers already
#   migrate          apply the migrations and end
#   incidents        the incident receiver on port 9095
#   backup           scheduled backups, and their metrics on port 9096
#   anything else    is run as it stands: taskmanager status, alembic current, psql, bash
#
# Further arguments of a role are handed on: `serve --port 8001`. Exit status: that of what is run, 127 where there is no
# such command.
set -eu

DATA=/var/lib/taskmanager

# $1 says what; the words after it are this script's own and need no escaping.
tell() {
    case "${TASKMANAGER_LOG_FORMAT:-auto}:${TASKMANAGER_ENV:-development}" in
        json:* | auto:production)
            printf '{"event": "%s", "level": "info", "logger": "start.sh", "timestamp": "%s"}\n' \
                "$1" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" >&2
            ;;
        *) printf 'start.sh: %s\n' "$1" >&2 ;;
    esac
}

role=${1:-serve}
[ $# -eq 0 ] || shift
case $role in
    serve)
        case "${TASKMANAGER_MIGRATE:-never}" in
            on_start) tell "serving, and applying the migrations meanwhile" ;;
            *) tell "serving, as soon as the schema fits; the migrations are another's to apply" ;;
        esac
        exec taskmanager serve --host 0.0.0.0 --port 8000 "$@"
        ;;
    migrate)
        tell "applying the migrations"
        exec taskmanager migrate "$@"
        ;;
    incidents)
        tell "receiving alerts, the journal is in $DATA/incidents"
        exec taskmanager incidents serve --host 0.0.0.0 --port 9095 --journal "$DATA/incidents/journal.jsonl" "$@"
        ;;
    backup)
        tell "backing up once a day, unless told otherwise, into $TASKMANAGER_BACKUP_FOLDER"
        exec taskmanager backup --every 24h --keep 14 --listen 0.0.0.0:9096 "$@"
        ;;
esac
if ! command -v "$role" >/dev/null; then
    tell "neither a role nor a command; the roles are serve, migrate, incidents and backup"
    exit 127
fi
exec "$role" "$@"
