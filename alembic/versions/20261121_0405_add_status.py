"""add status

Revision: 4f1d7c0a9e36
Follows:  bb82ddf3c55c
Written:  2026-11-21 04:05
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "4f1d7c0a9e36"
down_revision: str | Sequence[str] | None = "bb82ddf3c55c"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A constant default is kept in the catalog: PostgreSQL adds the column without rewriting the table.
    op.add_column("tasks", sa.Column("status", sa.Text(), server_default="todo", nullable=False))
    op.add_column("tasks", sa.Column("completed_at", sa.DateTime(timezone=True)))
    # Checked for new rows at once, for the old ones in a later revision that holds no strong lock.
    op.execute(
        "ALTER TABLE tasks ADD CONSTRAINT tasks_status_check"
        " CHECK (status IN ('todo', 'in_progress', 'done')) NOT VALID"
    )
    # The release before this one writes neither column, so its rows satisfy this as they are.
    op.execute(
        "ALTER TABLE tasks ADD CONSTRAINT tasks_completed_at_check"
        " CHECK ((status = 'done') = (completed_at IS NOT NULL)) NOT VALID"
    )


def downgrade() -> None:
    op.drop_column("tasks", "completed_at")
    op.drop_column("tasks", "status")
