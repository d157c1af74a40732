"""add tags

Revision: e07b93d2f516
Follows:  61d5a8f2c90b
Written:  2026-11-21 05:00
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "e07b93d2f516"
down_revision: str | Sequence[str] | None = "61d5a8f2c90b"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    # A constant default is kept in the catalog: PostgreSQL adds the column without rewriting the table.
    op.add_column("tasks", sa.Column("tags", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False))
    # Checked for new rows at once, for the old ones in the next revision, which holds no strong lock.
    op.execute("ALTER TABLE tasks ADD CONSTRAINT tasks_tags_count_check CHECK (cardinality(tags) <= 20) NOT VALID")
    op.execute(
        "ALTER TABLE tasks ADD CONSTRAINT tasks_tags_elements_check"
        " CHECK (array_position(tags, NULL) IS NULL AND '' <> ALL (tags)) NOT VALID"
    )


def downgrade() -> None:
    op.drop_column("tasks", "tags")
