"""validate tag checks

Revision: 2c8d41f7a9be
Follows:  e07b93d2f516
Written:  2026-11-21 05:05
"""

from collections.abc import Sequence

from alembic import op

revision: str = "2c8d41f7a9be"
down_revision: str | Sequence[str] | None = "e07b93d2f516"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


CHECKS = ("tasks_tags_count_check", "tasks_tags_elements_check")


def upgrade() -> None:
    # Reads every row under SHARE UPDATE EXCLUSIVE: reads and writes go on meanwhile.
    for check in CHECKS:
        op.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT {check}")


def downgrade() -> None:
    """A valid constraint is no obstacle to the revisions before: there is nothing to undo."""
