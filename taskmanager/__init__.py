"""A task API whose code and database schema cannot silently disagree."""

__version__ = "0.1.0"
