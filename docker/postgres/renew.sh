#!/bin/sh
# Takes up the passwords and the certificate that lie in the secret files now, while PostgreSQL serves:
#
#   docker-compose exec db /etc/taskmanager/postgres/renew.sh
#
# Sessions that are open stay open. New ones see the new certificate, and need the new passwords: docs/security.md
# says in which order they are changed, so that nobody is refused. The superuser's password is left as it is: nobody can
# log in with it from outside. Exit status 78: a file cannot be used, and nothing
# was changed.
set -eu

here=$(dirname "$0")
# shellcheck source=docker/postgres/private.sh
. "$here/private.sh"

check_private_files
copy_private_files
as_postgres "$here/initdb/10-roles.sh"
as_postgres psql --no-psqlrc --quiet --tuples-only --no-align --username "${POSTGRES_USER:-postgres}" --dbname postgres \
    --command 'SELECT FROM pg_reload_conf()'
echo "taskmanager-postgres: passwords set, and the certificate handed to the server, whose log says if it refuses it"
