#!/bin/sh
# Makes every secret file that docker/compose.production.yml asks for, but for the certificates. `--help` says how.
set -eu

DEFAULT_FOLDER=docker/secrets
DATABASE=db:5432/taskmanager
TLS='sslmode=verify-full&sslrootcert=/run/secrets/database_ca'

# The accounts of the containers that read them. PostgreSQL's are read by root.
SERVICE=10001
MONITORING=65534
GRAFANA=472

usage() {
    cat <<TEXT
usage: docker/new-secrets.sh [FOLDER]

Makes new passwords and keys for docker/compose.production.yml, each in a file of its own in FOLDER ($DEFAULT_FOLDER):

  postgres_password, migrator_password, app_password, backup_password, monitor_password    of the database's roles
  database_url, migration_database_url, backup_database_url                the addresses that hold three of them
  api/keys                                                                 what the service knows of its API keys
  admin_key                                                                an API key for you: reads and writes tasks
  metrics_key                                                              Prometheus' key for /metrics
  incidents_key                                                            of the incident receiver
  grafana_password                                                         of Grafana's admin

A file has mode 0600 and belongs to the account of the container that reads it, since compose mounts it as it is: run it
as root. What two accounts read lies there twice (monitor_password.exporter, incidents_key.monitoring). Nothing is ever
overwritten. The certificates come from \`make certs\`.

examples:
  sudo docker/new-secrets.sh && sudo make certs
  sudo docker/new-secrets.sh /etc/taskmanager/secrets

exit status: 0 made; 1 refused, or openssl failed; 2 not understood
TEXT
}

refuse() {
    printf 'new-secrets: %s\n' "$1" >&2
    exit "${2:-1}"
}

# Letters and digits alone, so that an address needs no escaping.
password() {
    openssl rand -hex 24
}

address() {
    printf 'postgresql://%s:%s@%s?%s\n' "$1" "$2" "$DATABASE" "$TLS"
}

# put NAME OWNER, the content on standard input. `noclobber`: a file that is there is never written into.
put() {
    (set -C && cat >"$folder/$1") 2>/dev/null || refuse "$folder/$1 could not be written"
    chown "$2" "$folder/$1"
}

# new_key SCOPES COMMENT: an API key on standard output, and what is stored of it in the file of keys; the form is that of
# `taskmanager keys new`.
new_key() {
    id=$(openssl rand -hex 4)
    secret=$(openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n')
    digest=$(printf '%s' "$secret" | openssl dgst -sha256 -r | cut -d ' ' -f 1)
    printf '%s %s %s never  # %s\n' "$id" "$digest" "$1" "$2" >>"$folder/api/keys"
    printf 'tm_%s_%s\n' "$id" "$secret"
}

case ${1-} in
    -h | --help) usage && exit 0 ;;
    -*) refuse "there is no option $1; --help lists what there is" 2 ;;
esac
[ $# -le 1 ] || refuse "one folder, not $#" 2
folder=${1:-$DEFAULT_FOLDER}

command -v openssl >/dev/null || refuse "openssl is not installed; on Debian and Ubuntu: apt-get install openssl"
[ "$(id -u)" = 0 ] || refuse "only root can give each file to the account that reads it: sudo $0 $*"
for name in postgres_password migrator_password app_password backup_password monitor_password monitor_password.exporter \
    database_url migration_database_url backup_database_url api admin_key metrics_key incidents_key \
    incidents_key.monitoring grafana_password; do
    [ ! -e "$folder/$name" ] ||
        refuse "$folder/$name is there already, and whoever uses it would be shut out; move the old ones away to make all anew"
done

umask 077
mkdir -p "$folder/api"
# Compose looks whether the files are there, as whoever calls it; it can read none of them.
chmod 0711 "$folder"

migrator=$(password)
app=$(password)
backup=$(password)
monitor=$(password)
password | put postgres_password 0
printf '%s\n' "$migrator" | put migrator_password 0
printf '%s\n' "$app" | put app_password 0
printf '%s\n' "$backup" | put backup_password 0
printf '%s\n' "$monitor" | put monitor_password 0
printf '%s\n' "$monitor" | put monitor_password.exporter "$MONITORING"
address taskmanager_app "$app" | put database_url "$SERVICE"
address taskmanager_migrator "$migrator" | put migration_database_url "$SERVICE"
address taskmanager_backup "$backup" | put backup_database_url "$SERVICE"

new_key tasks:read,tasks:write "made by new-secrets.sh for whoever set this up" | put admin_key 0
new_key metrics:read Prometheus | put metrics_key "$MONITORING"
chown "$SERVICE" "$folder/api" "$folder/api/keys"

incidents=$(openssl rand -hex 32)
printf '%s\n' "$incidents" | put incidents_key "$SERVICE"
printf '%s\n' "$incidents" | put incidents_key.monitoring "$MONITORING"
password | put grafana_password "$GRAFANA"

printf 'new-secrets: made in %s; your API key: %s/admin_key; Grafana: admin, %s/grafana_password\n' \
    "$folder" "$folder" "$folder"
[ -e "$folder/tls/ca.crt" ] || printf 'new-secrets: the certificates are not there yet: sudo make certs\n'
