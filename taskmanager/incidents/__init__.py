"""The incident history: Alertmanager's receiver, its journal, and the post-mortem.

A process of its own that lives when PostgreSQL and the service do not, so it imports nothing of ours.
"""
