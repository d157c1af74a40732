#!/bin/sh
# Makes, for a trial, the certificates with which PostgreSQL proves to its clients who it is. `--help` says how.
set -eu

DEFAULT_FOLDER=docker/secrets/tls
DEFAULT_HOSTS="db localhost 127.0.0.1 ::1"
CA_DAYS=3650
DAYS=90

usage() {
    cat <<TEXT
usage: docker/certs.sh [--force | --renew] [--days N] [--host NAME]... [--bad] [FOLDER]

Makes a certificate authority and a certificate that it signs for PostgreSQL, in FOLDER ($DEFAULT_FOLDER):

  ca.crt                    whom clients trust: sslrootcert in their address
  ca.key                    signs; it belongs on no server, and no container gets it
  server/server.crt .key    what PostgreSQL shows; the folder is mounted into its container

  --host NAME   a name or an address that clients know the server by, as often as needed;
                otherwise $DEFAULT_HOSTS
  --days N      how long the server's certificate is valid ($DAYS)
  --renew       keep the authority and make the server's key and certificate anew: clients notice nothing
  --force       replace everything that is there, the authority too: clients then need the new ca.crt
  --bad         also bad/expired, bad/self-signed and bad/wrong-host, to see how clients refuse them

examples:
  make certs
  make certs ARGS="--renew"
  docker/certs.sh --host db.example.com --days 30 /etc/taskmanager/tls

exit status: 0 made; 1 refused, or openssl failed; 2 not understood
TEXT
}

say() {
    printf 'certs: %s\n' "$1"
}

refuse() {
    printf 'certs: %s\n' "$1" >&2
    exit "${2:-1}"
}

# add_host HOST: to the subject alternative names, in the form that openssl takes.
add_host() {
    case $1 in
        '' | *[!0-9a-zA-Z.:*_-]*) refuse "'$1' is neither a host's name nor an address" 2 ;;
        *:*) kind=IP ;;
        *[!0-9.]*) kind=DNS ;;
        *) kind=IP ;;
    esac
    hosts="$hosts${hosts:+,}$kind:$1"
}

# What follows is called where a failure is looked for, and there `set -e` is asleep: hence each `&&`.

new_key() {
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
}

make_authority() {
    new_key "$work/ca.key" &&
        openssl req -new -x509 -sha256 -key "$work/ca.key" -days "$CA_DAYS" -out "$work/ca.crt" \
            -config "$work/authority.cnf"
}

# make_server FOLDER NAMES VALIDITY: signed by the authority; VALIDITY is options of `openssl ca`.
make_server() {
    mkdir -p "$1" && : >"$work/index.txt" &&
        write_server_configuration "$2" "authorityKeyIdentifier = keyid:always" &&
        new_key "$1/server.key" &&
        openssl req -new -sha256 -key "$1/server.key" -out "$work/server.csr" -config "$work/server.cnf" || return
    # shellcheck disable=SC2086  # options, and no file's name
    openssl ca -batch -notext -config "$work/server.cnf" -name signer -extensions server \
        -cert "$work/ca.crt" -keyfile "$work/ca.key" -in "$work/server.csr" -out "$1/server.crt" $3
}

make_self_signed() {
    mkdir -p "$1" &&
        write_server_configuration "$2" '' &&
        new_key "$1/server.key" &&
        openssl req -new -x509 -sha256 -key "$1/server.key" -days "$DAYS" -out "$1/server.crt" \
            -config "$work/server.cnf" -extensions server
}

write_server_configuration() {
    cat >"$work/server.cnf" <<TEXT
[req]
prompt = no
distinguished_name = name
[name]
CN = taskmanager PostgreSQL (trial)
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
$2
subjectAltName = $1
[signer]
database = $work/index.txt
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
[any]
commonName = supplied
TEXT
}

write_authority_configuration() {
    # What tells one authority's name from another's: clients look an issuer up by its name.
    cat >"$work/authority.cnf" <<TEXT
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
CN = taskmanager trial authority $(openssl rand -hex 4)
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
TEXT
}

# place MODE FILE TARGET: write into the file that is there. A container that mounts a single file keeps the one it
# was started with when that is replaced, and would never see a renewed certificate.
place() {
    mkdir -p "$(dirname "$3")"
    [ -e "$3" ] || (umask 077 && : >"$3")
    chmod "$1" "$3"
    cat "$2" >"$3"
}

place_server() {
    place 600 "$1/server.key" "$2/server.key"
    place 644 "$1/server.crt" "$2/server.crt"
}

quietly() {
    "$@" 2>"$work/openssl.log" || {
        cat "$work/openssl.log" >&2
        refuse "openssl could not do it; its words stand above"
    }
}

force=no renew=no bad=no hosts='' target=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --force) force=yes ;;
        --renew) renew=yes ;;
        --bad) bad=yes ;;
        --days)
            case ${2-} in '' | 0* | *[!0-9]*) refuse "--days wants a number of days, 1 or more" 2 ;; esac
            DAYS=$2
            shift
            ;;
        --host)
            [ -n "${2-}" ] || refuse "--host wants a name or an address" 2
            add_host "$2"
            shift
            ;;
        -*) refuse "there is no option $1; --help lists them" 2 ;;
        *)
            [ -z "$target" ] || refuse "one folder, not two: $target and $1" 2
            target=$1
            ;;
    esac
    shift
done
target=${target:-$DEFAULT_FOLDER}
if [ -z "$hosts" ]; then
    for host in $DEFAULT_HOSTS; do add_host "$host"; done
fi
[ "$force$renew" != yesyes ] || refuse "--renew keeps the authority and --force replaces it: choose one" 2

command -v openssl >/dev/null || refuse "openssl is not installed; on Debian and Ubuntu: apt-get install openssl"
if [ "$renew" = yes ]; then
    for file in ca.crt ca.key; do
        [ -r "$target/$file" ] || refuse "$target/$file is not there or cannot be read, and --renew signs with it"
    done
elif [ "$force" = no ]; then
    for file in ca.crt ca.key server/server.crt server/server.key; do
        [ ! -e "$target/$file" ] ||
            refuse "$target/$file is there already; --renew makes a new server certificate, --force replaces everything"
    done
fi

# Keys are never, not for a moment, readable to others.
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ "$renew" = yes ]; then
    cp "$target/ca.crt" "$target/ca.key" "$work/"
else
    write_authority_configuration
    quietly make_authority
fi
quietly make_server "$work/server" "$hosts" "-days $DAYS"
if [ "$bad" = yes ]; then
    quietly make_server "$work/bad/expired" "$hosts" "-startdate 20200101000000Z -enddate 20200201000000Z"
    quietly make_self_signed "$work/bad/self-signed" "$hosts"
    quietly make_server "$work/bad/wrong-host" DNS:elsewhere.example.com "-days $DAYS"
fi

umask 022
mkdir -p "$target"
if [ "$renew" = no ]; then
    place 600 "$work/ca.key" "$target/ca.key"
    place 644 "$work/ca.crt" "$target/ca.crt"
    say "made $target/ca.crt, the authority (its key, ca.key, belongs on no server)"
fi
place_server "$work/server" "$target/server"
say "made $target/server/server.crt for $hosts, valid for $DAYS days"
if [ "$bad" = yes ]; then
    for kind in expired self-signed wrong-host; do
        place_server "$work/bad/$kind" "$target/bad/$kind"
        say "made $target/bad/$kind/server.crt, which clients must refuse"
    done
fi
if [ "$renew" = yes ]; then
    say "let the server take it up, without a restart: docker-compose exec db /etc/taskmanager/postgres/renew.sh"
else
    say "clients' addresses end in ?sslmode=verify-full&sslrootcert=/PATH/TO/ca.crt; docs/security.md has the rest"
fi
