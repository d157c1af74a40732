"""create tasks

Revision: bb82ddf3c55c
Follows:  nothing
Written:  2026-11-21 04:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "bb82ddf3c55c"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("id", name="tasks_pkey"),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", name="tasks_title_length_check"),
        sa.CheckConstraint("char_length(description) <= 10000", name="tasks_description_length_check"),
    )
    # The table is new and empty: nobody can wait for this index.
    op.create_index("tasks_newest_idx", "tasks", [sa.text("created_at DESC"), sa.text("id DESC")])


def downgrade() -> None:
    op.drop_table("tasks")
