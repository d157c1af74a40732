"""add priority and due date

Revision: c2a86e51b7d4
Follows:  4f1d7c0a9e36
Written:  2026-11-21 04:10
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "c2a86e51b7d4"
down_revision: str | Sequence[str] | None = "4f1d7c0a9e36"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Stored as 1, 2, 3 so that priorities sort; the API says low, normal, high.
    op.add_column("tasks", sa.Column("priority", sa.SmallInteger(), server_default="2", nullable=False))
    op.add_column("tasks", sa.Column("due_at", sa.DateTime(timezone=True)))
    op.execute("ALTER TABLE tasks ADD CONSTRAINT tasks_priority_check CHECK (priority BETWEEN 1 AND 3) NOT VALID")


def downgrade() -> None:
    op.drop_column("tasks", "due_at")
    op.drop_column("tasks", "priority")
