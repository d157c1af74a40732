"""create idempotency keys

Revision: 75f0a6c3d182
Follows:  2c8d41f7a9be
Written:  2026-11-21 05:10
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "75f0a6c3d182"
down_revision: str | Sequence[str] | None = "2c8d41f7a9be"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # Without a foreign key: a key outlives its task, so that a retry after a delete creates nothing anew.
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("key", name="idempotency_keys_pkey"),
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="idempotency_keys_key_length_check"),
    )
    # By age, for the purge. The table is new and empty: nobody can wait for this index.
    op.create_index("idempotency_keys_created_idx", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
