"""index lists by status

Revision: b94e2d60c71f
Follows:  75f0a6c3d182
Written:  2026-11-21 05:15
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "b94e2d60c71f"
down_revision: str | Sequence[str] | None = "75f0a6c3d182"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Outside the transaction, so that writes go on while the indexes are built. Each begins by dropping what
    # a build that failed may have left behind: an invalid index, which costs writes and serves nobody.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_status_priority_newest_idx")
        # None of these can be NULL. NULLS LAST is an order that tasks_newest_idx does not have: the planner cannot
        # take that one instead and read past every task of another status.
        op.create_index(
            "tasks_status_priority_newest_idx",
            "tasks",
            ["status", sa.text("priority DESC"), sa.text("created_at DESC NULLS LAST"), sa.text("id DESC NULLS LAST")],
            postgresql_concurrently=True,
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_status_due_idx")
        # A task without a due date sorts last and can be a page's last row: the key must not be NULL.
        op.create_index(
            "tasks_status_due_idx",
            "tasks",
            ["status", sa.text("coalesce(due_at, 'infinity'::timestamptz)"), "id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_status_due_idx")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_status_priority_newest_idx")
