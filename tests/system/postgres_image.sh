#!/bin/sh
# What the entrypoint of PostgreSQL's image does, as far as docker/postgres relies on it: in an empty data folder a
# cluster, a server on the socket alone, the database, the scripts; then the server. As the account of PostgreSQL.
set -eu
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
shift # "postgres"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --encoding UTF8 \
        --no-sync >/dev/null
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD
    pg_ctl --pgdata "$PGDATA" --silent --wait -o "$* -c listen_addresses=''" start
    createdb --username "$POSTGRES_USER" "$POSTGRES_DB"
    for script in "$INITDB_SCRIPTS"/*; do "$script"; done
    pg_ctl --pgdata "$PGDATA" --silent --wait --mode fast stop
    unset PGPASSWORD
fi
exec postgres -D "$PGDATA" "$@"
