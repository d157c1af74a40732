#!/bin/bash
# What compose files lean on in the official image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, each also as …_FILE,
# POSTGRES_INITDB_ARGS, POSTGRES_HOST_AUTH_METHOD, /docker-entrypoint-initdb.d, PGDATA, and arguments such as `-c name=value`.
set -euo pipefail

fail() {
    printf 'Error: %s\n' "$1" >&2
    exit 1
}

# The value of a variable, or of the file that NAME_FILE names; both at once are refused.
from_file() {
    local name=$1 file_name=${1}_FILE
    [ -z "${!name:-}" ] || [ -z "${!file_name:-}" ] || fail "both $name and $file_name are set (but are exclusive)"
    if [ -n "${!file_name:-}" ]; then
        export "$name"="$(<"${!file_name}")"
    fi
    unset "$file_name"
}

# A temporary server answers on its socket alone, so that nobody connects before all is set up.
initialise() {
    from_file POSTGRES_PASSWORD
    from_file POSTGRES_USER
    from_file POSTGRES_DB
    from_file POSTGRES_INITDB_ARGS
    export POSTGRES_USER="${POSTGRES_USER:-postgres}"
    export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
    local auth=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
    if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "$auth" != trust ]; then
        fail 'Database is uninitialized and superuser password is not specified: set POSTGRES_PASSWORD'
    fi
    # shellcheck disable=SC2086
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' "$auth" >>"$PGDATA/pg_hba.conf"
    # The official build's socket, beside the place where this build's programs look for it.
    printf "%s\n" "listen_addresses = '*'" "unix_socket_directories = '/tmp, /var/run/postgresql'" \
        >>"$PGDATA/postgresql.conf"

    local arguments=("${@:2}" -c "listen_addresses=")
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -o "$(printf '%q ' "${arguments[@]}")" -w start
    export PGHOST=/tmp PGPASSWORD=${POSTGRES_PASSWORD:-}
    if [ "$POSTGRES_DB" != postgres ]; then
        run_sql postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            *.sh)
                printf '%s: running %s\n' "$0" "$file"
                # shellcheck disable=SC1090
                if [ -x "$file" ]; then "$file"; else . "$file"; fi
                ;;
            *.sql) printf '%s: running %s\n' "$0" "$file"; run_sql "$POSTGRES_DB" -f "$file" ;;
            */\*) ;;
            *) printf '%s: ignoring %s\n' "$0" "$file" ;;
        esac
    done
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD PGHOST
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

run_sql() {
    psql -v ON_ERROR_STOP=1 --no-psqlrc --username "$POSTGRES_USER" --no-password --dbname "$@"
}

if [ "${1:0:1}" = - ]; then
    set -- postgres "$@"
fi
if [ "$1" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        install -d -m 700 "$PGDATA"
        find "$PGDATA" /var/run/postgresql \! -user postgres -exec chown postgres {} +
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    install -d -m 700 "$PGDATA"
    [ -s "$PGDATA/PG_VERSION" ] || initialise "$@"
fi
exec "$@"
