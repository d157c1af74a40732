"""How fast the service is, beside others that do the same work on the same machine: `make bench`.

It starts what it measures as an operator does and speaks HTTP to it. Of the service's code it imports only the
SQL statements, which pgbench replays; the entry `unobserved` alone wraps the application.
"""
