"""index words and tags

Revision: d6718b0e94ac
Follows:  3a5c8f17e2d4
Written:  2026-11-21 05:25
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "d6718b0e94ac"
down_revision: str | Sequence[str] | None = "3a5c8f17e2d4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_words_idx")
        # Over the expression itself: a stored generated column would rewrite the table under an exclusive lock.
        op.create_index(
            "tasks_words_idx",
            "tasks",
            [sa.text("to_tsvector('simple', title || ' ' || description)")],
            postgresql_using="gin",
            postgresql_concurrently=True,
        )
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_tags_idx")
        # Most tasks have no tag, and writing one of those costs this index nothing.
        op.create_index(
            "tasks_tags_idx",
            "tasks",
            ["tags"],
            postgresql_using="gin",
            postgresql_where=sa.text("tags <> '{}'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_tags_idx")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_words_idx")
