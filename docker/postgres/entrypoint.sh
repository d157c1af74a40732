#!/bin/sh
# The entrypoint of the database in production, around the one of PostgreSQL's own image: no start without passwords of
# one's own and a certificate, and no way in but TLS.
#
# In the compose file, beside an image of PostgreSQL 15 or newer:
#
#   entrypoint: ["/etc/taskmanager/postgres/entrypoint.sh"]
#   command: ["postgres"]                                        # more settings of the server: "-c", "name=value"
#   environment:
#     POSTGRES_USER: postgres
#     POSTGRES_DB: taskmanager
#     POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password     # the superuser's, who cannot log in over the network
#     MIGRATOR_PASSWORD_FILE: /run/secrets/migrator_password     # taskmanager_migrator, who owns and migrates
#     APP_PASSWORD_FILE: /run/secrets/app_password               # taskmanager_app, who reads and writes
#     BACKUP_PASSWORD_FILE: /run/secrets/backup_password         # optional: taskmanager_backup, who dumps all and tries
#                                                                # each backup in a database that it makes for it
#     MONITOR_PASSWORD_FILE: /run/secrets/monitor_password       # optional: taskmanager_monitor, for postgres-exporter
#     TLS_FOLDER: /run/secrets/tls                               # has server.crt and server.key
#   volumes:
#     - ./docker/postgres:/etc/taskmanager/postgres:ro
#     - ./docker/postgres/initdb:/docker-entrypoint-initdb.d:ro  # makes the roles, once, in an empty data folder
#     - ./docker/secrets/tls/server:/run/secrets/tls:ro          # the folder, so that a renewed file is seen
#
# It starts as root, as the image does, and reads the secrets as root; PostgreSQL runs as postgres. /dev/shm must be
# writable. Passwords: one line, 16 characters at least, each another. Exit status 78: one of these files or the data that
# are there cannot be used, and the line before says which. Later changes of them are taken up by renew.sh, without a restart.
set -eu

here=$(dirname "$0")
# shellcheck source=docker/postgres/private.sh
. "$here/private.sh"

case ${1-} in
    '' | -*) set -- postgres "$@" ;;
    postgres) ;;
    *) exec docker-entrypoint.sh "$@" ;; # a shell, or a tool of PostgreSQL's
esac

# The image's entrypoint serves any data that it finds: those of a first start that broke off between the cluster and its
# roles, or development's, whose superuser has the password that everybody knows. The last script of initdb leaves the mark.
check_data() {
    [ -s "${PGDATA:?names the data folder, as the image does}/PG_VERSION" ] || return 0
    [ -e "$PGDATA/taskmanager_first_start_done" ] ||
        fault "$PGDATA: a first start that makes the roles was not brought to its end here, or these are another's data; start with an empty volume, or, where they are wanted and have the roles, accept them: docker-compose run --rm db touch $PGDATA/taskmanager_first_start_done"
}

check_private_files
check_data
end_on_faults
copy_private_files
# Terse: the details of an error quote the row that it is about, with what people wrote into it.
exec docker-entrypoint.sh "$@" \
    -c ssl=on \
    -c "ssl_cert_file=$PRIVATE/server.crt" \
    -c "ssl_key_file=$PRIVATE/server.key" \
    -c "hba_file=$here/pg_hba.conf" \
    -c password_encryption=scram-sha-256 \
    -c log_error_verbosity=terse
