"""validate task checks

Revision: 9be30f74d218
Follows:  c2a86e51b7d4
Written:  2026-11-21 04:15
"""

from collections.abc import Sequence

from alembic import op

revision: str = "9be30f74d218"
down_revision: str | Sequence[str] | None = "c2a86e51b7d4"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


CHECKS = ("tasks_status_check", "tasks_completed_at_check", "tasks_priority_check")


def upgrade() -> None:
    # Reads every row under SHARE UPDATE EXCLUSIVE: reads and writes go on meanwhile.
    for check in CHECKS:
        op.execute(f"ALTER TABLE tasks VALIDATE CONSTRAINT {check}")


def downgrade() -> None:
    """A valid constraint is no obstacle to the revisions before: there is nothing to undo."""
