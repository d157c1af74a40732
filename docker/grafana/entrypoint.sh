#!/bin/sh
# The entrypoint of Grafana in production, around the one of its own image: no start with a password that everybody tries.
# Grafana itself would take any. Exit status 78: the file cannot be used, and the line before says why.
set -eu

file=${GF_SECURITY_ADMIN_PASSWORD__FILE:?names the file with the password of admin}

refuse() {
    printf 'taskmanager-grafana: %s: %s (openssl rand -hex 24 makes one)\n' "$file" "$1" >&2
    exit 78 # EX_CONFIG of sysexits.h: starting again changes nothing
}

[ -f "$file" ] && [ -r "$file" ] || refuse "is no file that $(id -un 2>/dev/null || id -u) may read; write a password into it"
password=$(cat "$file")
case $(printf '%s' "$password" | tr '[:upper:]' '[:lower:]') in
    '') refuse "is empty; write a password into it" ;;
    admin* | grafana* | password* | secret* | changeme* | change-me* | taskmanager*)
        refuse "begins as what everybody tries first; write another password"
        ;;
esac
[ "${#password}" -ge 16 ] || refuse "holds fewer than 16 characters; write another password"

exec "${@:-/run.sh}"
