"""index open and recent tasks

Revision: 61d5a8f2c90b
Follows:  9be30f74d218
Written:  2026-11-21 04:20
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "61d5a8f2c90b"
down_revision: str | Sequence[str] | None = "9be30f74d218"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Outside the transaction, so that writes go on while the indexes are built. Each begins by dropping what
    # a build that failed may have left behind: an invalid index, which costs writes and serves nobody.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_open_due_idx")
        op.create_index(
            "tasks_open_due_idx",
            "tasks",
            ["due_at", "id"],
            postgresql_where=sa.text("status <> 'done'"),
            postgresql_concurrently=True,
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_updated_idx")
        op.create_index("tasks_updated_idx", "tasks", ["updated_at", "id"], postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_updated_idx")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_open_due_idx")
