"""Backups that were restored before anybody needs them: made, verified, kept, scheduled, brought back.

    folder.py        where backups lie; one is there whole or not at all
    manifest.py      what is known of a backup, beside its dump
    client_tools.py  pg_dump and pg_restore of a version that fits
    connecting.py    sessions, and the same address for PostgreSQL's programs, its password never in their arguments
    contents.py      what the tables hold, as checksums
    roles.py         the roles that a database uses; roles_sql.py the statements that make them
    privileges.py    who owns what, and who may do what
    snapshot.py      the tables locked, and then a snapshot of them
    making.py        a dump and its checksums of one snapshot
    verification.py  the backup restored into a database that is dropped again
    restoring.py     the backup brought back, and the proof
    retention.py     which backups may go
    schedule.py      one after the other, as a service; metrics.py and serving.py tell of it
    cli.py           the verbs

`taskmanager serve` imports nothing of it.
"""
