"""Judging migrations before they run: `migration-gate lint` reads them, `migration-gate rehearse` tries them.

An extra for people and pipelines (`pip install 'migration-gate[review]'`). A running service imports none of it.
"""
