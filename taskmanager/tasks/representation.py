"""A task as this API tells it, in SQL: the columns that every statement hands to `row_to_json`.

Times are RFC 3339 in UTC, `2026-03-31T18:00:00.25+00:00`: PostgreSQL's own words for a `timestamptz` in JSON, where the
session's time zone is UTC (`taskmanager.database`). To have it say `Z` instead takes it a third longer for a page.
"""

# row_to_json over named columns prints without blanks, which json_build_object does not.
TASK = """
    SELECT id, title, description, status, (ARRAY['low', 'normal', 'high'])[priority] AS priority,
           due_at, tags, created_at, updated_at, completed_at"""
