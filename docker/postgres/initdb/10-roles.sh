#!/bin/sh
# Two roles as stack/postgres/roles.py makes them, and a test holds both alike: taskmanager_migrator owns the database
# and changes its schema, taskmanager_app reads and writes. Two more where their files are set: taskmanager_backup
# (BACKUP_PASSWORD_FILE) is a member of the migrator's role, so that it dumps and restores all that is the migrator's, and
# may make a database to try a backup in; taskmanager_monitor (MONITOR_PASSWORD_FILE) sees statistics and no row.
#
# The image's entrypoint runs it in an empty data folder, renew.sh at any time: it is safe to repeat. As the superuser,
# over the server's socket. It reads MIGRATOR_PASSWORD_FILE and APP_PASSWORD_FILE, which private.sh has looked at.
set -eu

: "${MIGRATOR_PASSWORD_FILE:?names the file with the password of taskmanager_migrator}"
: "${APP_PASSWORD_FILE:?names the file with the password of taskmanager_app}"
export MIGRATOR_PASSWORD_FILE APP_PASSWORD_FILE BACKUP_PASSWORD_FILE MONITOR_PASSWORD_FILE
database=${POSTGRES_DB:-taskmanager}
backed_up=${BACKUP_PASSWORD_FILE:+true}
monitored=${MONITOR_PASSWORD_FILE:+true}

psql --no-psqlrc --quiet --single-transaction --username "${POSTGRES_USER:-postgres}" --dbname "$database" \
    --set ON_ERROR_STOP=1 --set database="$database" --set backed_up="${backed_up:-false}" \
    --set monitored="${monitored:-false}" <<'SQL'
-- No statement below may reach a log or the statistics of statements: some have a password in them.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_duration_sample = -1;
SET log_transaction_sample_rate = 0;
SET log_min_error_statement = 'panic';
SET pg_stat_statements.track_utility = off;
SET password_encryption = 'scram-sha-256';
-- What is granted already is no news.
SET client_min_messages = 'warning';

SELECT format('CREATE ROLE %I', wanted)
FROM unnest(ARRAY['taskmanager_migrator', 'taskmanager_app']) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
\gexec

-- psql reads the files: an argument would show the passwords to whoever lists the processes.
\set migrator_password `cat "$MIGRATOR_PASSWORD_FILE"`
\set app_password `cat "$APP_PASSWORD_FILE"`
ALTER ROLE taskmanager_migrator LOGIN PASSWORD :'migrator_password';
ALTER ROLE taskmanager_app LOGIN PASSWORD :'app_password';

-- Who waits for a table must be able to say what the session that holds it does, whoever that is.
GRANT pg_read_all_stats TO taskmanager_migrator;

ALTER DATABASE :"database" OWNER TO taskmanager_migrator;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO taskmanager_app;
ALTER SCHEMA public OWNER TO pg_database_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO taskmanager_app;
-- A migration needs to grant nothing.
ALTER DEFAULT PRIVILEGES FOR ROLE taskmanager_migrator IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO taskmanager_app;
ALTER DEFAULT PRIVILEGES FOR ROLE taskmanager_migrator IN SCHEMA public
    GRANT USAGE, SELECT ON SEQUENCES TO taskmanager_app;

\if :backed_up
SELECT 'CREATE ROLE taskmanager_backup'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'taskmanager_backup')
\gexec
\set backup_password `cat "$BACKUP_PASSWORD_FILE"`
ALTER ROLE taskmanager_backup LOGIN CREATEDB PASSWORD :'backup_password';
GRANT taskmanager_migrator TO taskmanager_backup;
\endif

\if :monitored
SELECT 'CREATE ROLE taskmanager_monitor'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'taskmanager_monitor')
\gexec
\set monitor_password `cat "$MONITOR_PASSWORD_FILE"`
ALTER ROLE taskmanager_monitor LOGIN PASSWORD :'monitor_password';
GRANT pg_monitor TO taskmanager_monitor;
GRANT CONNECT ON DATABASE :"database" TO taskmanager_monitor;
\endif
SQL
