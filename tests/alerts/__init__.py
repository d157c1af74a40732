"""Every alert has its fault: each is made for real, and the notification is waited for.

rig/        the service, PostgreSQL, Prometheus, Alertmanager and the incident receiver, on this machine
faults/     how each alert is provoked, and what may be told besides
trial.py    one round: steady state, fault, notification, repair, its end
prove.py    all rounds, written to docs/proof/
report.py   docs/alerts-proof.md, computed from them
quiet.py    what must fire nothing
"""
