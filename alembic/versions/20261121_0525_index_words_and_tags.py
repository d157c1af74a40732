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

# Code points of signs, as a bracket of a regular expression.
_SIGNS = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    r"\u037e\u0387\u055a-\u055f\u0589\u058a\u05be\u05c0\u05c3\u060c\u061b\u061d-\u061f\u066a-\u066d\u06d4\u0964\u0965"
    r"\u2000-\u200b\u200e-\u206f\u20a0-\u20ff\u2122\u2190-\u245f\u2500-\u2775\u2794-\u2bff\u2e00-\u2e2e\u2e30-\u2e7f"
    r"\u3000-\u3004\u3008-\u3020\u3030\u30a0\u30fb\ufe00-\ufe19\ufe30-\ufe6b\ufeff"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\ufff9-\ufffd"
    r"\U0001f000-\U0001f0ff\U0001f10d-\U0001faff"
)
_WORDS = f"to_tsvector('simple', regexp_replace(title || ' ' || description, '[{_SIGNS}]+', ' ', 'g'))"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS tasks_words_idx")
        # Over the expression itself: a stored generated column would rewrite the table under an exclusive lock.
        # Signs become blanks: for some of them the text parser takes time that grows with the square of the text.
        op.create_index(
            "tasks_words_idx",
            "tasks",
            [sa.text(_WORDS)],
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
