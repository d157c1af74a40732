"""Rows made up in the temporary database: from types, constraints and two figures of pg_stats, never from other rows.

Nothing personal can leave the source, since nothing but four numbers a column does: how many rows, how wide, how many
distinct values, what fraction NULL. The literals that constraints quote are part of the schema.
"""
