# shellcheck shell=sh
# What entrypoint.sh and renew.sh have in common: the files that PostgreSQL must not start without, looked at, and
# copied to where its account may read them.
#
# A secret of compose is a bind mount with the owner and the mode that it has on the host, where PostgreSQL's account
# does not exist: it could not read a password of mode 0600, and PostgreSQL refuses a key that belongs to somebody else.

PRIVATE=${TASKMANAGER_PRIVATE_FOLDER:-/dev/shm/taskmanager-postgres}
TLS_FOLDER=${TLS_FOLDER:-/run/secrets/tls}
PASSWORD_VARIABLES="POSTGRES_PASSWORD_FILE MIGRATOR_PASSWORD_FILE APP_PASSWORD_FILE"
SHORTEST=16

# Each a line of its own, since whoever starts it wants to know all that is wrong at once.
faults=

fault() {
    printf 'taskmanager-postgres: %s\n' "$1" >&2
    faults=yes
}

end_on_faults() {
    [ -z "$faults" ] || exit 78 # EX_CONFIG of sysexits.h: starting again changes nothing
}

value_of() {
    eval "printf '%s' \"\${$1-}\""
}

# The variables of passwords that are asked for; two roles are the operator's choice.
password_variables() {
    printf '%s' "$PASSWORD_VARIABLES"
    [ -z "${BACKUP_PASSWORD_FILE-}" ] || printf ' BACKUP_PASSWORD_FILE'
    [ -z "${MONITOR_PASSWORD_FILE-}" ] || printf ' MONITOR_PASSWORD_FILE'
}

# The words of taskmanager/database_address.py, with what the images of databases are started with by examples.
well_known() {
    case $(printf '%s' "$1" | tr '[:upper:]' '[:lower:]') in
        123456 | 12345678 | admin | change-me | change_me | changeit | changeme | changethis | default | example) ;;
        letmein | pass | passw0rd | password | postgres | postgresql | pw | qwerty | root | secret | taskmanager) ;;
        test | user | mysecretpassword) ;;
        taskmanager_migrator | taskmanager_app | taskmanager_backup | taskmanager_monitor) ;;
        *) return 1 ;;
    esac
}

check_password() {
    file=$(value_of "$1")
    if [ -z "$file" ]; then
        fault "$1: not set; it names a file that holds the password alone (openssl rand -hex 24 makes one)"
    elif [ ! -f "$file" ]; then
        fault "$1: there is no file $file"
    elif [ ! -r "$file" ]; then
        fault "$1: $file may not be read by $(id -un 2>/dev/null || id -u)"
    else
        check_password_in "$1" "$file"
    fi
}

check_password_in() {
    # The newline at the end is the file's; one before it is a second line.
    password=$(cat "$2")
    if [ -z "$password" ]; then
        fault "$1: $2 is empty; write a password into it (openssl rand -hex 24 makes one)"
    elif [ "$(printf '%s\n' "$password" | wc -l)" -ne 1 ]; then
        fault "$1: $2 has more than one line; it holds the password alone"
    elif well_known "$password"; then
        fault "$1: the password in $2 is one that everybody knows; write another (openssl rand -hex 24 makes one)"
    elif [ "${#password}" -lt "$SHORTEST" ]; then
        fault "$1: the password in $2 is shorter than $SHORTEST characters; write another (openssl rand -hex 24 makes one)"
    fi
    password=
}

check_no_two_alike() {
    for one in $(password_variables); do
        for other in $(password_variables); do
            [ "$one" != "$other" ] || break
            # Without the newlines at their ends, as they are read.
            [ "$(cat "$(value_of "$one")")" != "$(cat "$(value_of "$other")")" ] ||
                fault "$one: the same password as $other; a role that shares another's keeps nobody out"
        done
    done
}

check_certificate() {
    for file in server.crt server.key; do
        [ -r "$TLS_FOLDER/$file" ] ||
            fault "$TLS_FOLDER/$file: not there, or not to be read; for a trial \`make certs\` makes it, and docs/security.md says how it is mounted"
    done
}

check_private_files() {
    for variable in $(password_variables); do
        check_password "$variable"
    done
    end_on_faults
    check_no_two_alike
    check_certificate
    end_on_faults
}

# Copies the files, and lets the variables name the copies: they are in memory, and go with the container.
copy_private_files() {
    # shellcheck disable=SC2016  # the other shell's to expand
    as_postgres sh -c 'umask 077 && mkdir -p "$1"' sh "$PRIVATE"
    for variable in $(password_variables); do
        copy "$(value_of "$variable")" "$PRIVATE/$variable"
        eval "export $variable=\$PRIVATE/\$variable"
    done
    copy "$TLS_FOLDER/server.crt" "$PRIVATE/server.crt"
    copy "$TLS_FOLDER/server.key" "$PRIVATE/server.key"
}

# By rename: PostgreSQL reads either the old file or the new one, and never a half. Root only reads here. Were it to write
# where PostgreSQL's account may, a link that whoever broke into PostgreSQL laid there would lead it to any file.
copy() {
    # shellcheck disable=SC2016  # the other shell's to expand
    as_postgres sh -c 'umask 077 && cat >"$1.new" && mv -f "$1.new" "$1"' sh "$2" <"$1"
}

as_postgres() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
    elif command -v gosu >/dev/null; then
        gosu postgres "$@"
    else
        setpriv --reuid postgres --regid postgres --init-groups "$@"
    fi
}
