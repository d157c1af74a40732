"""drop open due index

Revision: 3a5c8f17e2d4
Follows:  b94e2d60c71f
Written:  2026-11-21 05:20
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "3a5c8f17e2d4"
down_revision: str | Sequence[str] | None = "b94e2d60c71f"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # tasks_status_due_idx serves what it served; an index that nobody reads still costs every write.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_open_due_idx")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_open_due_idx")
        op.create_index(
            "tasks_open_due_idx",
            "tasks",
            ["due_at", "id"],
            postgresql_where=sa.text("status <> 'done'"),
            postgresql_concurrently=True,
        )
